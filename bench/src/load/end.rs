//! The two ends of a session, each a socket of the load generator.

use std::fmt;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::Socket;

use super::pattern::{PIECE_BYTES_MAX, Pattern};
use super::{Load, LoadError};

/// In bulk, one read of so many is compared; a byte lost or doubled shifts all that follow.
const COMPARED_OF: u32 = 16;
/// A length that is never reached.
pub(super) const ENDLESS: u64 = u64::MAX / 2;

/// Which end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Opens sessions.
    Client,
    /// Is dialed by the proxy.
    Backend,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Client { "client" } else { "backend" })
    }
}

/// Where an end stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The hello is on its way, as far as this.
    Hello { done_bytes: usize },
    /// The first answer is on its way.
    Answer,
    /// What the group does.
    Active,
    /// Nothing more is to come but the end.
    Last,
}

/// One direction as one end sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    pub(super) phase: u64,
    pub(super) position: u64,
    /// What is still to be sent, or received, of the present message.
    pub(super) left: u64,
}

/// One end of a session.
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: Socket,
    pub(super) role: Role,
    pub(super) group: u8,
    pub(super) session: u32,
    pub(super) stage: Stage,
    pub(super) outgoing: Stream,
    pub(super) incoming: Stream,
    /// The beginning of a hello that did not come in one piece.
    pub(super) partial: Vec<u8>,
    /// When the present message was due.
    pub(super) since: Instant,
    watches_write: bool,
    reads: u32,
}

impl End {
    pub(super) fn new(socket: Socket, role: Role) -> Self {
        Self {
            socket,
            role,
            group: 0,
            session: 0,
            stage: Stage::Hello { done_bytes: 0 },
            outgoing: Stream::default(),
            incoming: Stream::default(),
            partial: Vec::new(),
            since: Instant::now(),
            watches_write: false,
            reads: 0,
        }
    }
}

/// The ends, each in a slot. A slot's generation tells events of its last end from those of this.
#[derive(Debug, Default)]
pub(super) struct Ends {
    slots: Vec<(u32, Option<End>)>,
    free: Vec<usize>,
}

impl Ends {
    pub(super) fn insert(&mut self, end: End) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() - 1
        });
        if let Some((generation, place)) = self.slots.get_mut(slot) {
            *generation = generation.wrapping_add(1) & 0x7fff_ffff;
            *place = Some(end);
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<End> {
        let end = self.slots.get_mut(slot)?.1.take()?;
        self.free.push(slot);
        Some(end)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut End> {
        self.slots.get_mut(slot)?.1.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut End)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, place)| Some((slot, place.1.as_mut()?)))
    }

    /// What an event is for.
    pub(super) fn token(&self, slot: usize) -> u64 {
        let generation = self.slots.get(slot).map_or(0, |(generation, _)| *generation);
        u64::from(generation) << 32 | slot as u64
    }

    pub(super) fn of_token(&self, token: u64) -> Option<(usize, Role)> {
        let slot = usize::try_from(token & 0xffff_ffff).ok()?;
        let (generation, end) = self.slots.get(slot)?;
        let end = end.as_ref()?;
        (u64::from(*generation) == token >> 32).then_some((slot, end.role))
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
}

impl Load {
    /// Reads what has come, without comparing it: the hello.
    pub(super) fn read_plain(&mut self, slot: usize) -> Result<Read, LoadError> {
        let Some(end) = self.ends.get_mut(slot) else { return Ok(Read::Nothing) };
        read(end, &mut self.buffer, MsgFlags::empty())
    }

