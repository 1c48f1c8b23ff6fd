//! The bare relay on multishot receive: what arrives is in a buffer when it is told of.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use socket2::Socket;

use super::poll::{What, accepted, read_token, token};
use super::session::{Session, Sessions, Side};
use crate::sys::buffer_ring::BufferRing;
use crate::sys::ring::{Completion, DIAL, Ring};

const BATCH: usize = 256;
const BUFFER_COUNT: u16 = 256;
const BUFFER_BYTES: usize = 16_384;
const WRITABLE: u32 = libc::POLLOUT.unsigned_abs() as u32;

struct Receiver {
    ring: Ring,
    buffers: BufferRing,
    sessions: Sessions,
    backend: SocketAddr,
    /// Directions that found no buffer.
    starved: Vec<(usize, Side)>,
}

/// Relays until the process is ended.
pub(super) fn run(listener: &Socket, backend: SocketAddr) -> io::Result<()> {
    let ring = Ring::new()?;
    let buffers = ring.provide_buffers(BUFFER_COUNT, BUFFER_BYTES)?;
    let sessions = Sessions::default();
    let mut receiver = Receiver { ring, buffers, sessions, backend, starved: Vec::new() };
    let mut completions = VecDeque::with_capacity(BATCH);
    receiver.ring.accept(listener.as_raw_fd(), token(What::Accept, 0, 0))?;
    loop {
        receiver.ring.turn(receiver.starved.is_empty(), BATCH, &mut completions)?;
        for (slot, side) in std::mem::take(&mut receiver.starved) {
            receiver.arm(slot, side)?;
        }
        while let Some(completion) = completions.pop_front() {
            let (what, slot, _) = read_token(completion.token);
            match what {
                What::Accept => receiver.accept(listener, completion)?,
                What::Dial => receiver.dialed(slot, completion.result)?,
                What::Watch(side) => receiver.received(slot, side, completion)?,
                What::Flush(side) => receiver.writable(slot, side)?,
            }
            receiver.settle(slot)?;
        }
    }
}

impl Receiver {
    fn accept(&mut self, listener: &Socket, completion: Completion) -> io::Result<()> {
        if !completion.more {
            self.ring.accept(listener.as_raw_fd(), token(What::Accept, 0, 0))?;
        }
        let Some(down) = accepted(completion.result) else { return Ok(()) };
        let slot = self.sessions.insert(down);
        self.arm(slot, Side::Down)
    }

    /// Asks for what comes from a side.
    fn arm(&mut self, slot: usize, side: Side) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        let flow = &mut session.flows[side];
        if session.over || flow.queued || flow.source_ended {
            return Ok(());
        }
        let token = token(What::Watch(side), slot, session.generation);
        let Some(socket) = &session.ends[side].socket else { return Ok(()) };
        flow.queued = true;
        session.in_flight += 1;
        self.ring.receive(socket.as_raw_fd(), token)
    }

    fn received(&mut self, slot: usize, side: Side, completion: Completion) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        if !completion.more {
            session.in_flight -= 1;
            session.flows[side].queued = false;
        }
        let taken = match (usize::try_from(completion.result), completion.buffer) {
            (Ok(count), Some(id)) if count > 0 => {
                let taken = take(session, side, self.buffers.filled(id, count));
                self.buffers.give_back(id);
                taken
            }
            (Ok(_), _) => {
                session.flows[side].source_ended = true;
                Ok(())
            }
            (Err(_), _) => match completion.result.unsigned_abs() as i32 {
                libc::ENOBUFS => {
                    self.starved.push((slot, side));
                    Ok(())
                }
                libc::ECANCELED => Ok(()),
                errno => Err(Errno::from_raw(errno)),
            },
        };
        if taken.is_err() {
            session.over = true;
            return Ok(());
        }
        if !session.dialed && side == Side::Down {
            return self.dial(slot);
        }
        self.go_on(slot, side)
    }

    fn dial(&mut self, slot: usize) -> io::Result<()> {
        let up = super::socket(self.backend)?;
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        let flow = &mut session.flows[Side::Down];
        if flow.pending.is_empty() {
            session.over = flow.source_ended;
            return Ok(());
        }
        let hello = std::mem::take(&mut flow.pending);
        session.dialed = true;
        session.in_flight += 1;
        let token = token(What::Dial, slot, session.generation) | DIAL;
        self.ring.dial(up.as_raw_fd(), self.backend, &hello, token)?;
        session.ends[Side::Up].socket = Some(up);
        Ok(())
    }

    fn dialed(&mut self, slot: usize, result: i32) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        session.in_flight -= 1;
        session.over |= result < 0;
        session.connected = true;
        for side in Side::BOTH {
            session.ends[side].writable = true;
        }
        self.arm(slot, Side::Up)?;
        self.flush(slot, Side::Down)
    }

    fn writable(&mut self, slot: usize, from: Side) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        session.in_flight -= 1;
        session.ends[from.other()].awaits_room = false;
        session.ends[from.other()].writable = true;
        self.flush(slot, from)
    }

    fn flush(&mut self, slot: usize, from: Side) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        let pending = std::mem::take(&mut session.flows[from].pending);
        if take(session, from, &pending).is_err() {
            session.over = true;
        }
        self.go_on(slot, from)
    }

    /// After bytes have moved or could not: waits for room, or for more, or ends the direction.
    fn go_on(&mut self, slot: usize, from: Side) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        let to = from.other();
        let token_of = |what| token(what, slot, session.generation);
        let flow = &session.flows[from];
        if session.over || !session.connected {
            return Ok(());
        }
        if flow.pending.is_empty() {
            if flow.source_ended && !flow.finished {
                session.finish(from);
                return Ok(());
            }
            return self.arm(slot, from);
        }
        if flow.queued {
            // No more until this is gone.
            self.ring.cancel(token_of(What::Watch(from)))?;
        }
        if session.ends[to].awaits_room {
            return Ok(());
        }
        let token = token_of(What::Flush(from));
        let Some(socket) = &session.ends[to].socket else { return Ok(()) };
        let socket = socket.as_raw_fd();
        session.ends[to].awaits_room = true;
        session.in_flight += 1;
        self.ring.watch_once(socket, WRITABLE, token)
    }

    /// Ends what is in flight of a session that is over, and closes it after the last.
    fn settle(&mut self, slot: usize) -> io::Result<()> {
        let Some(session) = self.sessions.get(slot) else { return Ok(()) };
        if !session.over {
            return Ok(());
        }
        if session.in_flight == 0 {
            self.sessions.remove(slot);
            return Ok(());
        }
        if !std::mem::replace(&mut session.cancelled, true) {
            for side in Side::BOTH {
                self.ring.cancel(token(What::Watch(side), slot, session.generation))?;
                self.ring.cancel(token(What::Flush(side), slot, session.generation))?;
            }
        }
        Ok(())
    }
}

/// Sends bytes on, and keeps what is not taken.
fn take(session: &mut Session, from: Side, bytes: &[u8]) -> Result<(), Errno> {
    let to = from.other();
    let mut sent = 0;
    let can_send = session.connected && session.flows[from].pending.is_empty();
    if can_send
        && session.ends[to].writable
        && let Some(socket) = &session.ends[to].socket
    {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => sent = count,
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
        session.ends[to].writable = sent == bytes.len();
    }
    session.flows[from].pending.extend_from_slice(bytes.get(sent..).unwrap_or_default());
    Ok(())
}
