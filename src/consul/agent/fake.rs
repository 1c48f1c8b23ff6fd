//! An agent for tests that answers as it is told to, also in ways that no agent does.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// What the agent was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and path with query.
    pub(crate) line: String,
    /// The headers, in lower case.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What it does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Sends this, and keeps the connection.
    Raw(Vec<u8>),
    /// Sends this, and closes the connection.
    Last(Vec<u8>),
    /// Sends the head, then for ever what follows.
    Endless(Vec<u8>),
    /// Sends the head, then a byte of the rest each second.
    Trickle(Vec<u8>, Vec<u8>),
    /// Sends this after a while.
    After(Duration, Vec<u8>),
    /// Says nothing.
    Silence,
}

/// The agent, while its runtime runs.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) asked: Rc<RefCell<Vec<Asked>>>,
    pub(crate) connections: Rc<Cell<usize>>,
    pub(crate) sent_bytes: Rc<Cell<usize>>,
    answer: Rc<dyn Fn(&Asked) -> Reply>,
}

impl Fake {
    fn new(answer: impl Fn(&Asked) -> Reply + 'static) -> Self {
        Self {
            asked: Rc::default(),
            connections: Rc::default(),
            sent_bytes: Rc::default(),
            answer: Rc::new(answer),
        }
    }

    /// On a port of its own.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + 'static) -> (Self, SocketAddr) {
        Self::start_with(None, answer).await
    }

    /// On a port of its own, with TLS.
    pub(crate) async fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
        answer: impl Fn(&Asked) -> Reply + 'static,
    ) -> (Self, SocketAddr) {
        let fake = Self::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = fake.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.connections.set(own.connections.get() + 1);
                let (own, tls) = (own.clone(), tls.clone());
                spawn_local(async move {
                    match tls {
                        None => own.serve(stream).await,
                        Some(tls) => {
                            let stream = TlsAcceptor::from(tls).accept(stream).await?;
                            own.serve(stream).await
                        }
                    }
                });
            }
        });
        (fake, address)
    }

    /// On a unix socket.
    pub(crate) fn start_unix(path: &Path, answer: impl Fn(&Asked) -> Reply + 'static) -> Self {
        let fake = Self::new(answer);
        let listener = UnixListener::bind(path).unwrap();
        let own = fake.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.connections.set(own.connections.get() + 1);
                let own = own.clone();
                spawn_local(async move { own.serve(stream).await });
            }
        });
        fake
    }

    /// The lines of what it was asked so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|asked| asked.line.clone()).collect()
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            let Some(asked) = read(&mut stream).await? else {
                return Ok(());
            };
            let reply = (self.answer)(&asked);
            self.asked.borrow_mut().push(asked);
            match reply {
                Reply::Raw(bytes) => stream.write_all(&bytes).await?,
                Reply::Last(bytes) => {
                    stream.write_all(&bytes).await?;
                    return stream.shutdown().await;
                }
                Reply::Endless(head) => {
                    stream.write_all(&head).await?;
                    let block = [b' '; 65_536];
                    loop {
                        stream.write_all(&block).await?;
                        self.sent_bytes.set(self.sent_bytes.get() + block.len());
                    }
                }
                Reply::Trickle(head, rest) => {
                    stream.write_all(&head).await?;
                    for byte in rest {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        stream.write_all(&[byte]).await?;
                    }
                }
                Reply::After(time, bytes) => {
                    tokio::time::sleep(time).await;
                    stream.write_all(&bytes).await?;
                }
                Reply::Silence => std::future::pending().await,
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let text = String::from_utf8(head).unwrap();
    let (line, headers) = text.split_once("\r\n").unwrap();
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |digits| digits.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Some(Asked {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }))
}

/// An answer with a body.
pub(crate) fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A good answer with an index.
pub(crate) fn good(index: &str, body: &str) -> Reply {
    Reply::Raw(reply("200 OK", &format!("X-Consul-Index: {index}\r\n"), body))
}

/// An answer after the wait that was asked for.
pub(crate) fn held(asked: &Asked, index: &str, body: &str) -> Reply {
    match good(index, body) {
        Reply::Raw(bytes) if asked.line.contains("index=") => {
            Reply::After(Duration::from_secs(30), bytes)
        }
        reply => reply,
    }
}

/// Runs a test on one thread, as the control thread does. With its clock paused, time passes
/// when nothing else is left to do.
pub(crate) fn run<T>(paused: bool, test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test)
}
