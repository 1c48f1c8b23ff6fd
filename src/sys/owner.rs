//! Who listens on a TCP address: `/proc/net/tcp` names the socket, `/proc/PID/fd` its process.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A process that holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`), without control characters.
    pub command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command)
    }
}

/// The inodes of all sockets that listen on this address, or on one that overlaps it.
#[must_use]
pub fn listening_inodes(address: SocketAddr) -> HashSet<u64> {
    let mut inodes = HashSet::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let listeners = text.lines().skip(1).filter_map(parse_listener);
        inodes.extend(
            listeners.filter(|(other, _)| overlap(*other, address)).map(|(_, inode)| inode),
        );
    }
    inodes
}

/// The processes that hold one of these sockets, as far as this user may see.
#[must_use]
pub fn owners_of(inodes: &HashSet<u64>) -> Vec<Owner> {
    let mut owners = Vec::new();
    let Ok(processes) = fs::read_dir("/proc") else { return owners };
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            let link = fs::read_link(descriptor.path()).ok();
            link.and_then(|link| socket_inode(link.to_str()?)).is_some_and(|i| inodes.contains(&i))
        });
        if holds {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let command = command.trim_end().chars().filter(|c| !c.is_control()).collect();
            owners.push(Owner { pid, command });
        }
    }
    owners
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// One line of proc_net_tcp(5): its local address and inode, if it is in state LISTEN (0A).
fn parse_listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    let state = fields.nth(1)?;
    if state != "0A" {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some((SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?), inode))
}

/// Addresses are printed as 32-bit words in the host's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |from: usize| u32::from_str_radix(hex.get(from..from.checked_add(8)?)?, 16).ok();
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes()))),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index.checked_mul(8)?)?.to_ne_bytes());
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Whether two listeners would meet: the same port, and the same address or a wildcard. An IPv6
/// wildcard may take IPv4 too.
fn overlap(other: SocketAddr, wanted: SocketAddr) -> bool {
    if other.port() != wanted.port() {
        return false;
    }
    let (other, wanted) = (other.ip(), wanted.ip());
    other == wanted
        || (other.is_unspecified() && (other.is_ipv6() || wanted.is_ipv4()))
        || (wanted.is_unspecified() && other.is_ipv4() == wanted.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn finds_this_process_by_its_listener() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bind).unwrap();
            let address = listener.local_addr().unwrap();
            let inodes = listening_inodes(address);
            assert_eq!(inodes.len(), 1, "{address}");
            let owners = owners_of(&inodes);
            assert!(owners.iter().any(|owner| owner.pid == std::process::id()), "{owners:?}");
            drop(listener);
            assert!(listening_inodes(address).is_empty());
        }
    }

    #[test]
    fn wildcards_overlap_with_what_they_cover() {
        let overlap = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("0.0.0.0:1", "127.0.0.1:1") && overlap("127.0.0.1:1", "0.0.0.0:1"));
        assert!(overlap("[::]:1", "127.0.0.1:1") && overlap("[::]:1", "[::1]:1"));
        assert!(!overlap("0.0.0.0:1", "[::1]:1") && !overlap("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!overlap("127.0.0.1:1", "127.0.0.1:2"));
    }

    #[test]
    fn lines_that_are_not_listeners_are_passed_over() {
        for line in ["", "0: zz:1 0:0 0A", "0: 0100007F:1F90 00000000:0000 01 0 0 0 0 0 7"] {
            assert_eq!(parse_listener(line), None, "{line}");
        }
    }
}
