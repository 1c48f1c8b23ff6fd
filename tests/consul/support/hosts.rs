//! Loopback addresses that nobody else uses.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// A host of its own in 127.128.0.0/9; Linux has all of them. Every role of a test gets one, so
/// that all can use their usual ports.
pub fn free_host() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test programs that run at the same time start far from each other.
        let number = std::process::id().wrapping_mul(0x9e37_79b1).wrapping_add(count) % (1 << 23);
        let [_, high, middle, low] = number.to_be_bytes();
        let host = Ipv4Addr::new(127, 128 | high, middle, low);
        let is_special = matches!(low, 0 | 255);
        if !is_special && ![8300, 8443, 8500].iter().any(|&port| is_used(host, port)) {
            return host;
        }
    }
}

/// Asked without a listener, of which a process just started would keep a copy.
fn is_used(host: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect(SocketAddr::from((host, port))).is_ok()
}
