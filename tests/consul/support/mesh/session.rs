//! Sessions of a sidecar: mutual TLS to a service, through a gateway or straight to it.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, StreamOwned};

use super::identity::{Identity, Target, uri_names};
use super::pattern::Pattern;
use crate::support::SOON;

/// One who dials.
#[derive(Clone)]
pub struct Caller {
    config: Arc<ClientConfig>,
    patience: Duration,
}

/// An open session, whose other side has proved who it is.
pub struct Session {
    stream: StreamOwned<ClientConnection, Counted>,
    pattern: Pattern,
    /// Which backend answered.
    pub tag: u64,
}

/// Why there is no session.
#[derive(Debug)]
pub enum Failure {
    /// The other side says so.
    Alert(AlertDescription),
    /// Anything else, after so many bytes from the other side.
    Broken { error: String, received_bytes: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Failure {
    /// Whether it is the alert of an unknown name.
    pub fn is_unrecognized_name(&self) -> bool {
        matches!(self, Self::Alert(AlertDescription::UnrecognisedName))
    }
}

impl Caller {
    /// A caller with an identity.
    pub fn new(identity: &Identity) -> Self {
        Self { config: identity.client(), patience: SOON }
    }

    /// The same, who does not wait for longer than this.
    pub fn patient_for(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Opens a session: connects, proves who it is, sees who the other side is, and hears which
    /// backend answers.
    pub fn open(&self, to: SocketAddr, target: &Target) -> Result<Session, Failure> {
        let received = Rc::new(Cell::new(0));
        let opened = self.try_open(to, target, &received);
        opened.map_err(|error| match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => Failure::Alert(*alert),
            _ => Failure::Broken { error: error.to_string(), received_bytes: received.get() },
        })
    }

    fn try_open(
        &self,
        to: SocketAddr,
        target: &Target,
        received: &Rc<Cell<u64>>,
    ) -> io::Result<Session> {
        let name = ServerName::try_from(target.server_name.clone()).map_err(io::Error::other)?;
        let client =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&to, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        let stream = Counted { stream, received: Rc::clone(received) };
        let mut stream = StreamOwned::new(client, stream);
        let mut tag = [0; 8];
        stream.read_exact(&mut tag)?;
        let certificate = stream.conn.peer_certificates().and_then(<[_]>::first);
        let proved = certificate.map(uri_names).unwrap_or_default();
        assert_eq!(proved, [target.id.as_str()], "who answered for {}", target.server_name);
        let tag = u64::from_le_bytes(tag);
        Ok(Session { stream, pattern: Pattern::new(tag), tag })
    }

    /// The backend that a new session reaches; the session exchanges some bytes and ends.
    pub fn reach(&self, to: SocketAddr, target: &Target) -> Result<u64, Failure> {
        let mut session = self.open(to, target)?;
        session.exchange(1024);
        Ok(session.tag)
    }
}

impl Session {
    /// Sends so many bytes, and sees exactly these come back.
    pub fn exchange(&mut self, count_bytes: usize) {
        self.try_exchange(count_bytes).unwrap_or_else(|error| panic!("a live session: {error}"));
    }

    pub fn try_exchange(&mut self, count_bytes: usize) -> io::Result<()> {
        const CHUNK_BYTES: usize = 16_384;
        let mut left_bytes = count_bytes;
        while left_bytes > 0 {
            let mut sent = vec![0; left_bytes.min(CHUNK_BYTES)];
            self.pattern.fill(&mut sent);
            self.stream.write_all(&sent)?;
            self.stream.flush()?;
            let mut back = vec![0; sent.len()];
            self.stream.read_exact(&mut back)?;
            assert!(back == sent, "other bytes than those sent");
            left_bytes -= sent.len();
        }
        Ok(())
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A connection that knows how much has come through it.
struct Counted {
    stream: TcpStream,
    received: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.received.set(self.received.get() + count as u64);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
