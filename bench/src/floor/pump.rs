//! Moves bytes from one side to the other, on readiness. The relays on epoll and on poll share it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::pipe2;
use socket2::Socket;

use super::Mode;
use super::session::{Pipe, Session, Sessions, Side};

const BUFFER_BYTES: usize = 65_536;
const PIPE_BYTES: usize = 262_144;
/// What one direction may move before the others have their turn.
const SHARE_BYTES: usize = 1_048_576;
const SPLICE_AFTER_FULL_READS: u8 = 2;
const COPY_AFTER_SMALL_WAKES: u8 = 4;
const COPY_BELOW_BYTES: usize = 16_384;

/// A relay's sessions with its buffer.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) sessions: Sessions,
    buffer: Vec<u8>,
    mode: Mode,
}

/// What became of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There may be more to do at once.
    Moved(usize),
    /// The next event goes on.
    Wait,
}

impl Relay {
    pub(super) fn new(mode: Mode) -> Self {
        Self { sessions: Sessions::default(), buffer: vec![0; BUFFER_BYTES], mode }
    }

    /// Takes note of what epoll or poll said of a socket, and moves what can be moved.
    pub(super) fn event(&mut self, slot: usize, side: Side, events: EpollFlags) {
        let Some(session) = self.sessions.get(slot) else { return };
        let ends = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let end = &mut session.ends[side];
        end.readable |= events.intersects(EpollFlags::EPOLLIN | ends);
        end.hung_up |= events.intersects(ends);
        end.writable |= events.contains(EpollFlags::EPOLLOUT);
        let (readable, writable) = (end.readable, end.writable);
        if side == Side::Up && !session.connected && writable {
            if events.contains(EpollFlags::EPOLLERR) {
                session.over = true;
                return;
            }
            session.connected = true;
        }
        if readable {
            self.pump(slot, side);
        }
        if writable {
            self.pump(slot, side.other());
        }
    }

    /// The first bytes of a session, when they are there: with them it can be dialed.
    pub(super) fn first_bytes(&mut self, slot: usize) -> Option<&[u8]> {
        let session = self.sessions.get(slot)?;
        let socket = session.ends[Side::Down].socket.as_ref()?;
        match recv(socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Ok(0) | Err(_) => {
                session.over = true;
                None
            }
            Ok(count) => {
                session.dialed = true;
                self.buffer.get(..count)
            }
        }
    }

    /// Directions that had used up their share go on.
    pub(super) fn go_on(&mut self) -> Vec<usize> {
        let mut touched = Vec::new();
        for _ in 0..self.sessions.queue.len() {
            let Some((slot, side)) = self.sessions.queue.pop_front() else { break };
            if let Some(session) = self.sessions.get(slot) {
                session.flows[side].queued = false;
                self.pump(slot, side);
                touched.push(slot);
            }
        }
        touched
    }

    fn pump(&mut self, slot: usize, from: Side) {
        let mut moved_bytes = 0;
        loop {
            let Some(session) = self.sessions.get(slot) else { return };
            if session.over || !session.connected || session.flows[from].finished {
                return;
            }
            if moved_bytes > SHARE_BYTES {
                if !session.flows[from].queued {
                    session.flows[from].queued = true;
                    self.sessions.queue.push_back((slot, from));
                }
                return;
            }
            match self.step(slot, from, moved_bytes) {
                Ok(Step::Moved(count)) => moved_bytes += count,
                Ok(Step::Wait) => return,
                Err(_) => {
                    if let Some(session) = self.sessions.get(slot) {
                        session.over = true;
                    }
                    return;
                }
            }
        }
    }

    fn step(&mut self, slot: usize, from: Side, moved_bytes: usize) -> Result<Step, Errno> {
        let Self { sessions, buffer, mode } = self;
        let Sessions { slots, pipes, .. } = sessions;
        let Some(session) = slots.get_mut(slot) else { return Ok(Step::Wait) };
        let flow = &mut session.flows[from];
        if !flow.pending.is_empty() {
            send_pending(session, from)
        } else if flow.piped_bytes > 0 {
            flush(session, from)
        } else if flow.source_ended {
            pipes.extend(flow.pipe.take());
            session.finish(from);
            Ok(Step::Wait)
        } else if !session.ends[from].readable {
            pipes.extend(flow.pipe.take());
            Ok(Step::Wait)
        } else if *mode == Mode::Splice || flow.splices {
            let pipe = match flow.pipe.take().or_else(|| pipes.pop()) {
                Some(pipe) => pipe,
                None => new_pipe()?,
            };
            fill(session, from, pipe, *mode, moved_bytes)
        } else {
            copy(session, from, buffer, *mode)
        }
    }
}

