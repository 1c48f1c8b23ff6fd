//! A session: the pair of connections, and what is known of it.
//!
//! ```text
//! Sniffing ──▶ Dialing ──▶ Relaying ──▶ Closing
//!    │          │   ▲         │            ▲
//!    │          │   └─────────┘ (before the first upstream byte)
//!    └──────────┴──▶ Refused ──────────────┘
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::kernel::{BufferId, Kernel, Op, Readiness, Tick};
use crate::route::{ClusterId, EndpointId};
use crate::tls::client_hello::HelloError;

use super::access::Admission;
use super::names::Name;

/// One session, in its slot. At most 256 bytes, asserted for the production kernels.
pub(crate) struct Session<S, P> {
    pub(crate) phase: Phase<S, P>,
    pub(crate) facts: Facts,
    pub(crate) in_flight: InFlight,
    /// The drain has come to its end: the timer closes it, whatever it is doing.
    pub(crate) doomed: bool,
    /// Whether its hello may be looked at.
    pub(crate) admission: Admission,
    /// Whether it counts as one of its source whose hello is incomplete.
    pub(crate) hello_counted: bool,
    /// One connection broke; what it had sent is being delivered.
    pub(crate) breaking: bool,
    /// How many periods of the access log it had when it was last recorded, modulo 256.
    pub(crate) recorded_periods: u8,
}

/// Where a session is, with what it has there.
pub(crate) enum Phase<S, P> {
    /// Reading the hello.
    Sniffing { downstream: Side<S>, held: Held },
    /// Connecting to an endpoint.
    Dialing(Dialing<S>),
    /// Moving bytes.
    Relaying(Relaying<S, P>),
    /// On its way out of this worker, until its last completion has come.
    Leaving(Relaying<S, P>),
    /// The client has its alert; its last bytes are thrown away until it closes.
    Refused { downstream: Side<S> },
    /// Waiting for the last completions, to close.
    Closing {
        downstream: Option<S>,
        upstream: Option<S>,
        /// A hello that the kernel may still be sending.
        held: Held,
    },
    /// Being moved from one phase to the next; never seen between calls.
    Between,
}

/// What a dialing session has.
pub(crate) struct Dialing<S> {
    pub(crate) downstream: Side<S>,
    pub(crate) held: Held,
    pub(crate) attempts: Attempts,
    /// An upstream connection that failed before its first byte, until its watch has ended.
    pub(crate) failed: Option<S>,
}

/// What a relaying session has.
pub(crate) struct Relaying<S, P> {
    pub(crate) downstream: Side<S>,
    pub(crate) upstream: Side<S>,
    pub(crate) up: Flow<P>,
    pub(crate) down: Flow<P>,
    /// The hello, until it is sent and the endpoint has answered: it may have to be replayed.
    pub(crate) opening: Option<Box<Opening>>,
}

impl<S, P> Relaying<S, P> {
    pub(crate) const fn flow(&mut self, direction: Direction) -> &mut Flow<P> {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// A hello that may have to be sent again.
pub(crate) struct Opening {
    pub(crate) held: Held,
    /// How much of it is sent.
    pub(crate) sent_bytes: usize,
    pub(crate) attempts: Attempts,
}

/// Where the bytes of a hello are that left the receive queue.
#[derive(Debug)]
pub(crate) enum Held {
    /// None did.
    Nothing,
    /// In a buffer of the kernel layer's pool.
    Pooled(BufferId),
    /// In memory of their own: a hello in several records. Counted, and few.
    Reassembly(Box<Reassembly>),
}

/// A hello that is collected.
#[derive(Debug)]
pub(crate) struct Reassembly {
    pub(crate) wire: Vec<u8>,
    /// With fewer bytes there is nothing new to be found: what wakes the worker too early (urgent
    /// data does, SO_RCVLOWAT or not) must not cost a parse each time.
    pub(crate) parse_at_bytes: usize,
    /// Whether it is one of the few; what came with a parcel is not.
    pub(crate) counted: bool,
}

impl Held {
    /// How many bytes of the hello are held.
    pub(crate) fn length_bytes<K: Kernel>(&self, kernel: &mut K) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Pooled(id) => kernel.buffers().bytes(id).len(),
            Self::Reassembly(reassembly) => reassembly.wire.len(),
        }
    }
}

/// The endpoints tried for a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    tried: [EndpointId; 4],
    pub(crate) count: u8,
    /// Whether the hello has a header before it that tells whose it is.
    pub(crate) announced: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { tried: [EndpointId(u32::MAX); 4], count: 0, announced: false }
    }
}

impl Attempts {
    /// Those of a session that may not try any more.
    pub(crate) fn exhausted() -> Self {
        Self { count: u8::MAX, ..Self::default() }
    }

