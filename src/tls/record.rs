//! The record layer of a plaintext handshake (RFC 8446 §5.1).

use super::hello_error::HelloError;
use super::reader::Stop;
use crate::limits::RECORD_BYTES_MAX;

/// Type, version and length.
pub(super) const HEADER_BYTES: usize = 5;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const MAJOR_VERSION: u8 = 3;

/// A handshake record, as far as it has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// The fragment, as far as it has arrived.
    pub(super) fragment: &'a [u8],
    /// What is missing of the fragment.
    pub(super) missing_bytes: usize,
}

impl<'a> Record<'a> {
    /// The record at the front of `wire`, the first one of the connection.
    pub(super) fn first(wire: &'a [u8]) -> Result<Self, Stop> {
        match wire.first() {
            None | Some(&HANDSHAKE) => Self::split(wire),
            Some(&ALERT) => Err(Stop::Broken(HelloError::AlertFirst)),
            Some(_) => Err(Stop::Broken(HelloError::NotTls)),
        }
    }

    /// The record at the front of `wire`, in the middle of a message. Starved if its header is
    /// not whole; what there is of the header is judged all the same.
    pub(super) fn following(wire: &'a [u8]) -> Result<Self, Stop> {
        match wire.first() {
            None | Some(&HANDSHAKE) => Self::split(wire),
            Some(_) => Err(Stop::Broken(HelloError::RecordInterleaved)),
        }
    }

    fn split(wire: &'a [u8]) -> Result<Self, Stop> {
        // The minor version is not looked at: clients send 1 and 3, and it must be ignored.
        if wire.get(1).is_some_and(|&major| major != MAJOR_VERSION) {
            return Err(Stop::Broken(HelloError::RecordVersion));
        }
        let Some((&[_, _, _, high, low], rest)) = wire.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Stop::Starved);
        };
        let length_bytes = usize::from(u16::from_be_bytes([high, low]));
        if length_bytes == 0 {
            return Err(Stop::Broken(HelloError::RecordEmpty));
        }
        if length_bytes > RECORD_BYTES_MAX {
            return Err(Stop::Broken(HelloError::RecordTooLong));
        }
        let fragment = rest.get(..length_bytes).unwrap_or(rest);
        Ok(Self { fragment, missing_bytes: length_bytes.saturating_sub(fragment.len()) })
    }

    /// What the whole record takes on the wire.
    pub(super) const fn wire_bytes(&self) -> usize {
        HEADER_BYTES.saturating_add(self.length_bytes())
    }

    /// The length of the fragment, arrived or not.
    pub(super) const fn length_bytes(&self) -> usize {
        self.fragment.len().saturating_add(self.missing_bytes)
    }
}
