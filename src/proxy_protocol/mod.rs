//! The PROXY protocol: a proxy in front says whose connection it passes on (HAProxy's
//! `doc/proxy-protocol.txt`, versions 1 and 2).
//!
//! Pure functions of the bytes so far, like the hello parser's: what [`parse`] says of a beginning
//! holds for everything that begins so, and it is final unless it is [`Parsed::Incomplete`].

use std::net::SocketAddr;

use thiserror::Error;

use crate::limits::PROXY_HEADER_BYTES_MAX;

mod v1;
mod v2;

pub use v2::{HEADER_BYTES_MAX, Written, write};

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A beginning of a header.
    Incomplete {
        /// With fewer than so many more bytes it cannot become complete. Never 0.
        need_bytes: usize,
    },
    /// A whole header.
    Complete(Header),
    /// It will never be one.
    Rejected(HeaderError),
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes: what follows belongs to the connection.
    pub header_bytes: usize,
    /// Where the connection came from. `None`: from the proxy itself (the command LOCAL), or from
    /// where TCP addresses do not tell.
    pub source: Option<SocketAddr>,
}

/// The rule that a header breaks.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum HeaderError {
    #[error("the connection does not begin with a PROXY protocol header")]
    Absent,
    #[error("a header of version 1 is longer than 107 bytes")]
    LineTooLong,
    #[error("a carriage return in a header of version 1 ends no line")]
    LineEnd,
    #[error("a header of version 1 has another form than `PROXY TCP4 IP IP PORT PORT`")]
    Line,
    #[error("the version and command of a binary header are not 2 with LOCAL or PROXY")]
    Command,
    #[error("the family and transport of a binary header are of no stream")]
    Family,
    #[error("a binary header is longer than {PROXY_HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("a binary header is shorter than its addresses")]
    AddressesTooShort,
    #[error("an extension of a binary header is longer than the header")]
    ExtensionTooLong,
    #[error("the checksum (CRC32C) of a binary header is wrong, or there twice")]
    Checksum,
}

/// Parses the first bytes of a connection.
#[must_use]
pub fn parse(wire: &[u8]) -> Parsed {
    match wire.first() {
        None => Parsed::Incomplete { need_bytes: 1 },
        Some(first) if *first == v1::SIGNATURE[0] => v1::parse(wire),
        Some(first) if *first == v2::SIGNATURE[0] => v2::parse(wire),
        Some(_) => Parsed::Rejected(HeaderError::Absent),
    }
}

/// Whether what is there of a signature is right; the whole is longer by so many bytes.
fn missing_of_signature(wire: &[u8], signature: &[u8]) -> Result<usize, HeaderError> {
    let there = wire.len().min(signature.len());
    match wire.get(..there) == signature.get(..there) {
        true => Ok(signature.len().saturating_sub(there)),
        false => Err(HeaderError::Absent),
    }
}
