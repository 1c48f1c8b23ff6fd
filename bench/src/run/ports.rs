//! Ports for the backend and the proxies: below the range that connections are made from, so that
//! none of these can be on them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::{fs, iter};

use socket2::{Domain, Socket, Type};

/// The lowest that is tried.
const LOWEST: u16 = 2048;

/// An address on loopback that nobody listens on. Every call gives another.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let highest = first_ephemeral().max(LOWEST + 1) - 1;
    let candidates = iter::repeat_with(|| {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        highest - taken % (highest - LOWEST)
    });
    for port in candidates.take(usize::from(highest - LOWEST)) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None)?;
        if socket.bind(&address.into()).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// Where `net.ipv4.ip_local_port_range` begins.
fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

/// Whether somebody listens on a port of IPv4, by the kernel's own list (proc(5), net/tcp).
pub(crate) fn is_listening(port: u16) -> bool {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        let has_port = local
            .and_then(|local| local.rsplit_once(':'))
            .is_some_and(|(_, digits)| u16::from_str_radix(digits, 16) == Ok(port));
        has_port && state == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_seen_and_its_port_is_not_given_away() {
        let address = free_address().unwrap();
        assert!(!is_listening(address.port()));
        let listener = TcpListener::bind(address).unwrap();
        assert!(is_listening(address.port()));
        assert_ne!(free_address().unwrap(), address);
        drop(listener);
    }
}
