//! What a session leaves behind for the access log.
//!
//! A worker fills in a record and pushes it on a bounded queue; another thread formats it. A
//! full queue drops the record and counts it.

use std::net::SocketAddr;

use crate::kernel::Tick;
use crate::limits::SERVER_NAME_BYTES_MAX;
use crate::refusal::Refusal;
use crate::route::ClusterId;
use crate::tls::client_hello::HelloError;

/// How a session ended, or that it has not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both directions ended with FIN.
    Finished,
    /// It was refused before any endpoint was reached.
    Refused(Refusal),
    /// The downstream connection broke.
    DownstreamReset,
    /// The upstream connection broke.
    UpstreamReset,
    /// Nothing moved for the idle timeout.
    Idle,
    /// One direction had ended, and nothing moved for the half-close timeout.
    HalfCloseIdle,
    /// The drain timeout had come.
    Drained,
    /// It has not: it has reached its endpoint.
    Begun,
    /// It has not: it lasts.
    Ongoing,
}

/// One session, at its end or on the way there.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// How it ended.
    pub end: End,
    /// When it was accepted.
    pub accepted_at: Tick,
    /// When it ended; or, where it has not, when this was recorded.
    pub ended_at: Tick,
    /// From accept to complete hello, in microseconds, if it came so far.
    pub hello_us: Option<u32>,
    /// From complete hello to connected, retries included, in microseconds, if it came so far.
    pub connect_us: Option<u32>,
    /// Bytes relayed from downstream to upstream.
    pub bytes_up: u64,
    /// Bytes relayed from upstream to downstream.
    pub bytes_down: u64,
    /// The rule of TLS that the hello broke.
    pub hello_error: Option<HelloError>,
    /// Endpoints tried.
    pub attempt_count: u8,
    /// The client's address, if it was still known.
    pub downstream_peer: Option<SocketAddr>,
    /// The address that the client connected to.
    pub downstream_local: Option<SocketAddr>,
    /// The endpoint's address.
    pub upstream_peer: Option<SocketAddr>,
    /// Our address towards the endpoint.
    pub upstream_local: Option<SocketAddr>,
    /// The cluster that the name was routed to.
    pub cluster: Option<ClusterId>,
    /// The worker that had it.
    pub worker: u16,
    /// The listener that it came in by.
    pub listener: u16,
    name: [u8; SERVER_NAME_BYTES_MAX],
    name_bytes: u8,
}

impl SessionRecord {
    /// A record with nothing known but the end and the times.
    #[must_use]
    pub fn new(end: End, accepted_at: Tick, ended_at: Tick, worker: u16) -> Self {
        Self {
            end,
            accepted_at,
            ended_at,
            hello_us: None,
            connect_us: None,
            bytes_up: 0,
            bytes_down: 0,
            hello_error: None,
            attempt_count: 0,
            downstream_peer: None,
            downstream_local: None,
            upstream_peer: None,
            upstream_local: None,
            cluster: None,
            worker,
            listener: 0,
            name: [0; SERVER_NAME_BYTES_MAX],
            name_bytes: 0,
        }
    }

    /// Sets the server name, cut to its longest.
    pub fn set_server_name(&mut self, name: &str) {
        for (to, from) in self.name.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self.name_bytes = u8::try_from(name.len()).unwrap_or(u8::MAX);
    }

    /// The server name of the hello; empty if there was none.
    #[must_use]
    pub fn server_name(&self) -> &str {
        let bytes = self.name.get(..usize::from(self.name_bytes)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
