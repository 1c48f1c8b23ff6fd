//! From records to the one handshake message that they begin with (RFC 8446 §5.1, §4).

use super::hello_error::HelloError;
use super::reader::Stop;
use super::record::{HEADER_BYTES, Record};
use crate::limits::{HANDSHAKE_BYTES_MAX, RECORD_BYTES_MAX};

/// Handshake type and length.
pub(super) const MESSAGE_HEADER_BYTES: usize = 4;

const CLIENT_HELLO: u8 = 1;

/// Where a handshake message that came in several records is put together. It carries nothing
/// from one parse to the next, so one serves any number of connections.
pub struct Scratch(Box<[u8]>);

impl Scratch {
    /// A scratch area; its pages become resident when first written.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; HANDSHAKE_BYTES_MAX.saturating_add(MESSAGE_HEADER_BYTES)].into_boxed_slice())
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its content: bytes of some client.
        formatter.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// The first handshake message of a connection, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The message as far as it has arrived, header included, and nothing after it.
    pub(super) bytes: &'a [u8],
    /// What is missing of it. Meaningless while the header is not whole.
    pub(super) missing_bytes: usize,
    /// Whether it is known to be spread over several records.
    pub(super) fragmented: bool,
    /// What the records up to the message's end take on the wire, as far as they are known.
    pub(super) wire_bytes: usize,
    /// How many bytes of wire are missing at least, up to the end of the record in which the
    /// message ends; or the rule that the record layer breaks after `bytes`.
    pub(super) wire_missing: Result<usize, HelloError>,
}

/// Finds the first handshake message of `wire`. In one record it is borrowed from there,
/// in several it is put together in `scratch`.
pub(super) fn assemble<'a>(
    wire: &'a [u8],
    scratch: &'a mut Scratch,
) -> Result<Message<'a>, HelloError> {
    let first = match Record::first(wire) {
        Ok(first) => first,
        Err(Stop::Broken(error)) => return Err(error),
        Err(Stop::Starved) => return Ok(without_record(wire)),
    };
    let message_bytes = message_bytes(first.fragment)?;
    if message_bytes.unwrap_or(MESSAGE_HEADER_BYTES) > first.length_bytes() {
        return gather(wire, first, scratch);
    }
    let bytes = message_bytes.and_then(|end| first.fragment.get(..end)).unwrap_or(first.fragment);
    let missing_bytes = message_bytes.unwrap_or(MESSAGE_HEADER_BYTES).saturating_sub(bytes.len());
    // Without the header, wait for it alone: it tells whether the rest is worth waiting for.
    let known = message_bytes.is_some();
    Ok(Message {
        bytes,
        missing_bytes,
        fragmented: false,
        wire_bytes: first.wire_bytes(),
        wire_missing: Ok(if known { first.missing_bytes } else { missing_bytes }),
    })
}

/// No record header yet. On nothing at all a single byte is worth waking for: most of what is
/// not TLS shows in it.
const fn without_record(wire: &[u8]) -> Message<'_> {
    let need_bytes = if wire.is_empty() { 1 } else { HEADER_BYTES.saturating_sub(wire.len()) };
    Message {
        bytes: &[],
        missing_bytes: MESSAGE_HEADER_BYTES,
        fragmented: false,
        wire_bytes: 0,
        wire_missing: Ok(need_bytes),
    }
}

/// Puts a message in several records together, record by record.
fn gather<'a>(
    wire: &'a [u8],
    first: Record<'a>,
    scratch: &'a mut Scratch,
) -> Result<Message<'a>, HelloError> {
    let buffer = &mut scratch.0;
    let mut gathered_bytes: usize = 0;
    let mut wire_bytes: usize = 0;
    let mut whole_bytes = None;
    let mut record = first;
    let wire_missing = loop {
        wire_bytes = wire_bytes.saturating_add(record.wire_bytes());
        let wanted_bytes = whole_bytes.unwrap_or(buffer.len()).saturating_sub(gathered_bytes);
        let taken = record.fragment.get(..wanted_bytes).unwrap_or(record.fragment);
        if let Some(room) = buffer.get_mut(gathered_bytes..).and_then(|b| b.get_mut(..taken.len()))
        {
            room.copy_from_slice(taken);
            gathered_bytes = gathered_bytes.saturating_add(taken.len());
        }
        if whole_bytes.is_none() {
            whole_bytes = message_bytes(buffer.get(..gathered_bytes).unwrap_or_default())?;
            gathered_bytes = gathered_bytes.min(whole_bytes.unwrap_or(gathered_bytes));
        }
        let missing_bytes =
            whole_bytes.unwrap_or(MESSAGE_HEADER_BYTES).saturating_sub(gathered_bytes);
        let rest = wire.get(wire_bytes..).unwrap_or_default();
        if missing_bytes == 0 || record.missing_bytes > 0 {
            break Ok(least_wire_bytes(missing_bytes, record.missing_bytes, 0));
        }
        match Record::following(rest) {
            Ok(next) => record = next,
            Err(Stop::Starved) => break Ok(least_wire_bytes(missing_bytes, 0, rest.len())),
            Err(Stop::Broken(error)) => break Err(error),
        }
    };
    let bytes = buffer.get(..gathered_bytes).unwrap_or_default();
    let missing_bytes = whole_bytes.unwrap_or(MESSAGE_HEADER_BYTES).saturating_sub(gathered_bytes);
    Ok(Message { bytes, missing_bytes, fragmented: true, wire_bytes, wire_missing })
}

/// The least that `message_missing_bytes` take on the wire, when the current record lacks
/// `record_missing_bytes` and `header_bytes` of the next record's header are there.
const fn least_wire_bytes(
    message_missing_bytes: usize,
    record_missing_bytes: usize,
    header_bytes: usize,
) -> usize {
    let beyond_bytes = message_missing_bytes.saturating_sub(record_missing_bytes);
    let header_count = beyond_bytes.div_ceil(RECORD_BYTES_MAX);
    let content_bytes = record_missing_bytes.saturating_add(beyond_bytes);
    content_bytes
        .saturating_add(header_count.saturating_mul(HEADER_BYTES))
        .saturating_sub(header_bytes)
}

/// The length of the message that `bytes` begins, header included, once that is known. Its
/// type is judged as soon as it is there.
fn message_bytes(bytes: &[u8]) -> Result<Option<usize>, HelloError> {
    if bytes.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(HelloError::NotClientHello);
    }
    let Some(&[_, high, middle, low]) = bytes.first_chunk::<MESSAGE_HEADER_BYTES>() else {
        return Ok(None);
    };
    // On every target of this program a usize has at least these 24 bits.
    let body_bytes = (usize::from(high) << 16) | (usize::from(middle) << 8) | usize::from(low);
    if body_bytes > HANDSHAKE_BYTES_MAX {
        return Err(HelloError::MessageTooLong);
    }
    Ok(Some(body_bytes.saturating_add(MESSAGE_HEADER_BYTES)))
}
