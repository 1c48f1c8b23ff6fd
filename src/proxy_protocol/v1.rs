//! Version 1: a line of text (§2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, HeaderError, Parsed, missing_of_signature};

pub(super) const SIGNATURE: [u8; 6] = *b"PROXY ";

/// With its line end; a receiver must look no further for it (§2.1).
const LINE_BYTES_MAX: usize = 107;
const LINE_END_BYTES: usize = 2;
/// `PROXY UNKNOWN`, and the line end.
const LINE_BYTES_LEAST: usize = 15;

pub(super) fn parse(wire: &[u8]) -> Parsed {
    if let Err(error) = missing_of_signature(wire, &SIGNATURE) {
        return Parsed::Rejected(error);
    }
    let searched = wire.get(..LINE_BYTES_MAX).unwrap_or(wire);
    let Some(end) = memchr::memchr(b'\r', searched) else {
        return match searched.len() {
            // Only the line feed is still to come, and there is no room for both.
            count if count >= LINE_BYTES_MAX - 1 => Parsed::Rejected(HeaderError::LineTooLong),
            count => Parsed::Incomplete {
                need_bytes: LINE_BYTES_LEAST.saturating_sub(count).max(LINE_END_BYTES),
            },
        };
    };
    match wire.get(end.saturating_add(1)) {
        None if end.saturating_add(LINE_END_BYTES) > LINE_BYTES_MAX => {
            Parsed::Rejected(HeaderError::LineTooLong)
        }
        None => Parsed::Incomplete { need_bytes: 1 },
        Some(b'\n') if end.saturating_add(LINE_END_BYTES) > LINE_BYTES_MAX => {
            Parsed::Rejected(HeaderError::LineTooLong)
        }
        Some(b'\n') => match source(wire.get(..end).unwrap_or_default()) {
            Ok(source) => Parsed::Complete(Header {
                header_bytes: end.saturating_add(LINE_END_BYTES),
                source,
            }),
            Err(error) => Parsed::Rejected(error),
        },
        Some(_) => Parsed::Rejected(HeaderError::LineEnd),
    }
}

/// Reads a line without its end.
fn source(line: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Line)?;
    let mut words = line.split(' ').skip(1);
    let read = match words.next() {
        // Whatever follows must be ignored (§2.1).
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => addresses::<Ipv4Addr>(&mut words),
        Some("TCP6") => addresses::<Ipv6Addr>(&mut words),
        _ => None,
    };
    match (read, words.next()) {
        (Some(source), None) => Ok(Some(source).filter(|source| source.port() != 0)),
        _ => Err(HeaderError::Line),
    }
}

fn addresses<'a, A>(words: &mut impl Iterator<Item = &'a str>) -> Option<SocketAddr>
where
    A: FromStr + Into<IpAddr>,
{
    let source: A = words.next()?.parse().ok()?;
    let _destination: A = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let _destination_port = port(words.next()?)?;
    Some(SocketAddr::new(source.into(), source_port))
}

/// A decimal number without zeros in front (§2.1).
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}
