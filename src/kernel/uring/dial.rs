//! Dials under way: two operations of the ring that are one to the worker.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use socket2::SockAddr;

use super::completion::outcome;
use crate::kernel::{Completion, Event, Token};
use crate::sys::socket::Socket;

/// One dial.
#[derive(Debug)]
struct Dial {
    /// None once handed out; a free record has none.
    socket: Option<OwnedFd>,
    /// Read by the kernel at submission, hence in a box that does not move.
    to: SockAddr,
    /// Completions to come.
    outstanding_count: u8,
    connected: Option<Result<(), Errno>>,
    sent_bytes: usize,
}

/// All dials of a ring. Records are used again, so that dialing allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Dials {
    #[allow(clippy::vec_box, reason = "addresses must stay in place while the vector grows")]
    records: Vec<Box<Dial>>,
    /// By record; together, so that a search reads little memory.
    tokens: Vec<Option<Token>>,
    free: Vec<u32>,
}

impl Dials {
    /// How many are under way.
    pub(super) fn count(&self) -> usize {
        self.records.len().saturating_sub(self.free.len())
    }

    /// Keeps a socket while it connects. Returns its index, and the address in the place where
    /// it stays.
    pub(super) fn begin(
        &mut self,
        socket: OwnedFd,
        to: SockAddr,
        with_hello: bool,
        token: Token,
    ) -> (u32, &SockAddr) {
        let outstanding_count = if with_hello { 2 } else { 1 };
        let dial =
            Dial { socket: Some(socket), to, outstanding_count, connected: None, sent_bytes: 0 };
        let index = self.free.pop().unwrap_or_else(|| self.next_index());
        let at = at(index);
        if let (Some(record), Some(slot)) = (self.records.get_mut(at), self.tokens.get_mut(at)) {
            **record = dial;
            *slot = Some(token);
        } else {
            self.records.push(Box::new(dial));
            self.tokens.push(Some(token));
        }
        #[allow(clippy::indexing_slicing, reason = "it was just put there")]
        (index, &self.records[at].to)
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    /// The dial of a token, and whether its connection stands already.
    pub(super) fn find(&self, token: Token) -> Option<(u32, bool)> {
        let at = self.tokens.iter().position(|&held| held == Some(token))?;
        let connected = self.records.get(at)?.connected.is_some();
        Some((u32::try_from(at).ok()?, connected))
    }

    /// Those under way.
    pub(super) fn all(&self) -> impl Iterator<Item = Token> {
        self.tokens.iter().copied().flatten()
    }

    /// The connect of a dial completed.
    pub(super) fn connected(&mut self, index: u32, result: i32) -> Option<Completion<Socket>> {
        let dial = self.records.get_mut(at(index))?;
        dial.connected = Some(outcome(result).map(drop));
        self.settle(index)
    }

    /// The send of a dial completed; where it failed, the connection tells why on its first use.
    pub(super) fn sent(&mut self, index: u32, result: i32) -> Option<Completion<Socket>> {
        let dial = self.records.get_mut(at(index))?;
        dial.sent_bytes = usize::try_from(result).unwrap_or(0);
        self.settle(index)
    }

    /// Ends a dial of which nothing is in flight any more.
    fn settle(&mut self, index: u32) -> Option<Completion<Socket>> {
        let dial = self.records.get_mut(at(index))?;
        dial.outstanding_count = dial.outstanding_count.saturating_sub(1);
        if dial.outstanding_count > 0 {
            return None;
        }
        let token = self.tokens.get_mut(at(index))?.take()?;
        self.free.push(index);
        let socket = dial.socket.take()?;
        let event = match dial.connected {
            Some(Err(errno)) => Event::Failed(errno),
            _ => Event::Dialed { socket: Socket::from_fd(socket), sent_bytes: dial.sent_bytes },
        };
        Some(Completion { token, event, last: true })
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Op;

    fn begin(dials: &mut Dials, with_hello: bool, slot: u32) -> u32 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let token = Token::new(Op::Dial, 0, slot);
        dials.begin(socket.unwrap().into(), to.into(), with_hello, token).0
    }

    #[test]
    fn two_completions_are_one() {
        let mut dials = Dials::default();
        let index = begin(&mut dials, true, 5);
        assert!(dials.connected(index, 0).is_none());
        assert_eq!(dials.find(Token::new(Op::Dial, 0, 5)), Some((index, true)));
        let done = dials.sent(index, 42).unwrap();
        assert!(done.last && matches!(done.event, Event::Dialed { sent_bytes: 42, .. }));
        assert_eq!((dials.count(), dials.find(done.token)), (0, None));
        assert!(dials.sent(index, 42).is_none(), "a late completion finds nothing");
    }

    #[test]
    fn the_reason_of_the_connect_is_told_not_that_of_the_send() {
        let mut dials = Dials::default();
        let index = begin(&mut dials, true, 5);
        assert!(dials.connected(index, -libc::ECONNREFUSED).is_none());
        let done = dials.sent(index, -libc::ECANCELED).unwrap();
        assert!(matches!(done.event, Event::Failed(Errno::ECONNREFUSED)));
    }

    #[test]
    fn a_failed_send_leaves_a_connection() {
        let mut dials = Dials::default();
        let index = begin(&mut dials, true, 5);
        assert!(dials.connected(index, 0).is_none());
        let done = dials.sent(index, -libc::EPIPE).unwrap();
        assert!(matches!(done.event, Event::Dialed { sent_bytes: 0, .. }));
    }

    #[test]
    fn records_are_used_again_and_addresses_stay_in_place() {
        let mut dials = Dials::default();
        let first = begin(&mut dials, false, 0);
        let place = &raw const dials.records[0].to;
        for slot in 1..100 {
            begin(&mut dials, false, slot);
        }
        assert_eq!(place, &raw const dials.records[0].to);
        assert!(dials.connected(first, 0).is_some());
        assert_eq!(begin(&mut dials, false, 100), first);
        assert_eq!(dials.count(), 100);
    }
}
