//! Version 2: binary (§2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc};

use super::{Header, HeaderError, Parsed, missing_of_signature};
use crate::limits::PROXY_HEADER_BYTES_MAX;

pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, command, family, length.
const FIXED_BYTES: usize = 16;
/// Two addresses and two ports.
const INET_BYTES: usize = 12;
const INET6_BYTES: usize = 36;
/// Two paths.
const UNIX_BYTES: usize = 216;
/// Type and length.
const EXTENSION_HEADER_BYTES: usize = 3;

/// The extension that is a checksum (§2.2.3).
const CHECKSUM: u8 = 0x03;
/// The polynomial of RFC 4960, appendix B.
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

pub(super) fn parse(wire: &[u8]) -> Parsed {
    let missing = match missing_of_signature(wire, &SIGNATURE) {
        Ok(missing) => missing,
        Err(error) => return Parsed::Rejected(error),
    };
    let rest = wire.get(SIGNATURE.len()..).unwrap_or_default();
    if let Some(error) = judge_early(rest) {
        return Parsed::Rejected(error);
    }
    let Some(&[command, family, high, low]) = rest.first_chunk() else {
        let need_bytes = missing.saturating_add(4).saturating_sub(rest.len());
        return Parsed::Incomplete { need_bytes };
    };
    let body_bytes = usize::from(u16::from_be_bytes([high, low]));
    let header_bytes = FIXED_BYTES.saturating_add(body_bytes);
    if header_bytes > PROXY_HEADER_BYTES_MAX {
        return Parsed::Rejected(HeaderError::TooLong);
    }
    let Some(header) = wire.get(..header_bytes) else {
        return Parsed::Incomplete { need_bytes: header_bytes.saturating_sub(wire.len()) };
    };
    match source(command, family, header) {
        Ok(source) => Parsed::Complete(Header { header_bytes, source }),
        Err(error) => Parsed::Rejected(error),
    }
}

/// What is wrong with the command and the family, as far as they are there.
fn judge_early(after_signature: &[u8]) -> Option<HeaderError> {
    let command = after_signature.first()?;
    if !matches!(*command, LOCAL | PROXY) {
        return Some(HeaderError::Command);
    }
    let family = after_signature.get(1)?;
    // The proxy speaks for itself, of whatever family that is (§2.2).
    let known = matches!(*family, UNSPECIFIED | TCP_OVER_IPV4 | TCP_OVER_IPV6 | UNIX_STREAM);
    (*command == PROXY && !known).then_some(HeaderError::Family)
}

fn source(command: u8, family: u8, header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    if command == LOCAL {
        return Ok(None);
    }
    let address_bytes = match family {
        TCP_OVER_IPV4 => INET_BYTES,
        TCP_OVER_IPV6 => INET6_BYTES,
        UNIX_STREAM => UNIX_BYTES,
        _ => return Ok(None),
    };
    let body = header.get(FIXED_BYTES..).unwrap_or_default();
    let split = body.split_at_checked(address_bytes);
    let (addresses, extensions) = split.ok_or(HeaderError::AddressesTooShort)?;
    check_extensions(header, extensions)?;
    let source = match family {
        TCP_OVER_IPV4 => first_address::<4>(addresses, 8),
        TCP_OVER_IPV6 => first_address::<16>(addresses, 32),
        _ => None,
    };
    Ok(source.filter(|source| source.port() != 0))
}

fn first_address<const N: usize>(addresses: &[u8], port_at: usize) -> Option<SocketAddr>
where
    [u8; N]: Into<IpAddr>,
{
    let ip: [u8; N] = *addresses.first_chunk()?;
    let port = addresses.get(port_at..)?.first_chunk()?;
    Some(SocketAddr::new(ip.into(), u16::from_be_bytes(*port)))
}

/// Of the extensions only the checksum is of use here; all have to be within the header (§2.2.7).
fn check_extensions(header: &[u8], mut rest: &[u8]) -> Result<(), HeaderError> {
    let mut checksum = None;
    while !rest.is_empty() {
        let (&[kind, high, low], after) = rest
            .split_first_chunk::<EXTENSION_HEADER_BYTES>()
            .ok_or(HeaderError::ExtensionTooLong)?;
        let length_bytes = usize::from(u16::from_be_bytes([high, low]));
        let split = after.split_at_checked(length_bytes);
        let (value, behind) = split.ok_or(HeaderError::ExtensionTooLong)?;
        if kind == CHECKSUM && checksum.replace((value, behind)).is_some() {
            return Err(HeaderError::Checksum);
        }
        rest = behind;
    }
    match checksum {
        Some((value, behind)) if !is_checksum(header, value, behind) => Err(HeaderError::Checksum),
        _ => Ok(()),
    }
}

/// Whether a value is the checksum of the header in which it is: of all of it, with zeros in the
/// place of the value.
fn is_checksum(header: &[u8], value: &[u8], behind: &[u8]) -> bool {
    let Ok(told) = <[u8; 4]>::try_from(value) else { return false };
    let value_at = header.len().saturating_sub(behind.len()).saturating_sub(told.len());
    let mut found = CRC32C.digest();
    found.update(header.get(..value_at).unwrap_or_default());
    found.update(&[0; 4]);
    found.update(behind);
    found.finalize() == u32::from_be_bytes(told)
}

/// The longest header that [`write`] makes.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + INET6_BYTES;

/// A header, made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    bytes: [u8; HEADER_BYTES_MAX],
    length_bytes: usize,
}

impl Written {
    /// Its bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length_bytes).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.length_bytes).zip(bytes) {
            *to = *from;
        }
        self.length_bytes = self.length_bytes.saturating_add(bytes.len()).min(HEADER_BYTES_MAX);
    }
}

/// Makes the header of a connection from one address to another; where they are not known, one
/// that says so.
#[must_use]
pub fn write(addresses: Option<(SocketAddr, SocketAddr)>) -> Written {
    let mut header = Written { bytes: [0; HEADER_BYTES_MAX], length_bytes: 0 };
    header.push(&SIGNATURE);
    let Some((source, destination)) = addresses else {
        header.push(&[PROXY, UNSPECIFIED, 0, 0]);
        return header;
    };
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) {
        header.push(&[PROXY, TCP_OVER_IPV4, 0, 12]);
        header.push(&from.octets());
        header.push(&to.octets());
    } else {
        header.push(&[PROXY, TCP_OVER_IPV6, 0, 36]);
        header.push(&in_six(source.ip()).octets());
        header.push(&in_six(destination.ip()).octets());
    }
    header.push(&source.port().to_be_bytes());
    header.push(&destination.port().to_be_bytes());
    header
}

/// One family for both: an IPv4 address is written as IPv6 writes it (RFC 4291 §2.5.5.2).
fn in_six(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::to_ipv6_mapped(&ip),
        IpAddr::V6(ip) => ip,
    }
}
