//! A simulated, seeded kernel.
//!
//! ```text
//!   worker ── Sim ─┐
//!   worker ── Sim ─┼─ World: connections, listeners, time, faults
//!   test ──── Far ─┘
//! ```
//!
//! One [`World`] holds any number of [`Sim`] kernels, one per simulated worker, between which
//! sockets and pipes can be moved, and the ends of connections that the test plays ([`Far`]).
//! A seed determines every choice. Misuse of the [`Kernel`] contract fails an assertion.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a simulation that contradicts itself has to stop; no peer reaches it"
)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{
    BufferId, Completions, DialOptions, Errno, HelloBuffers, Kernel, ListenerId, Readiness, Take,
    Tick, Token, Tried, Wait,
};

mod far;
mod faults;
mod operation;
mod pipe;
mod queue;
mod random;
mod socket;
mod world;

pub use far::{Far, FarListener};
pub use faults::{Fault, Faults};
pub use pipe::Pipe;
pub use random::Random;
pub use world::{KernelId, Nobody, Open, World, WorldOptions};

use operation::{Dial, Dialing, InFlight, KernelState, Watch};
use world::{Core, EndId, Listener};

/// A connected socket of a simulation. It belongs to no kernel in particular.
#[derive(Debug, PartialEq, Eq)]
pub struct Socket {
    end: EndId,
}

/// A kernel as one simulated worker sees it.
#[derive(Debug)]
pub struct Sim {
    core: Rc<RefCell<Core>>,
    id: KernelId,
    listeners: Vec<usize>,
    buffers: HelloBuffers,
    /// Buffers that nobody uses, kept from the worker.
    hoarded: Vec<BufferId>,
    now: Tick,
}

impl World {
    /// A kernel that listens at these addresses; several may listen at one (SO_REUSEPORT).
    #[must_use]
    pub fn kernel(&self, listeners: &[SocketAddr], hello_buffer_count: u16) -> Sim {
        let mut core = self.0.borrow_mut();
        let first = core.listeners.len();
        let backlog_max = usize::MAX;
        core.listeners.extend(listeners.iter().map(|&address| Listener {
            address,
            waiting: Vec::new(),
            backlog_max,
            open: true,
        }));
        let listeners = (first..core.listeners.len()).collect();
        core.kernels.push(KernelState::default());
        Sim {
            core: Rc::clone(&self.0),
            id: KernelId(core.kernels.len() - 1),
            listeners,
            buffers: HelloBuffers::new(hello_buffer_count),
            hoarded: Vec::new(),
            now: core.now,
        }
    }
}

impl Sim {
    /// Which of the world's kernels this is.
    #[must_use]
    pub fn id(&self) -> KernelId {
        self.id
    }

    /// Two ends of one connection, both the worker's.
    #[must_use]
    pub fn pair(&mut self) -> (Socket, Socket) {
        let mut core = self.core.borrow_mut();
        let end = core.join(SocketAddr::from(([127, 0, 0, 1], 1)));
        (core.hand_out(end), core.hand_out(end.other()))
    }

    /// The present readiness of a socket, by level.
    #[must_use]
    pub fn readiness(&self, socket: &Socket) -> Readiness {
        self.core.borrow_mut().end(socket.end).level()
    }

    /// How many bytes wait to be received.
    #[must_use]
    pub fn received_bytes(&self, socket: &Socket) -> usize {
        self.core.borrow_mut().end(socket.end).received_bytes()
    }

    /// How many slots of a pipe the first `count_bytes` received would take.
    #[must_use]
    pub fn received_slot_count(&self, socket: &Socket, count_bytes: usize) -> usize {
        self.core.borrow_mut().end(socket.end).received_fragment_count(count_bytes)
    }

    fn begin(&mut self, token: Token, operation: InFlight) {
        let mut core = self.core.borrow_mut();
        let earlier = core.kernels[self.id.0].operations.insert(token, operation);
        assert!(earlier.is_none(), "{token:?} is in flight already");
    }

    /// Reads that may be cut short: how many of `most_bytes` to give, or nothing yet.
    fn restrain_input(&self, socket: &Socket, most_bytes: usize, short: Fault) -> Option<usize> {
        let mut core = self.core.borrow_mut();
        core.maybe_break(socket.end);
        if !core.end(socket.end).has_input() {
            return Some(most_bytes);
        }
        if core.strikes(Fault::WouldBlock) {
            core.owe(socket.end, Readiness::IN);
            return None;
        }
        let could_bytes = core.end(socket.end).received_bytes().min(most_bytes);
        if could_bytes > 1 && core.strikes(short) {
            core.owe(socket.end, Readiness::IN);
            return Some(core.random.count_to(could_bytes - 1));
        }
        Some(most_bytes)
    }