    /// Reads what has come, compares it with what was sent, and takes it off the present message.
    pub(super) fn read_stream(&mut self, slot: usize, discard: bool) -> Result<Read, LoadError> {
        let counting = self.is_counting();
        let Some(end) = self.ends.get_mut(slot) else { return Ok(Read::Nothing) };
        let discard = discard && counting;
        let flags = if discard { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
        let got = match read(end, &mut self.buffer, flags)? {
            Read::Bytes(count) => count,
            other => return Ok(other),
        };
        let count = got as u64;
        end.reads = end.reads.wrapping_add(1);
        let is_bulk = end.incoming.left > PIECE_BYTES_MAX as u64;
        let compares = !discard && (!is_bulk || !counting || end.reads % COMPARED_OF == 0);
        if compares {
            let at = end.incoming.phase.wrapping_add(end.incoming.position);
            if self.buffer.get(..got) != Some(self.pattern.at(at, got)) {
                return Err(LoadError::Wrong {
                    role: end.role,
                    session: end.session,
                    position: end.incoming.position,
                });
            }
        }
        end.incoming.position += count;
        match end.incoming.left.checked_sub(count) {
            Some(left) => end.incoming.left = left,
            None => return Err(LoadError::TooMany(end.role, count - end.incoming.left)),
        }
        Ok(Read::Bytes(got))
    }

    /// Sends what is still to be sent, as far as the socket takes it; of an endless stream one
    /// piece.
    pub(super) fn flush(&mut self, slot: usize) -> Result<(), LoadError> {
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        while end.outgoing.left > 0 {
            let sent = send_piece(end, &self.pattern)?;
            if sent == 0 {
                return self.watch(slot, true);
            }
            if end.outgoing.left > ENDLESS / 2 {
                return self.watch(slot, true);
            }
        }
        self.watch(slot, false)
    }

    /// Sees to it that the end is told, or not told, when it may write.
    pub(super) fn watch(&mut self, slot: usize, writes: bool) -> Result<(), LoadError> {
        let token = self.ends.token(slot);
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        if end.watches_write == writes {
            return Ok(());
        }
        end.watches_write = writes;
        let flags = if writes { READ | EpollFlags::EPOLLOUT } else { READ };
        let changed = self.poll.modify(&end.socket, &mut EpollEvent::new(flags, token));
        changed.map_err(|errno| LoadError::System("epoll_ctl", errno))
    }

    /// Adds an end, and has it told when there is something to read.
    pub(super) fn add(&mut self, end: End, writes: bool) -> Result<usize, LoadError> {
        let slot = self.ends.insert(end);
        let token = self.ends.token(slot);
        let flags = if writes { READ | EpollFlags::EPOLLOUT } else { READ };
        if let Some(end) = self.ends.get_mut(slot) {
            end.watches_write = writes;
            let added = self.poll.add(&end.socket, EpollEvent::new(flags, token));
            added.map_err(|errno| LoadError::System("epoll_ctl", errno))?;
        }
        Ok(slot)
    }
}

const READ: EpollFlags = EpollFlags::EPOLLIN;

fn read(end: &End, buffer: &mut [u8], flags: MsgFlags) -> Result<Read, LoadError> {
    match recv(end.socket.as_raw_fd(), buffer, flags) {
        Ok(0) => Ok(Read::End),
        Ok(count) => Ok(Read::Bytes(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Read::Nothing),
        Err(errno) => Err(LoadError::Broken(end.role, errno)),
    }
}

/// Sends once; 0 when the socket takes nothing now.
fn send_piece(end: &mut End, pattern: &Pattern) -> Result<usize, LoadError> {
    let at = end.outgoing.phase.wrapping_add(end.outgoing.position);
    let sent = if end.outgoing.left > ENDLESS / 2 {
        let (file, mut offset) = pattern.file_at(at);
        sendfile(&end.socket, file, Some(&mut offset), PIECE_BYTES_MAX)
    } else {
        let length = usize::try_from(end.outgoing.left).unwrap_or(usize::MAX);
        send(end.socket.as_raw_fd(), pattern.at(at, length), MsgFlags::MSG_NOSIGNAL)
    };
    match sent {
        Ok(count) => {
            end.outgoing.position += count as u64;
            end.outgoing.left -= count as u64;
            Ok(count)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        Err(errno) => Err(LoadError::Broken(end.role, errno)),
    }
}
