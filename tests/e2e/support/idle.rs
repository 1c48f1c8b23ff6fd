//! Many sessions that carried something and then lie idle.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::gateway::{Gateway, free_address};
use super::hello::Hello;

/// A backend that takes so many bytes, answers with as many, and keeps the connection.
pub struct Keeper {
    /// Where it listens.
    pub address: SocketAddr,
    kept: mpsc::Receiver<TcpStream>,
}

impl Keeper {
    /// For sessions that carry so many bytes each way.
    pub fn start(carried_bytes: usize) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).unwrap();
        let (keep, kept) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; carried_bytes];
            while let Ok((mut stream, _)) = listener.accept() {
                let served = stream.read_exact(&mut buffer);
                if served.and_then(|()| stream.write_all(&buffer)).is_err() {
                    return;
                }
                if keep.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, kept }
    }

    /// Opens sessions one by one and lets each carry its bytes; returns both ends of all.
    pub fn sessions(
        &self,
        gateway: &Gateway,
        names: &[String],
        count: usize,
        carried_bytes: usize,
    ) -> Vec<(TcpStream, TcpStream)> {
        let mut buffer = vec![0; carried_bytes];
        let indexes = 0..count;
        let open = indexes.map(|index| {
            let mut sent = Hello::to(&names[index % names.len()]).wire();
            sent.resize(carried_bytes, index as u8);
            let mut client = connect_from(index, gateway.address);
            client.write_all(&sent).unwrap();
            client.read_exact(&mut buffer).unwrap();
            assert!(buffer == sent, "session {index} returned other bytes");
            (client, self.kept.recv().unwrap())
        });
        open.collect()
    }
}

/// A connection whose source address depends on the index: 250 to an address.
fn connect_from(index: usize, to: SocketAddr) -> TcpStream {
    let host = Ipv4Addr::new(127, 9, (index / 250) as u8, 1);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Raises the limit of descriptors of the test process to what it may be.
pub fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