fn fd(session: &Session, side: Side) -> Result<&Socket, Errno> {
    session.ends[side].socket.as_ref().ok_or(Errno::EBADF)
}

fn send_pending(session: &mut Session, from: Side) -> Result<Step, Errno> {
    let to = from.other();
    if !session.ends[to].writable {
        return Ok(Step::Wait);
    }
    let flow = &session.flows[from];
    let rest = flow.pending.get(flow.pending_at..).unwrap_or_default();
    match send(fd(session, to)?.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
        Ok(count) => {
            let flow = &mut session.flows[from];
            flow.pending_at += count;
            if flow.pending_at >= flow.pending.len() {
                flow.pending = Vec::new();
                flow.pending_at = 0;
            }
            Ok(Step::Moved(count))
        }
        Err(Errno::EAGAIN) => {
            session.ends[to].writable = false;
            Ok(Step::Wait)
        }
        Err(errno) => Err(errno),
    }
}

fn copy(session: &mut Session, from: Side, buffer: &mut [u8], mode: Mode) -> Result<Step, Errno> {
    let to = from.other();
    let count = match recv(fd(session, from)?.as_raw_fd(), buffer, MsgFlags::empty()) {
        Ok(0) => {
            session.flows[from].source_ended = true;
            return Ok(Step::Moved(0));
        }
        Ok(count) => count,
        Err(Errno::EAGAIN) => {
            session.ends[from].readable = false;
            return Ok(Step::Wait);
        }
        Err(errno) => return Err(errno),
    };
    let is_full = count == buffer.len();
    // A short read has emptied the socket; only an end that was told needs one more.
    session.ends[from].readable = is_full || session.ends[from].hung_up;
    if mode == Mode::Hybrid {
        let flow = &mut session.flows[from];
        flow.streak = if is_full { flow.streak + 1 } else { 0 };
        if flow.streak >= SPLICE_AFTER_FULL_READS {
            (flow.splices, flow.streak) = (true, 0);
        }
    }
    let bytes = buffer.get(..count).unwrap_or_default();
    let sent = if session.ends[to].writable {
        match send(fd(session, to)?.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::EAGAIN) => {
                session.ends[to].writable = false;
                0
            }
            Err(errno) => return Err(errno),
        }
    } else {
        0
    };
    session.flows[from].pending.extend_from_slice(bytes.get(sent..).unwrap_or_default());
    Ok(Step::Moved(count))
}

fn fill(
    session: &mut Session,
    from: Side,
    pipe: Pipe,
    mode: Mode,
    moved_bytes: usize,
) -> Result<Step, Errno> {
    let socket = fd(session, from)?;
    let moved = splice(socket, None, &pipe.write, None, PIPE_BYTES, splice_flags());
    let flow = &mut session.flows[from];
    flow.pipe = Some(pipe);
    match moved {
        Ok(0) => {
            flow.source_ended = true;
            Ok(Step::Moved(0))
        }
        Ok(count) => {
            flow.piped_bytes = count;
            Ok(Step::Moved(count))
        }
        Err(Errno::EAGAIN) => {
            if mode == Mode::Hybrid && moved_bytes > 0 {
                flow.streak = if moved_bytes < COPY_BELOW_BYTES { flow.streak + 1 } else { 0 };
                if flow.streak >= COPY_AFTER_SMALL_WAKES {
                    (flow.splices, flow.streak) = (false, 0);
                }
            }
            session.ends[from].readable = false;
            Ok(Step::Moved(0))
        }
        Err(errno) => Err(errno),
    }
}

fn flush(session: &mut Session, from: Side) -> Result<Step, Errno> {
    let to = from.other();
    if !session.ends[to].writable {
        return Ok(Step::Wait);
    }
    let flow = &session.flows[from];
    let pipe = flow.pipe.as_ref().ok_or(Errno::EBADF)?;
    let socket = fd(session, to)?;
    match splice(&pipe.read, None, socket, None, flow.piped_bytes, splice_flags()) {
        Ok(count) => {
            session.flows[from].piped_bytes -= count;
            Ok(Step::Moved(0))
        }
        Err(Errno::EAGAIN) => {
            session.ends[to].writable = false;
            Ok(Step::Wait)
        }
        Err(errno) => Err(errno),
    }
}

fn splice_flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

fn new_pipe() -> Result<Pipe, Errno> {
    let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
    let size = i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX);
    // A user without privileges gets smaller ones after a while: slower, not wrong.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(size));
    Ok(Pipe { read, write })
}

/// Begins to connect; a failure is told by an event.
pub(super) fn connect(backend: SocketAddr) -> io::Result<Socket> {
    let socket = super::socket(backend)?;
    match socket.connect(&backend.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}
