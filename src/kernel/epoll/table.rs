//! What is in flight, by the slot of its token.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::{OwnedFd, RawFd};

use crate::kernel::{BufferId, Op, Token};

/// A connection being made.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) socket: OwnedFd,
    /// The index of the hello to send along.
    pub(super) hello: Option<u16>,
    generation: u32,
}

/// A socket being watched. Not owned: it is the worker's.
#[derive(Clone, Copy, Debug)]
struct Watched {
    socket: RawFd,
    generation: u32,
}

impl Watched {
    const NOTHING: Self = Self { socket: -1, generation: 0 };
}

/// As small as can be: there is one for every session.
#[derive(Debug)]
struct Slot {
    downstream: Watched,
    upstream: Watched,
}

impl Slot {
    fn watched(&mut self, op: Op) -> &mut Watched {
        if op == Op::WatchDownstream { &mut self.downstream } else { &mut self.upstream }
    }
}

/// Slots for which address space is kept from the beginning: 1 MiB.
const SLOT_ROOM: usize = 65_536;

/// Dials and watches under way. Slots are small numbers, given out from 0 on.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// Few sessions are dialing at any time: these are not in the slots.
    dials: HashMap<u32, Dial>,
}

impl Default for Table {
    fn default() -> Self {
        // Pages that are not touched are not resident; those that a growing vector leaves behind
        // stay so.
        Self { slots: Vec::with_capacity(SLOT_ROOM), dials: HashMap::new() }
    }
}

impl Table {
    /// Notes a dial.
    pub(super) fn begin_dial(&mut self, token: Token, socket: OwnedFd, hello: Option<&BufferId>) {
        let hello = hello.map(BufferId::index);
        let dial = Dial { socket, hello, generation: token.generation() };
        self.dials.insert(token.slot(), dial);
    }

    /// Ends a dial, if it is under way.
    pub(super) fn end_dial(&mut self, token: Token) -> Option<Dial> {
        match self.dials.entry(token.slot()) {
            Entry::Occupied(entry) if entry.get().generation == token.generation() => {
                Some(entry.remove())
            }
            _ => None,
        }
    }

    /// Notes a watch.
    pub(super) fn begin_watch(&mut self, token: Token, socket: RawFd) {
        let watched = Watched { socket, generation: token.generation() };
        *self.slot(token).watched(token.op()) = watched;
    }

    /// Ends a watch, if it is under way: of this socket.
    pub(super) fn end_watch(&mut self, token: Token) -> Option<RawFd> {
        let watched = self.slots.get_mut(at(token))?.watched(token.op());
        if watched.socket < 0 || watched.generation != token.generation() {
            return None;
        }
        Some(std::mem::replace(watched, Watched::NOTHING).socket)
    }

    #[allow(clippy::indexing_slicing, reason = "made to fit one line before")]
    fn slot(&mut self, token: Token) -> &mut Slot {
        let at = at(token);
        if at >= self.slots.len() {
            let nothing = || Slot { downstream: Watched::NOTHING, upstream: Watched::NOTHING };
            self.slots.resize_with(at.saturating_add(1), nothing);
        }
        &mut self.slots[at]
    }
}

fn at(token: Token) -> usize {
    usize::try_from(token.slot()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generation_under_way_ends() {
        let mut table = Table::default();
        let token = |op, generation| Token::new(op, generation, 9);
        table.begin_watch(token(Op::WatchDownstream, 1), 100);
        table.begin_watch(token(Op::WatchUpstream, 1), 200);
        assert_eq!(table.end_watch(token(Op::WatchDownstream, 2)), None);
        assert_eq!(table.end_watch(token(Op::WatchDownstream, 1)), Some(100));
        assert_eq!(table.end_watch(token(Op::WatchDownstream, 1)), None);
        assert_eq!(table.end_watch(token(Op::WatchUpstream, 1)), Some(200));
        assert!(table.end_dial(Token::new(Op::Dial, 1, 10)).is_none());
    }
}
