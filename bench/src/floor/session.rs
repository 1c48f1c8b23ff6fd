//! Sessions of a bare relay.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::ops::{Index, IndexMut};
use std::os::fd::OwnedFd;

use socket2::Socket;

/// An end of a session; also the direction that begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Down,
    Up,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Down, Self::Up];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Down => Self::Up,
            Self::Up => Self::Down,
        }
    }
}

/// One of each side.
#[derive(Debug, Default)]
pub(super) struct Pair<T>(T, T);

impl<T> Index<Side> for Pair<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Down => &self.0,
            Side::Up => &self.1,
        }
    }
}

impl<T> IndexMut<Side> for Pair<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Down => &mut self.0,
            Side::Up => &mut self.1,
        }
    }
}

/// A pipe, empty whenever nobody has it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
}

/// What goes from one side to the other.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Read, but not taken by the other side yet.
    pub(super) pending: Vec<u8>,
    pub(super) pending_at: usize,
    pub(super) pipe: Option<Pipe>,
    /// What is in the pipe.
    pub(super) piped_bytes: usize,
    /// No more comes.
    pub(super) source_ended: bool,
    /// The other side knows that no more comes.
    pub(super) finished: bool,
    pub(super) splices: bool,
    /// Full reads in a row, or small wakes.
    pub(super) streak: u8,
    /// Waits for its next share.
    pub(super) queued: bool,
}

/// One end.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) socket: Option<Socket>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Its end, or an error, has been told: read until it is found.
    pub(super) hung_up: bool,
    /// A ring was asked to tell when it may be written to.
    pub(super) awaits_room: bool,
}

/// Two connections and what is between them.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) generation: u32,
    pub(super) ends: Pair<End>,
    pub(super) flows: Pair<Flow>,
    pub(super) dialed: bool,
    pub(super) connected: bool,
    /// Both directions have finished, or a connection broke.
    pub(super) over: bool,
    /// Operations of a ring.
    pub(super) in_flight: u32,
    /// They were told to end.
    pub(super) cancelled: bool,
}

/// The sessions, by slot.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) slots: Vec<Session>,
    free: Vec<usize>,
    pub(super) pipes: Vec<Pipe>,
    /// Directions that have had their share and are not at an end.
    pub(super) queue: VecDeque<(usize, Side)>,
}

impl Sessions {
    pub(super) fn insert(&mut self, down: Socket) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Session::default());
            self.slots.len() - 1
        });
        if let Some(session) = self.slots.get_mut(slot) {
            let generation = session.generation.wrapping_add(1) & 0xff_ffff;
            *session = Session { generation, ..Session::default() };
            session.ends[Side::Down] =
                End { socket: Some(down), readable: true, writable: true, ..End::default() };
        }
        slot
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Session> {
        self.slots.get_mut(slot)
    }

    /// The session that a token of this generation is for.
    pub(super) fn of(&mut self, slot: usize, generation: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot).filter(|session| session.generation == generation)
    }

    /// Closes both connections and keeps the pipes that are empty. Nothing may be in flight.
    pub(super) fn remove(&mut self, slot: usize) {
        let Some(session) = self.slots.get_mut(slot) else { return };
        if session.ends[Side::Down].socket.is_none() {
            return;
        }
        session.generation = session.generation.wrapping_add(1) & 0xff_ffff;
        session.over = true;
        for side in Side::BOTH {
            session.ends[side].socket = None;
            let flow = std::mem::take(&mut session.flows[side]);
            self.pipes.extend(flow.pipe.filter(|_| flow.piped_bytes == 0));
        }
        self.free.push(slot);
    }
}

impl Session {
    /// A direction has moved everything: tells the other side, or ends the session.
    pub(super) fn finish(&mut self, from: Side) {
        self.flows[from].finished = true;
        if self.flows[from.other()].finished {
            self.over = true;
        } else if let Some(socket) = &self.ends[from.other()].socket {
            // A peer that is gone already shows on the next read.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}