    /// The same for writes.
    fn restrain_output(&self, socket: &Socket, most_bytes: usize, short: Fault) -> Option<usize> {
        let mut core = self.core.borrow_mut();
        core.maybe_break(socket.end);
        if !core.end(socket.end).has_room() {
            return Some(most_bytes);
        }
        if core.strikes(Fault::WouldBlock) {
            core.owe(socket.end, Readiness::OUT);
            return None;
        }
        if most_bytes > 1 && core.strikes(short) {
            core.owe(socket.end, Readiness::OUT);
            return Some(core.random.count_to(most_bytes - 1));
        }
        Some(most_bytes)
    }
}

impl Kernel for Sim {
    type Socket = Socket;
    type Pipe = Pipe;

    fn recv(&mut self, socket: &Socket, to: &mut [u8], take: Take) -> Tried<usize> {
        let Some(most) = self.restrain_input(socket, to.len(), Fault::ShortRead) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).recv(&mut to[..most], take);
        core.arrive(socket.end);
        tried
    }

    fn discard(&mut self, socket: &Socket, count_bytes: usize) -> Tried<usize> {
        let Some(most) = self.restrain_input(socket, count_bytes, Fault::ShortRead) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).discard(most);
        core.arrive(socket.end);
        tried
    }

    fn send(&mut self, socket: &Socket, bytes: &[u8]) -> Tried<usize> {
        let Some(most) = self.restrain_output(socket, bytes.len(), Fault::ShortWrite) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let fragment_bytes = core.fragment_bytes();
        let tried = core.end(socket.end).send(&bytes[..most], fragment_bytes);
        core.arrive(socket.end);
        tried
    }

    fn low_water(&mut self, socket: &Socket, bytes: usize) {
        self.core.borrow_mut().end(socket.end).low_water(bytes);
    }

    fn pipe(&mut self, capacity_bytes: usize, least_bytes: usize) -> Result<Pipe, Errno> {
        let mut core = self.core.borrow_mut();
        if core.strikes(Fault::PipeRefused) {
            let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::EPERM];
            return Err(core.random.pick(&errnos));
        }
        let smaller = capacity_bytes > least_bytes && core.strikes(Fault::PipeSmaller);
        core.open.pipe_count += 1;
        Ok(Pipe::new(if smaller { least_bytes } else { capacity_bytes }))
    }

    fn pipe_pending_bytes(&self, pipe: &Pipe) -> usize {
        pipe.pending_bytes()
    }

    fn pipe_capacity_bytes(&self, pipe: &Pipe) -> usize {
        pipe.capacity_bytes()
    }

    fn stash(&mut self, pipe: &mut Pipe, bytes: &[u8]) -> Tried<usize> {
        pipe.write(bytes)
    }

    fn fill(&mut self, socket: &Socket, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
        let Some(most) = self.restrain_input(socket, most_bytes, Fault::ShortSplice) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).fill(pipe, most);
        core.arrive(socket.end);
        tried
    }

    fn flush(&mut self, pipe: &mut Pipe, socket: &Socket) -> Tried<usize> {
        let pending_bytes = pipe.pending_bytes();
        assert!(pending_bytes > 0, "flush of an empty pipe to {socket:?}");
        let Some(most) = self.restrain_output(socket, pending_bytes, Fault::ShortSplice) else {
            return Tried::Later;
        };
        let mut core = self.core.borrow_mut();
        let tried = core.end(socket.end).flush(pipe, most);
        core.arrive(socket.end);
        tried
    }

    fn close_pipe(&mut self, _pipe: Pipe) {
        self.core.borrow_mut().open.pipe_count -= 1;
    }

    fn finish(&mut self, socket: &Socket) {
        self.core.borrow_mut().finish_end(socket.end);
    }

    fn reset(&mut self, socket: &Socket) {
        self.core.borrow_mut().reset_end(socket.end);
    }

    fn close(&mut self, socket: Socket) {
        let mut core = self.core.borrow_mut();
        let watch = core.watch_of(socket.end);
        assert_eq!(watch, None, "{socket:?} was closed with a watch in flight");
        core.open.socket_count -= 1;
        core.close_end(socket.end);
    }

    fn peer_address(&mut self, socket: &Socket) -> Option<SocketAddr> {
        let mut core = self.core.borrow_mut();
        let end = core.end(socket.end);
        (!end.is_dead()).then_some(end.remote)
    }

    fn local_address(&mut self, socket: &Socket) -> Option<SocketAddr> {
        Some(self.core.borrow_mut().end(socket.end).local)
    }

    fn buffers(&mut self) -> &mut HelloBuffers {
        if self.buffers.available() && self.core.borrow_mut().strikes(Fault::BuffersExhausted) {
            while let Some(buffer) = self.buffers.hold(b"") {
                self.hoarded.push(buffer);
            }
        }
        &mut self.buffers
    }

    fn accept(&mut self, listener: ListenerId, token: Token) {
        let listener = self.listeners[usize::from(listener.0)];
        assert!(self.core.borrow().listeners[listener].open, "{token:?}: the listener is closed");
        self.begin(token, InFlight::Accept { listener, cancelled: false });
    }

    fn close_listener(&mut self, listener: ListenerId) {
        let listener = self.listeners[usize::from(listener.0)];
        let mut core = self.core.borrow_mut();
        let accepting = core.kernels[self.id.0]
            .operations
            .values()
            .any(|o| matches!(o, InFlight::Accept { listener: l, .. } if *l == listener));
        assert!(!accepting, "listener {listener} was closed with an accept in flight");
        assert!(core.listeners[listener].open, "listener {listener} was closed twice");
        core.stop_listening(listener);
    }

    fn dial(
        &mut self,
        to: SocketAddr,
        _options: &DialOptions,
        hello: Option<&BufferId>,
        token: Token,
    ) {
        let hello = hello.map(|id| (id.index(), self.buffers.bytes(id).to_vec()));
        let stage = {
            let mut core = self.core.borrow_mut();
            if core.strikes(Fault::DialExhausted) {
                let errnos = [Errno::EMFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
                Dialing::Failed(core.random.pick(&errnos))
            } else {
                let us_max = core.options.dial_us_max;
                let us = core.random.below(us_max + 1);
                Dialing::Underway(Tick(core.now.0 + us))
            }
        };
        self.begin(token, InFlight::Dial(Dial { to, hello, stage, cancelled: false }));
    }

    fn watch(&mut self, socket: &Socket, token: Token) {
        {
            let mut core = self.core.borrow_mut();
            let other = core.watch_of(socket.end);
            assert_eq!(other, None, "{token:?}: {socket:?} is watched already");
            let end = core.end(socket.end);
            end.woken = end.level();
        }
        self.begin(token, InFlight::Watch(Watch { end: socket.end, cancelled: false }));
    }

    fn cancel(&mut self, token: Token) {
        // One that is not in flight any more has its last completion among those told already.
        match self.core.borrow_mut().kernels[self.id.0].operations.get_mut(&token) {
            None => {}
            Some(InFlight::Accept { cancelled, .. }) => *cancelled = true,
            Some(InFlight::Dial(dial)) => dial.cancelled = true,
            Some(InFlight::Watch(watch)) => watch.cancelled = true,
        }
    }

    fn turn(&mut self, wait: Wait, into: &mut Completions<Socket>) {
        for buffer in self.hoarded.drain(..) {
            self.buffers.give_back(buffer);
        }
        let mut core = self.core.borrow_mut();
        let kernel = self.id.0;
        let told_before = into.len();
        loop {
            if core.options.slow_wire {
                core.drift();
            }
            core.progress_dials(kernel, &self.buffers);
            core.wake_for_nothing(kernel);
            let held_back = core.complete(kernel, into);
            let woken = std::mem::take(&mut core.kernels[kernel].woken);
            core.kernels[kernel].waiting = Some(wait);
            let Wait::Until(until) = wait else { break };
            let told = into.len() > told_before;
            if told || woken || core.options.stepwise || until <= core.now {
                break;
            }
            if !held_back && !core.settle() {
                let next = core.waits_until(kernel).unwrap_or(until);
                core.now = core.now.max(next);
            }
        }
        self.now = core.now;
    }

    fn now(&self) -> Tick {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.core.borrow_mut().random.number()
    }
}
