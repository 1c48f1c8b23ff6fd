//! Plain sockets with deadlines, and how a connection ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::SOON;
use super::gateway::free_address;

/// A backend that the test plays itself, connection by connection.
pub struct Backend {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Backend {
    /// Listens at a new address.
    pub fn new() -> Self {
        let address = free_address();
        Self { listener: TcpListener::bind(address).unwrap(), address }
    }

    /// The next connection; panics if none comes soon.
    pub fn accept(&self) -> TcpStream {
        self.accept_within(SOON).expect("no connection reached the backend")
    }

    /// The next connection, if one comes in time.
    pub fn accept_within(&self, time: Duration) -> Option<TcpStream> {
        let timeout = PollTimeout::try_from(time).unwrap();
        let mut waiting = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, timeout).unwrap() == 0 {
            return None;
        }
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Some(stream)
    }

    /// The next connection, once exactly these bytes have come through it.
    pub fn accept_expecting(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.accept();
        expect(&mut stream, bytes);
        stream
    }
}

/// Reads exactly these bytes.
pub fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == bytes, "other bytes than those sent ({} of them)", bytes.len());
}

/// How a stream ended, after what.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Finished,
    /// With RST.
    Reset,
}

/// Reads to the end.
pub fn drain(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, End::Finished),
            Ok(count) => bytes.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (bytes, End::Reset);
            }
            Err(error) => panic!("after {} bytes: {error}", bytes.len()),
        }
    }
}

/// Reads to the end, which must be an orderly one after exactly these bytes.
pub fn expect_end(stream: &mut TcpStream, bytes: &[u8]) {
    let (got, end) = drain(stream);
    assert_eq!(end, End::Finished, "after {} of {} bytes", got.len(), bytes.len());
    assert!(got == bytes, "other bytes than those sent: {} of {}", got.len(), bytes.len());
}

/// Closes with RST, whatever is queued (socket(7), SO_LINGER).
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Sends each piece as a segment of its own.
pub fn send_in_pieces(stream: &mut TcpStream, bytes: &[u8], sizes: &[usize]) {
    stream.set_nodelay(true).unwrap();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, more) = rest.split_at(size.clamp(1, rest.len()));
        stream.write_all(piece).unwrap();
        rest = more;
    }
}
