//! What Linux counts of a connection.

use std::net::TcpStream;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// How many segments there were since the SYN, by tcp(7)'s TCP_INFO.
pub fn segments_received(socket: &TcpStream) -> u32 {
    // SAFETY: all of its fields are integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length_bytes = libc::socklen_t::try_from(size_of_val(&info)).unwrap();
    let to = (&raw mut info).cast();
    // SAFETY: getsockopt(2) writes at most `length_bytes` bytes at `to`, which is as large. The
    // descriptor is borrowed.
    let result = unsafe {
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        libc::getsockopt(socket.as_raw_fd(), level, name, to, &raw mut length_bytes)
    };
    Errno::result(result).unwrap();
    info.tcpi_segs_in
}
