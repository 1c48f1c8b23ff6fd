//! HTTP with an agent, without the client that is tested. Blocking, one connection per request.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// Where an agent listens.
#[derive(Clone)]
pub enum Endpoint {
    /// `http`.
    Tcp(Ipv4Addr),
    /// `http` at another port than an agent's.
    At(SocketAddr),
    /// The same with an Envoy, which does not speak HTTP/1.0.
    Envoy(SocketAddr),
    /// `https`, with the TLS of a client that it trusts.
    Tls(Ipv4Addr, Arc<rustls::ClientConfig>),
    /// `unix`.
    Unix(PathBuf),
}

/// What an agent answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, lower-cased.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// `X-Consul-Index`.
    pub fn index(&self) -> Option<u64> {
        let line = self.head.lines().find_map(|line| line.strip_prefix("x-consul-index:"));
        line.and_then(|value| value.trim().parse().ok())
    }
}

/// A request that was asked; longer than any held one.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Asks; `None` if nobody answers. The body ends with the connection.
pub fn ask(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Option<Answer> {
    let token = token.map(|token| format!("X-Consul-Token: {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let version = match endpoint {
        Endpoint::Envoy(_) => "HTTP/1.1\r\nConnection: close",
        _ => "HTTP/1.0",
    };
    let request = format!(
        "{method} {path} {version}\r\nHost: consul\r\n{token}Content-Length: {length}\r\n\r\n\
         {body}"
    );
    let answer = match endpoint {
        Endpoint::Tcp(host) => exchange(connect(*host, 8500)?, &request),
        Endpoint::At(address) | Endpoint::Envoy(address) => {
            exchange(connect(address.ip(), address.port())?, &request)
        }
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).ok()?;
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            exchange(stream, &request)
        }
        Endpoint::Tls(host, config) => {
            let name = host.to_string().try_into().unwrap();
            let client = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
            exchange(rustls::StreamOwned::new(client, connect(*host, 8501)?), &request)
        }
    }?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let is_chunked = head.contains("\r\ntransfer-encoding: chunked");
    let body = if is_chunked { unchunked(body)? } else { body.to_owned() };
    Some(Answer { status, head, body })
}

/// A body that came in chunks (RFC 9112 §7.1); `None` if it is not whole.
fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size_bytes = usize::from_str_radix(size, 16).ok()?;
        if size_bytes == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size_bytes)?);
        body = rest.get(size_bytes..)?.strip_prefix("\r\n")?;
    }
}

fn connect(host: impl Into<IpAddr>, port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::new(host.into(), port)).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    Some(stream)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    stream.flush().ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
