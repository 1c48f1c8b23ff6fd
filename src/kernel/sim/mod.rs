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
//! A seed determines every choice. Misuse of the [`Kernel`](super::Kernel) contract fails an
//! assertion.
//!
//! Whoever drives several workers makes the world *stepwise*: a turn then never waits. It takes
//! turns among the workers for which [`World::is_ready`] is true and its own clients and
//! backends, in any order; when none of them gets on, it calls [`World::settle`], and if nothing
//! was on the wire either, [`World::advance`] to the earliest [`World::waits_until`].

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a simulation that contradicts itself has to stop; no peer reaches it"
)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{BufferId, HelloBuffers, Readiness, Tick, Token};

mod calls;
mod core;
mod far;
mod faults;
mod operation;
mod pipe;
mod queue;
mod random;
mod socket;
#[cfg(test)]
mod tests;
mod world;

pub use self::core::{Nobody, Open, WorldOptions};
pub use far::{Far, FarListener};
pub use faults::{Fault, Faults};
pub use pipe::Pipe;
pub use random::Random;
pub use world::{KernelId, World};

use self::core::{Core, EndId, Listener};
use operation::{InFlight, KernelState};

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

    /// How many hello buffers the worker holds.
    #[must_use]
    pub fn lent_buffer_count(&self) -> usize {
        self.buffers.lent_count() - self.hoarded.len()
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
