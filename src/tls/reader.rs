//! A cursor over bytes of which the tail may not have arrived yet.

use super::hello_error::HelloError;

/// Why a walk over a message did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The next byte is promised by the lengths around it, and has not arrived.
    Starved,
    /// A rule is broken, whatever follows.
    Broken(HelloError),
}

impl From<HelloError> for Stop {
    fn from(error: HelloError) -> Self {
        Self::Broken(error)
    }
}

/// The rest of one length-delimited field. A read beyond the field is broken; a read within it
/// of what has not arrived is starved. So one walk judges whole and partial messages alike, and
/// a broken one no later than the byte that breaks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    arrived: &'a [u8],
    missing_bytes: usize,
    /// What it means when a length inside leads beyond the field's end.
    overrun: HelloError,
}

impl<'a> Reader<'a> {
    /// A field of which `arrived` is there and `missing_bytes` more are promised.
    pub(super) const fn new(arrived: &'a [u8], missing_bytes: usize, overrun: HelloError) -> Self {
        Self { arrived, missing_bytes, overrun }
    }

    /// Bytes up to the end of the field, arrived or not.
    pub(super) const fn left_bytes(&self) -> usize {
        self.arrived.len().saturating_add(self.missing_bytes)
    }

    /// Whether the field ends here.
    pub(super) const fn is_at_end(&self) -> bool {
        self.arrived.is_empty() && self.missing_bytes == 0
    }

    /// The part of the field that has arrived.
    pub(super) const fn arrived(&self) -> &'a [u8] {
        self.arrived
    }

    /// The field, if all of it has arrived.
    pub(super) const fn whole(&self) -> Result<&'a [u8], Stop> {
        if self.missing_bytes == 0 { Ok(self.arrived) } else { Err(Stop::Starved) }
    }

    /// Splits off the next `bytes` bytes as a field of their own.
    pub(super) fn field(&mut self, bytes: usize, overrun: HelloError) -> Result<Self, Stop> {
        if bytes > self.left_bytes() {
            return Err(Stop::Broken(self.overrun));
        }
        let (arrived, rest) = self.arrived.split_at_checked(bytes).unwrap_or((self.arrived, &[]));
        let missing_bytes = bytes.saturating_sub(arrived.len());
        self.arrived = rest;
        self.missing_bytes = self.missing_bytes.saturating_sub(missing_bytes);
        Ok(Self { arrived, missing_bytes, overrun })
    }

    /// The next `bytes` bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Stop> {
        self.field(bytes, self.overrun)?.whole()
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        self.array().map(|[byte]| byte)
    }

    /// The next two bytes, in network order.
    pub(super) fn u16(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        match self.arrived.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.arrived = rest;
                Ok(*taken)
            }
            None if N > self.left_bytes() => Err(Stop::Broken(self.overrun)),
            None => Err(Stop::Starved),
        }
    }
}
