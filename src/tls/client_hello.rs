//! The ClientHello parser: finds the server name in the first bytes of a connection.

use crate::limits::HANDSHAKE_BYTES_MAX;

/// Where a handshake message that came in several records is put together.
pub struct Scratch(Box<[u8; HANDSHAKE_BYTES_MAX + 4]>);

impl Scratch {
    /// A scratch area; its pages become resident when first written.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new([0; HANDSHAKE_BYTES_MAX + 4]))
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A beginning of a ClientHello.
    Incomplete {
        /// At least so many more bytes of wire are needed to get further. Never 0.
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
#[derive(Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The host_name, as sent; checked as [`super::server_name`] says.
    pub server_name: Option<&'a str>,
    /// How many bytes of wire the hello took, up to the end of its last record.
    pub wire_bytes: usize,
    /// Whether it carries an encrypted_client_hello extension.
    pub has_ech: bool,
}

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The first byte is not that of a handshake record.
    #[error("not TLS")]
    NotTls,
}

/// Parses the first bytes of a connection.
#[must_use]
pub fn parse<'a>(_wire: &'a [u8], _scratch: &'a mut Scratch) -> Parsed<'a> {
    Parsed::Rejected(HelloError::NotTls)
}
