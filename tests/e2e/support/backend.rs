//! Services with identities: each has a certificate of its own, and says so in its answers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, server};

use super::gateway::free_address;
use super::pattern::Pattern;
use super::plan::{Ending, HEAD_BYTES, SessionPlan};

/// What one side of a session saw.
pub type Outcome = Result<(), String>;

/// The services' side of the sessions, by nonce.
#[derive(Clone, Default)]
pub struct Outcomes {
    outcomes: Arc<Mutex<HashMap<u64, Outcome>>>,
    changed: Arc<tokio::sync::Notify>,
}

impl Outcomes {
    /// What the service saw of a session; waits for it to end.
    pub async fn of(&self, nonce: u64) -> Outcome {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(outcome) = self.outcomes.lock().unwrap().remove(&nonce) {
                return outcome;
            }
            changed.await;
        }
    }

    fn put(&self, nonce: u64, outcome: Outcome) {
        let before = self.outcomes.lock().unwrap().insert(nonce, outcome);
        assert!(before.is_none(), "session {nonce:#x} reached a service twice");
        self.changed.notify_waiters();
    }
}

/// Starts a service on the present runtime; it lives as long as that.
pub async fn serve(index: usize, config: Arc<ServerConfig>, outcomes: Outcomes) -> SocketAddr {
    let address = free_address();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (acceptor, outcomes) = (TlsAcceptor::from(config.clone()), outcomes.clone());
            tokio::spawn(async move {
                // A session that ends before its head has no nonce to be asked for by.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; HEAD_BYTES];
                if stream.read_exact(&mut head).await.is_err() {
                    return;
                }
                let plan = SessionPlan::from_head(&head);
                outcomes.put(plan.nonce, session(stream, index, plan).await);
            });
        }
    });
    address
}

async fn session(
    mut stream: server::TlsStream<TcpStream>,
    index: usize,
    plan: SessionPlan,
) -> Outcome {
    if plan.backend != index {
        return Err(format!("a session for backend {} reached backend {index}", plan.backend));
    }
    if stream.get_ref().1.peer_certificates().is_none() {
        return Err("the client shows no certificate".to_owned());
    }
    // The answer's head: who answers, and whom.
    let mut answer = [0; 16];
    answer[..8].copy_from_slice(&plan.nonce.to_le_bytes());
    answer[8..].copy_from_slice(&(index as u64).to_le_bytes());
    stream.write_all(&answer).await.map_err(|error| format!("head: {error}"))?;
    let side = Side {
        received: Pattern::new(plan.nonce),
        receive_bytes: plan.up_bytes,
        sent: Pattern::new(!plan.nonce),
        send_bytes: plan.down_bytes,
        resets: plan.ending == Ending::BackendResets,
        is_reset: plan.ending == Ending::ClientResets,
        reset_at_bytes: plan.reset_at_bytes,
        sends_last: plan.ending == Ending::ClientFirst,
        stall: Duration::from_millis(plan.backend_stall_ms.into()),
    };
    side.run(stream).await
}

/// One side of a session, whichever.
pub struct Side {
    /// The stream to receive.
    pub received: Pattern,
    /// Its length.
    pub receive_bytes: u64,
    /// The stream to send.
    pub sent: Pattern,
    /// Its length.
    pub send_bytes: u64,
    /// Whether this side resets.
    pub resets: bool,
    /// Whether the other side does.
    pub is_reset: bool,
    /// After how many received bytes.
    pub reset_at_bytes: u64,
    /// Whether this side sends only after it has received everything.
    pub sends_last: bool,
    /// A pause in the middle of receiving.
    pub stall: Duration,
}

/// A stream over TCP, so that it can be reset.
pub trait OverTcp: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl OverTcp for server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl OverTcp for tokio_rustls::client::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Side {
    /// Plays it to the end.
    pub async fn run<S: OverTcp>(self, stream: S) -> Outcome {
        if self.resets {
            // Effective when the stream is dropped: then it ends with RST, not with FIN.
            stream.socket().set_zero_linger().map_err(|error| error.to_string())?;
        }
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (received_all, mut may_send) = watch::channel(!self.sends_last);
        let (sent, send_bytes, resets) = (self.sent.clone(), self.send_bytes, self.resets);
        let sending = tokio::spawn(async move {
            let _ = may_send.wait_for(|may| *may).await;
            send(&mut writer, sent, send_bytes).await?;
            if resets { Ok(writer) } else { writer.shutdown().await.map(|()| writer) }
        });
        let received = self.receive(&mut reader).await;
        if self.resets {
            sending.abort();
            let _ = sending.await;
            return received.map(drop);
        }
        let _ = received_all.send(true);
        let sent = sending.await.map_err(|error| error.to_string())?;
        match (received?, sent) {
            (Ended::Reset, _) => Ok(()),
            // A socket tells of its reset once: here it told the sending half.
            (Ended::Cut, Err(error)) if is_reset(&error) => Ok(()),
            (Ended::Cut, sent) => Err(format!("FIN where RST is due; sending: {:?}", sent.err())),
            (Ended::Finished, Err(error)) => Err(format!("sending: {error}")),
            (Ended::Finished, Ok(_)) => Ok(()),
        }
    }

    /// Receives everything, to the end that is due.
    async fn receive<R: AsyncRead + Unpin>(&self, reader: &mut R) -> Result<Ended, String> {
        let mut pattern = self.received.clone();
        let mut buffer = vec![0; 16_384];
        let stop_at = if self.resets { self.reset_at_bytes } else { u64::MAX };
        let mut stall = Some(self.stall).filter(|time| !time.is_zero());
        while pattern.at_bytes() < stop_at {
            if pattern.at_bytes() >= self.receive_bytes / 2
                && let Some(time) = stall.take()
            {
                tokio::time::sleep(time).await;
            }
            match reader.read(&mut buffer).await {
                Ok(0) if self.is_reset => return Err("close_notify where RST is due".to_owned()),
                Ok(0) if pattern.at_bytes() == self.receive_bytes => return Ok(Ended::Finished),
                Ok(0) => return Err(format!("FIN after {} bytes", pattern.at_bytes())),
                Ok(count) => pattern.check(&buffer[..count])?,
                Err(error) if self.is_reset && is_reset(&error) => return Ok(Ended::Reset),
                Err(error) if self.is_reset && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Ended::Cut);
                }
                Err(error) => {
                    let (at, all) = (pattern.at_bytes(), self.receive_bytes);
                    return Err(format!("{error} after {at} of {all} bytes"));
                }
            }
        }
        Ok(Ended::Finished)
    }
}

/// How what a side receives ended.
enum Ended {
    /// As it should, or where this side resets.
    Finished,
    /// With RST.
    Reset,
    /// With FIN and no close_notify.
    Cut,
}

async fn send<W: AsyncWrite + Unpin>(
    writer: &mut W,
    mut pattern: Pattern,
    count_bytes: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16_384];
    while pattern.at_bytes() < count_bytes {
        let rest_bytes = count_bytes - pattern.at_bytes();
        let size = usize::try_from(rest_bytes).unwrap_or(usize::MAX).min(buffer.len());
        pattern.fill(&mut buffer[..size]);
        writer.write_all(&buffer[..size]).await?;
    }
    writer.flush().await
}

/// Whether an error is what a reset looks like. A FIN would be an unexpected end of file.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
