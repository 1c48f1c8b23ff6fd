//! The plaintext fatal alert that explains a refusal to a TLS client.

/// The alerts that Sluice sends (RFC 8446 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AlertDescription {
    /// The sender did not let it go on.
    AccessDenied = 49,
    /// A message could not be decoded.
    DecodeError = 50,
    /// Something unrelated to the client went wrong.
    InternalError = 80,
    /// No server is known by that name.
    UnrecognizedName = 112,
}

/// A fatal alert as a TLSPlaintext record. The record version is 0x0301, which every client
/// accepts before a version is negotiated.
#[must_use]
pub const fn fatal(description: AlertDescription) -> [u8; 7] {
    [21, 3, 1, 0, 2, 2, description as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_record_of_two_bytes() {
        // RFC 8446 §5.1 and §6: type alert, a version, a length of 2; level fatal, description.
        for (description, code) in [
            (AlertDescription::AccessDenied, 49),
            (AlertDescription::DecodeError, 50),
            (AlertDescription::InternalError, 80),
            (AlertDescription::UnrecognizedName, 112),
        ] {
            assert_eq!(fatal(description), [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, code]);
        }
    }
}
