//! Server names: which are acceptable, and their canonical form.

use std::net::IpAddr;

use crate::limits::SERVER_NAME_BYTES_MAX;

/// Why a name is not one that could be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NameError {
    /// It has no bytes.
    #[error("the server name is empty")]
    Empty,
    /// It is longer than [`SERVER_NAME_BYTES_MAX`].
    #[error("the server name is longer than 255 bytes")]
    TooLong,
    /// NUL, a space, a control character, or a byte that is not ASCII (RFC 6066 §3 asks for
    /// A-labels).
    #[error("the server name has a byte that is not printable ASCII")]
    ForbiddenByte,
    /// The root alone is no host.
    #[error("the server name is a single dot")]
    OnlyDot,
    /// An IPv4 or IPv6 literal, which is no host_name (RFC 6066 §3). The hello is well-formed,
    /// and treated as one without a name.
    #[error("the server name is an IP address")]
    Address,
}

/// Checks a name as it stands in a hello. An address passes: see [`NameError::Address`].
///
/// # Errors
/// Any [`NameError`] except [`NameError::Address`].
pub fn check(name: &[u8]) -> Result<&str, NameError> {
    check_length(name.len())?;
    check_bytes(name)?;
    if name == b"." {
        return Err(NameError::OnlyDot);
    }
    std::str::from_utf8(name).map_err(|_| NameError::ForbiddenByte)
}

/// The part of [`check`] that needs no byte of the name.
pub(super) const fn check_length(name_bytes: usize) -> Result<(), NameError> {
    match name_bytes {
        0 => Err(NameError::Empty),
        1..=SERVER_NAME_BYTES_MAX => Ok(()),
        _ => Err(NameError::TooLong),
    }
}

/// The part of [`check`] that a beginning of a name must pass too.
pub(super) fn check_bytes(name: &[u8]) -> Result<(), NameError> {
    if name.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(NameError::ForbiddenByte) }
}

/// A name as it is looked up: lower case, without the trailing dot. On the stack.
#[derive(Clone, Copy)]
pub struct CanonicalName {
    bytes: [u8; SERVER_NAME_BYTES_MAX],
    length_bytes: u8,
}

impl CanonicalName {
    /// The canonical form of a name from a hello, a routes file or a command line. One trailing
    /// dot is stripped, not more.
    ///
    /// # Errors
    /// Any [`NameError`]. A hello's name can only give [`NameError::Address`] here; it is to be
    /// refused as [`crate::refusal::Refusal::NoServerName`].
    pub fn new(name: &str) -> Result<Self, NameError> {
        let name = check(name.as_bytes())?;
        let name = name.strip_suffix('.').unwrap_or(name);
        if is_address(name) {
            return Err(NameError::Address);
        }
        let length_bytes = u8::try_from(name.len()).map_err(|_| NameError::TooLong)?;
        let mut bytes = [0; SERVER_NAME_BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        Ok(Self { bytes, length_bytes })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All of it is ASCII, so the default is never taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name, byte by byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length_bytes)).unwrap_or_default()
    }
}

impl PartialEq for CanonicalName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for CanonicalName {}

impl std::fmt::Debug for CanonicalName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl std::fmt::Display for CanonicalName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Whether a name is an IPv4 or IPv6 literal, also in brackets or with a zone as in a URI.
fn is_address(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(name);
    let without_zone = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    without_zone.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