    /// Remembers an endpoint; of more than four, the last ones.
    pub(crate) fn add(&mut self, endpoint: EndpointId) {
        self.tried.rotate_right(1);
        if let Some(first) = self.tried.first_mut() {
            *first = endpoint;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Forgets the last one: it was not its fault.
    pub(crate) fn take_back(&mut self) {
        self.tried.rotate_left(1);
        self.count = self.count.saturating_sub(1);
    }

    /// Those tried, last first.
    pub(crate) fn tried(&self) -> &[EndpointId] {
        self.tried.get(..usize::from(self.count)).unwrap_or(&self.tried)
    }
}

/// One connection of the pair, and what is known of its readiness.
#[derive(Debug)]
pub(crate) struct Side<S> {
    pub(crate) socket: S,
    /// There may be something to read. Cleared by would-block and by a short read.
    pub(crate) readable: bool,
    /// There may be room to write. Cleared by would-block.
    pub(crate) writable: bool,
    /// The peer's FIN or the end of the connection stands behind what can still be read.
    pub(crate) ended: bool,
    /// Urgent data came: a read stops short of it, with more in the queue (tcp(7)).
    pub(crate) urgent: bool,
    /// `SO_RCVLOWAT`.
    pub(crate) low_water_bytes: u16,
    /// A write failed: what can still be read is delivered, and then no FIN but a reset.
    pub(crate) broken: bool,
}

impl<S> Side<S> {
    /// A fresh connection: nothing known to be readable, and room in its send buffer.
    pub(crate) const fn new(socket: S) -> Self {
        Self {
            socket,
            readable: false,
            writable: true,
            ended: false,
            urgent: false,
            low_water_bytes: 1,
            broken: false,
        }
    }

    /// Takes note that a read was shorter than its room: the queue is empty, unless there is
    /// more to come that no edge will tell of.
    pub(crate) const fn note_short_read(&mut self) {
        self.readable = self.ended || self.urgent;
    }

    /// Arranges that it is readable from so many received bytes on. Setting that is an edge of
    /// its own if they are there, so what is set already is not set again.
    pub(crate) fn set_low_water<K: Kernel<Socket = S>>(&mut self, kernel: &mut K, bytes: usize) {
        // What is waited for is at most the rest of one record.
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        if self.low_water_bytes != bytes {
            self.low_water_bytes = bytes;
            kernel.low_water(&self.socket, bytes.into());
        }
    }

    /// Takes note of edges.
    pub(crate) fn note(&mut self, ready: Readiness) {
        const ENDS: Readiness = Readiness::FINISHED.with(Readiness::BROKEN);
        if ready.any(Readiness::IN.with(ENDS)) {
            self.readable = true;
        }
        self.ended |= ready.any(ENDS);
        self.urgent |= ready.any(Readiness::URGENT);
        if ready.any(Readiness::OUT.with(Readiness::BROKEN)) {
            self.writable = true;
        }
    }
}

/// One direction of a relaying session.
#[derive(Debug)]
pub(crate) struct Flow<P> {
    /// Borrowed while bytes are in it, or more are expected at once.
    pub(crate) pipe: Option<P>,
    pub(crate) bytes: u64,
    pub(crate) state: FlowState,
    pub(crate) mode: Mode,
    /// Full reads in a row (copying), or small wakes in a row (splicing).
    pub(crate) streak: u8,
    /// It waits in the worker's queue for its next share.
    pub(crate) queued: bool,
}

impl<P> Flow<P> {
    pub(crate) const fn new() -> Self {
        Self {
            pipe: None,
            bytes: 0,
            state: FlowState::Open,
            mode: Mode::Copy,
            streak: 0,
            queued: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowState {
    /// Its source may send more.
    Open,
    /// Its source sent FIN; what came before it may still be on its way.
    SourceEnded,
    /// Everything is delivered, FIN included.
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Copy,
    Splice,
}

/// The directions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From downstream to upstream.
    Up,
    /// From upstream to downstream.
    Down,
}

impl Direction {
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// What the access log wants to know.
pub(crate) struct Facts {
    pub(crate) accepted_at: Tick,
    /// When something last moved.
    pub(crate) active_at: Tick,
    /// From accept to the complete hello; `u32::MAX` if it never was.
    pub(crate) hello_us: u32,
    /// From there to connected; `u32::MAX` if it never was.
    pub(crate) connect_us: u32,
    pub(crate) name: Option<Name>,
    pub(crate) peer: Peer,
    /// The cluster that the session has entered.
    pub(crate) cluster: Option<ClusterId>,
    /// The endpoint that it counts as a connection of.
    pub(crate) endpoint: Option<EndpointId>,
    /// The address last dialed.
    pub(crate) upstream: Peer,
    pub(crate) attempt_count: u8,
    /// The rule that the hello broke.
    pub(crate) hello_error: Option<HelloError>,
    pub(crate) listener: u16,
}

impl Facts {
    /// Those of a connection just accepted.
    pub(crate) const fn new(now: Tick, listener: u16, peer: Peer) -> Self {
        Self {
            accepted_at: now,
            active_at: now,
            hello_us: u32::MAX,
            connect_us: u32::MAX,
            name: None,
            peer,
            cluster: None,
            endpoint: None,
            upstream: Peer::UNKNOWN,
            attempt_count: 0,
            hello_error: None,
            listener,
        }
    }
}

/// A socket address in 18 bytes, the port 0 if it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    ip: [u8; 16],
    port: u16,
}

impl Peer {
    pub(crate) const UNKNOWN: Self = Self { ip: [0; 16], port: 0 };

    pub(crate) fn address(self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    pub(crate) fn ip(self) -> Option<IpAddr> {
        (self.port != 0).then(|| IpAddr::from(self.ip).to_canonical())
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Self { ip, port: address.port() }
    }
}

/// The operations of a session whose last completion has not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight(u8);

impl InFlight {
    pub(crate) const fn add(&mut self, op: Op) {
        self.0 |= 1 << op as u8;
    }

    pub(crate) const fn remove(&mut self, op: Op) {
        self.0 &= !(1 << op as u8);
    }

    pub(crate) const fn has(self, op: Op) -> bool {
        self.0 & (1 << op as u8) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive() {
        for text in ["127.0.0.1:80", "[2001:db8::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::from(address).address(), Some(address));
        }
        assert_eq!(Peer::default().address(), None);
    }

    #[test]
    fn attempts_keep_the_last_four() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.tried(), []);
        for id in 0..6 {
            attempts.add(EndpointId(id));
        }
        assert_eq!(attempts.count, 6);
        assert_eq!(attempts.tried(), [5, 4, 3, 2].map(EndpointId));
    }
}
