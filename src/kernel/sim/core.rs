//! What simulated kernels and the test share: connections, listeners, time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::faults::{Fault, Faults};
use super::operation::{InFlight, KernelState};
use super::pipe::PAGE_BYTES;
use super::random::Random;
use super::socket::{Connection, End};
use crate::kernel::{Errno, Readiness, Tick, Token};

/// What splice can put into one slot at most: a fragment of a socket buffer.
const FRAGMENT_BYTES_MAX: usize = 32_768;

/// How a world is.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Determines every choice.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether a turn with nothing to tell returns at once, so that whoever drives the worker
    /// decides when time goes on; else that turn lets the time pass itself.
    pub stepwise: bool,
    /// Whether what is sent arrives at any time, in any portions; else at once.
    pub slow_wire: bool,
    /// Whether received segments grow together at random; else each takes a slot per page.
    pub merged_segments: bool,
    /// Bytes that each socket can send ahead, and receive ahead.
    pub socket_buffer_bytes: usize,
    /// A dial takes at most this long, if its destination answers at all.
    pub dial_us_max: u64,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            faults: Faults::none(),
            stepwise: false,
            slow_wire: false,
            merged_segments: false,
            socket_buffer_bytes: 1 << 20,
            dial_us_max: 0,
        }
    }
}

/// One end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndId {
    pub(super) connection: usize,
    pub(super) side: usize,
}

impl EndId {
    pub(super) fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }
}

/// A listening socket, of a simulated kernel or of the test.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) waiting: Vec<EndId>,
    pub(super) backlog_max: usize,
    pub(super) open: bool,
}

/// What an address does to those who dial it, if nobody listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It never answers.
    Silent,
    /// The dial fails with this error.
    Fails(Errno),
}

/// What became of knocking at an address.
#[derive(Debug)]
pub(super) enum Knock {
    Connected(EndId),
    Silent,
    Failed(Errno),
}

/// What is open, held or under way: all zero when everything was cleaned up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Sockets that the simulated kernels handed out and that were not closed.
    pub socket_count: usize,
    /// Pipes not closed.
    pub pipe_count: usize,
    /// Operations whose last completion was not told.
    pub operation_count: usize,
}

/// The state behind a world.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: WorldOptions,
    pub(super) random: Random,
    pub(super) now: Tick,
    /// By number; those of which both ends are closed and silent are gone.
    pub(super) connections: BTreeMap<usize, Connection>,
    connection_next: usize,
    port_next: u16,
    pub(super) listeners: Vec<Listener>,
    pub(super) nobody: BTreeMap<SocketAddr, Nobody>,
    pub(super) kernels: Vec<KernelState>,
    pub(super) open: Open,
    /// Pipes closed with bytes in them, so far.
    pub(super) dirty_pipe_count: u64,
}

