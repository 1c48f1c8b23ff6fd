//! Listening sockets that a service manager has opened (sd_listen_fds(3)): the port stays open
//! while the gateway is started anew, and needs no privilege of the gateway's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::{Socket, Type};

use crate::error::StartError;

/// A listening TCP socket that was passed to this process.
#[derive(Debug)]
pub struct Inherited {
    /// What it listens on.
    pub address: SocketAddr,
    pub(super) socket: Socket,
}

/// Takes those that were passed to this process; a second call finds none. To be called before
/// any thread is started, since it changes the environment.
///
/// # Errors
/// One of them is no listening TCP socket, or `LISTEN_FDS` names what is not open.
pub fn listeners() -> Result<Vec<Inherited>, StartError> {
    let passed = sd_notify::listen_fds().map_err(StartError::system("taking LISTEN_FDS"))?;
    let passed: Vec<(RawFd, OwnedFd)> = passed.map(|number| (number, own(number))).collect();
    passed.into_iter().map(|(number, owned)| listener(number, owned)).collect()
}

fn own(number: RawFd) -> OwnedFd {
    // SAFETY: `from_raw_fd` wants an open descriptor that nothing else owns. `LISTEN_PID` names
    // this process, so who executed it has passed these on for it alone; that they are open is
    // known since `listen_fds` has set a flag on each; and it has removed the variables, so that
    // no second call hands them out.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn listener(number: RawFd, passed: OwnedFd) -> Result<Inherited, StartError> {
    let socket = Socket::from(passed);
    let address = tcp_listener(&socket).ok().flatten();
    address
        .map(|address| Inherited { address, socket })
        .ok_or(StartError::PassedNoListener { number })
}

fn tcp_listener(socket: &Socket) -> io::Result<Option<SocketAddr>> {
    let listens = socket.r#type()? == Type::STREAM && socket.is_listener()?;
    let address = socket.local_addr()?.as_socket();
    Ok(address.filter(|_| listens))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_listening_tcp_sockets_are_taken() {
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let connected = TcpStream::connect(address).unwrap();
        assert_eq!(listener(3, tcp.into()).unwrap().address, address);
        let unix = std::env::temp_dir().join(format!("sluice-passed-{}", std::process::id()));
        let others: [OwnedFd; 3] = [
            connected.into(),
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            UnixListener::bind(&unix).unwrap().into(),
        ];
        std::fs::remove_file(unix).unwrap();
        for (number, other) in (4..).zip(others) {
            let error = listener(number, other).unwrap_err().to_string();
            assert!(error.contains(&format!("descriptor {number}")), "{error}");
        }
    }
}
