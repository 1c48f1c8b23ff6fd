//! Numbers that a peer counts itself.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What a peer has counted so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) completions: u64,
    pub(crate) turns: u64,
}

/// Asks `host:port/path`.
pub(super) fn ask(url: &str, completions: &str, turns: &str) -> io::Result<Counted> {
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let numbers: Value = serde_json::from_str(body)?;
    let number = |pointer: &str| {
        let found = numbers.pointer(pointer).and_then(Value::as_u64);
        found.ok_or_else(|| io::Error::other(format!("no number {pointer} at {url}")))
    };
    Ok(Counted { completions: number(completions)?, turns: number(turns)? })
}