impl Core {
    pub(super) fn new(options: WorldOptions) -> Self {
        Self {
            random: Random::new(options.seed),
            options,
            // Not zero: nothing may take a time of zero for "never".
            now: Tick(1_000_000),
            connections: BTreeMap::new(),
            connection_next: 0,
            port_next: 32_768,
            listeners: Vec::new(),
            nobody: BTreeMap::new(),
            kernels: Vec::new(),
            open: Open::default(),
            dirty_pipe_count: 0,
        }
    }

    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        self.options.faults.strikes(fault, &mut self.random)
    }

    pub(super) fn connection(&mut self, id: EndId) -> &mut Connection {
        self.connections.get_mut(&id.connection).expect("a connection is kept while an end is open")
    }

    pub(super) fn end(&mut self, id: EndId) -> &mut End {
        &mut self.connection(id).ends[id.side]
    }

    /// Connects two ends; side 0 is the dialer.
    pub(super) fn join(&mut self, listener: SocketAddr) -> EndId {
        self.port_next = self.port_next.checked_add(1).unwrap_or(32_768);
        let dialer = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port_next));
        let id = self.connection_next;
        self.connection_next += 1;
        let buffer_bytes = self.options.socket_buffer_bytes;
        self.connections.insert(id, Connection::new(dialer, listener, buffer_bytes));
        EndId { connection: id, side: 0 }
    }

    /// Connects to an address, as SYN and SYN-ACK do.
    pub(super) fn knock(&mut self, to: SocketAddr) -> Knock {
        let open = |l: &&Listener| l.open && l.address == to;
        let count = self.listeners.iter().filter(open).count();
        if count == 0 {
            return match self.nobody.get(&to) {
                None => Knock::Failed(Errno::ECONNREFUSED),
                Some(Nobody::Silent) => Knock::Silent,
                Some(Nobody::Fails(errno)) => Knock::Failed(*errno),
            };
        }
        // SO_REUSEPORT chooses by a hash of the addresses: as good as at random.
        let chosen = self.random.count_below(count);
        let found = self.listeners.iter().enumerate().filter(|(_, l)| open(l)).nth(chosen);
        let (index, listener) = found.expect("fewer chosen than counted");
        if listener.waiting.len() >= listener.backlog_max {
            return Knock::Silent;
        }
        let dialer = self.join(to);
        self.listeners[index].waiting.push(dialer.other());
        Knock::Connected(dialer)
    }

    /// Stops listening: those who wait to be accepted are reset.
    pub(super) fn stop_listening(&mut self, index: usize) {
        self.listeners[index].open = false;
        for end in std::mem::take(&mut self.listeners[index].waiting) {
            self.end(end).reset();
            self.close_end(end);
        }
    }

    pub(super) fn reset_end(&mut self, id: EndId) {
        self.end(id).reset();
        self.arrive(id);
    }

    pub(super) fn finish_end(&mut self, id: EndId) {
        self.end(id).finish();
        self.arrive(id);
    }

    pub(super) fn close_end(&mut self, id: EndId) {
        self.end(id).close();
        self.arrive(id);
        self.forget(id.connection);
    }

    /// After something was sent or read on one end: what can arrive does, if the wire is fast.
    pub(super) fn arrive(&mut self, id: EndId) {
        if !self.options.slow_wire {
            self.carry_all(id.connection);
        }
    }

    /// Some of what is on the wire arrives, in portions chosen at random.
    pub(super) fn drift(&mut self) {
        for id in self.carrying() {
            for side in 0..2 {
                if self.random.one_in(2) {
                    let portion = if self.random.one_in(3) { usize::MAX } else { 4096 };
                    let most_bytes = self.random.count_below(portion);
                    self.carry(id, side, most_bytes);
                }
            }
            self.forget(id);
        }
    }

    /// Everything on the wire arrives that can. Returns whether anything was there.
    pub(super) fn settle(&mut self) -> bool {
        let carrying = self.carrying();
        for &id in &carrying {
            self.carry_all(id);
            self.forget(id);
        }
        !carrying.is_empty()
    }

    fn carrying(&self) -> Vec<usize> {
        self.connections.iter().filter(|(_, c)| c.is_carrying()).map(|(&id, _)| id).collect()
    }

    fn carry_all(&mut self, id: usize) {
        while self.connections.get(&id).is_some_and(Connection::is_carrying) {
            self.carry(id, 0, usize::MAX);
            self.carry(id, 1, usize::MAX);
        }
    }

    fn carry(&mut self, id: usize, side: usize, most_bytes: usize) {
        let merge = self.options.merged_segments && self.random.one_in(2);
        let merged_bytes_max = if merge { FRAGMENT_BYTES_MAX } else { 0 };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.carry(side, most_bytes, merged_bytes_max);
        }
    }

    /// Drops a connection that nobody holds and nothing will arrive on.
    fn forget(&mut self, id: usize) {
        let over = |c: &Connection| c.ends.iter().all(End::is_closed) && !c.is_carrying();
        if self.connections.get(&id).is_some_and(over) {
            self.connections.remove(&id);
        }
    }

    /// How long the pieces are that one write becomes.
    pub(super) fn fragment_bytes(&mut self) -> usize {
        if self.options.merged_segments && self.random.one_in(2) {
            FRAGMENT_BYTES_MAX
        } else {
            PAGE_BYTES
        }
    }

    /// The network breaks a connection now and then.
    pub(super) fn maybe_break(&mut self, id: EndId) {
        if !self.end(id).is_dead() && self.strikes(Fault::Reset) {
            for end in &mut self.connection(id).ends {
                end.receive_reset();
            }
        }
    }

    /// Promises another edge, after something was cut short that need not have been.
    pub(super) fn owe(&mut self, id: EndId, edges: Readiness) {
        self.end(id).wake(edges);
    }

    /// The watch in flight on an end, in any kernel.
    pub(super) fn watch_of(&self, id: EndId) -> Option<Token> {
        self.kernels.iter().find_map(|kernel| {
            kernel.operations.iter().find_map(|(&token, operation)| match operation {
                InFlight::Watch(watch) if watch.end == id => Some(token),
                _ => None,
            })
        })
    }
}
