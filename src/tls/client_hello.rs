//! The ClientHello parser: finds the server name in the first bytes of a connection.
//!
//! A pure function of the bytes so far. It keeps nothing between calls, and what it says of a
//! beginning holds for everything that begins so: [`Parsed::Rejected`] and
//! [`Parsed::Complete`] are final.

use super::extensions::{self, Extensions};
pub use super::hello_error::HelloError;
use super::reader::{Reader, Stop};
pub use super::reassembly::Scratch;
use super::reassembly::{MESSAGE_HEADER_BYTES, Message, assemble};

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A beginning of a ClientHello.
    Incomplete {
        /// With fewer than so many more bytes of wire it cannot become complete (it may be
        /// rejected). Never 0. Waiting for them keeps the cost of reading again geometric.
        need_bytes: usize,
        /// Whether the message is known to be spread over several records.
        fragmented: bool,
    },
    /// A whole ClientHello.
    Complete(ClientHello<'a>),
    /// It will never be one.
    Rejected(HelloError),
}

/// What a ClientHello says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The host_name, as sent; checked by [`super::server_name::check`]. It may be an address:
    /// [`super::server_name::CanonicalName::new`] tells.
    pub server_name: Option<&'a str>,
    /// How many bytes of wire the hello took, up to the end of the record in which it ends.
    pub wire_bytes: usize,
    /// Whether it carries an encrypted_client_hello extension. The name is the outer one.
    pub has_ech: bool,
}

/// Parses the first bytes of a connection.
#[must_use]
pub fn parse<'a>(wire: &'a [u8], scratch: &'a mut Scratch) -> Parsed<'a> {
    let message = match assemble(wire, scratch) {
        Ok(message) => message,
        Err(error) => return Parsed::Rejected(error),
    };
    match (read_message(&message), message.wire_missing) {
        // The message comes before the record that follows it, and so does what is wrong in it.
        (Err(Stop::Broken(error)), _) | (_, Err(error)) => Parsed::Rejected(error),
        (Ok(Extensions { server_name, has_ech }), Ok(0)) => {
            Parsed::Complete(ClientHello { server_name, wire_bytes: message.wire_bytes, has_ech })
        }
        (_, Ok(need_bytes)) => Parsed::Incomplete { need_bytes, fragmented: message.fragmented },
    }
}

/// The fields of a ClientHello (RFC 8446 §4.1.2).
fn read_message<'a>(message: &Message<'a>) -> Result<Extensions<'a>, Stop> {
    const LEGACY_VERSION_MIN: u16 = 0x0301;
    const RANDOM_BYTES: usize = 32;
    const SESSION_ID_BYTES_MAX: usize = 32;

    let body = message.bytes.get(MESSAGE_HEADER_BYTES..).ok_or(Stop::Starved)?;
    let mut reader = Reader::new(body, message.missing_bytes, HelloError::FieldTooLong);
    if reader.u16()? < LEGACY_VERSION_MIN {
        return Err(Stop::Broken(HelloError::LegacyVersion));
    }
    reader.take(RANDOM_BYTES)?;
    let session_id_bytes = usize::from(reader.u8()?);
    if session_id_bytes > SESSION_ID_BYTES_MAX {
        return Err(Stop::Broken(HelloError::SessionIdTooLong));
    }
    reader.take(session_id_bytes)?;
    let cipher_suites_bytes = usize::from(reader.u16()?);
    if cipher_suites_bytes == 0 || cipher_suites_bytes % 2 != 0 {
        return Err(Stop::Broken(HelloError::CipherSuites));
    }
    reader.take(cipher_suites_bytes)?;
    let compression_methods_bytes = usize::from(reader.u8()?);
    if compression_methods_bytes == 0 {
        return Err(Stop::Broken(HelloError::CompressionMethods));
    }
    reader.take(compression_methods_bytes)?;
    if reader.is_at_end() {
        // Before TLS 1.2 the block could be left out (RFC 5246 §7.4.1.2).
        return Ok(Extensions::default());
    }
    let block_bytes = usize::from(reader.u16()?);
    if block_bytes != reader.left_bytes() {
        return Err(Stop::Broken(HelloError::ExtensionBlockLength));
    }
    extensions::read(reader.field(block_bytes, HelloError::ExtensionTooLong)?)
}

#[cfg(test)]
mod tests;
