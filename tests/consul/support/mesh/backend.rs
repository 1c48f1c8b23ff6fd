//! What is behind sidecars: says which backend it is, and sends back what it gets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::identity::Identity;
use crate::support::hosts::free_host;

/// The usual port of a sidecar.
const PORT: u16 = 21_000;

/// A backend. It accepts nothing more when dropped; sessions live on.
pub struct Backend {
    pub address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// A service that speaks mTLS itself, as a sidecar does for one.
    pub fn with_identity(identity: &Identity, tag: u64) -> Self {
        Self::new(usual(), Some(identity.server()), tag)
    }

    /// The same at an address; port 0: at any port of its host.
    pub fn at(address: SocketAddr, identity: &Identity, tag: u64) -> Self {
        Self::new(address, Some(identity.server()), tag)
    }

    /// A service that leaves that to its sidecar.
    pub fn plain(tag: u64) -> Self {
        Self::new(usual(), None, tag)
    }

    fn new(address: SocketAddr, tls: Option<Arc<ServerConfig>>, tag: u64) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ending);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let tls = tls.clone();
                // Whoever fails sees it on the other side.
                thread::spawn(move || serve(stream, tls, tag));
            }
        };
        Self { address, ending, thread: Some(thread::spawn(accept)) }
    }
}

/// The usual port, at a host of its own.
fn usual() -> SocketAddr {
    SocketAddr::from((free_host(), PORT))
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, tag: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => echo(stream, tag),
        Some(config) => {
            let server = ServerConnection::new(config).map_err(io::Error::other)?;
            echo(StreamOwned::new(server, stream), tag)
        }
    }
}

fn echo(mut stream: impl Read + Write, tag: u64) -> io::Result<()> {
    stream.write_all(&tag.to_le_bytes())?;
    stream.flush()?;
    let mut buffer = vec![0; 16_384];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
        stream.flush()?;
    }
}
