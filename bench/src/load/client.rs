//! The client's end of a session.

use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, Socket, Type};

use super::end::{ENDLESS, End, Read, Role, Stage};
use super::hello::Hello;
use super::pattern::phases;
use super::schedule::Schedule;
use super::{ANSWER_BYTES, Load, LoadError, Phase, errno};
use crate::workload::{Direction, Kind, Receive};

impl Load {
    /// Opens a session of a group.
    pub(super) fn start_session(&mut self, group: usize) {
        if let Err(error) = self.try_start_session(group) {
            self.problem.get_or_insert(error);
        }
    }

    fn try_start_session(&mut self, group: usize) -> Result<(), LoadError> {
        let group = u8::try_from(group).unwrap_or(u8::MAX);
        let kind = Type::STREAM.nonblocking().cloexec();
        let since = Instant::now();
        let socket = Socket::new(Domain::IPV4, kind, None)
            .map_err(|error| LoadError::System("socket", errno(&error)))?;
        if self.kind(group) != Kind::Conn || self.hello_piece_bytes < self.hello.len() {
            let set = socket.set_tcp_nodelay(true);
            set.map_err(|error| LoadError::System("setsockopt", errno(&error)))?;
        }
        if let Err(error) = socket.connect(&self.target.into())
            && errno(&error) != Errno::EINPROGRESS
        {
            return Err(LoadError::Refused(errno(&error)));
        }
        let mut end = End::new(socket, Role::Client);
        end.group = group;
        end.session = self.session_next;
        end.since = since;
        (end.outgoing.phase, end.incoming.phase) = phases(end.session);
        self.session_next = self.session_next.wrapping_add(1);
        if self.kind(group) == Kind::Conn {
            self.busy += 1;
        } else {
            self.opening += 1;
        }
        // On loopback the connection stands already, and the hello can go.
        let done = send_hello(&mut end, &mut self.hello, self.hello_piece_bytes)?;
        self.add(end, !done)?;
        Ok(())
    }

    pub(super) fn client_event(
        &mut self,
        slot: usize,
        events: EpollFlags,
    ) -> Result<(), LoadError> {
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        if let Stage::Hello { .. } = end.stage {
            let done = send_hello(end, &mut self.hello, self.hello_piece_bytes)?;
            return if done { self.watch(slot, false) } else { Ok(()) };
        }
        if events.contains(EpollFlags::EPOLLOUT) {
            self.flush(slot)?;
        }
        if !events.intersects(!EpollFlags::EPOLLOUT) {
            return Ok(());
        }
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        let (group, is_active) = (end.group, end.stage == Stage::Active);
        let receive = self.groups.get(usize::from(group)).map(|group| group.receive);
        let discards =
            is_active && self.kind(group) == Kind::Bulk && receive == Some(Receive::Discard);
        match self.read_stream(slot, discards)? {
            Read::Nothing => Ok(()),
            Read::Bytes(count) => self.client_received(slot, group, count),
            Read::End => self.client_ended(slot, group),
        }
    }

    fn client_received(&mut self, slot: usize, group: u8, count: usize) -> Result<(), LoadError> {
        let counting = self.is_counting();
        let (kind, direction) = (self.kind(group), self.direction(group));
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        let tally = self.tallies.get_mut(usize::from(group));
        if kind == Kind::Bulk && end.stage == Stage::Active {
            if let Some(tally) = tally.filter(|_| counting) {
                tally.bytes += count as u64;
            }
            return Ok(());
        }
        if end.incoming.left > 0 {
            return Ok(());
        }
        match (end.stage, kind) {
            (Stage::Answer, Kind::Conn) => {
                end.stage = Stage::Last;
                if let Some(tally) = tally.filter(|_| counting) {
                    tally.record(end.since.elapsed());
                }
                Ok(())
            }
            (Stage::Answer, Kind::Rpc) => {
                end.stage = Stage::Active;
                self.opening -= 1;
                Ok(())
            }
            (Stage::Answer, Kind::Idle) => {
                end.stage = Stage::Last;
                self.send_request(slot)
            }
            (Stage::Last, Kind::Idle) => {
                self.opening -= 1;
                Ok(())
            }
            (Stage::Answer, Kind::Bulk) => {
                end.stage = Stage::Active;
                self.opening -= 1;
                if direction == Direction::Down {
                    end.incoming.left = ENDLESS;
                }
                Ok(())
            }
            (_, Kind::Rpc) => self.answered(slot),
            _ => Ok(()),
        }
    }

    /// A request has its answer.
    fn answered(&mut self, slot: usize) -> Result<(), LoadError> {
        let counting = self.is_counting();
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        let now = Instant::now();
        if counting && let Some(tally) = self.tallies.get_mut(usize::from(end.group)) {
            tally.record(now.duration_since(end.since));
        }
        let next = match &mut self.schedule {
            Some(schedule) => schedule.next_for(slot),
            None if self.phase == Phase::Ending => None,
            None => Some(now),
        };
        match next {
            Some(due) => {
                end.since = due;
                self.send_request(slot)
            }
            None => {
                self.busy -= 1;
                Ok(())
            }
        }
    }

    pub(super) fn send_request(&mut self, slot: usize) -> Result<(), LoadError> {
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        let size = self.groups.get(usize::from(end.group)).map_or(0, |group| group.size_bytes);
        end.incoming.left = size as u64;
        end.outgoing.left += size as u64;
        self.flush(slot)
    }

    /// Begins what is measured, in every session.
    pub(super) fn begin_traffic(&mut self) {
        let mut ready = Vec::new();
        for (slot, end) in self.ends.iter_mut() {
            if end.stage == Stage::Active {
                ready.push((slot, end.role, end.group));
            }
        }
        for (slot, role, group) in ready {
            if let Err(error) = self.begin_traffic_of(slot, role, group) {
                self.problem.get_or_insert(error);
            }
        }
        for group in 0..self.groups.len() {
            let sessions = match self.groups.get(group) {
                Some(group) if group.kind == Kind::Conn => group.sessions,
                _ => 0,
            };
            for _ in 0..sessions {
                self.start_session(group);
            }
        }
    }

    fn begin_traffic_of(&mut self, slot: usize, role: Role, group: u8) -> Result<(), LoadError> {
        let sends = role == sender(self.direction(group));
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        match (self.groups.get(usize::from(group)).map(|group| group.kind), role) {
            (Some(Kind::Rpc), Role::Client) => match &mut self.schedule {
                Some(schedule) => {
                    schedule.is_free(slot);
                    Ok(())
                }
                None => {
                    self.busy += 1;
                    end.since = Instant::now();
                    self.send_request(slot)
                }
            },
            (Some(Kind::Bulk), _) if sends => {
                end.outgoing.left = ENDLESS;
                self.flush(slot)
            }
            _ => Ok(()),
        }
    }

    /// Sends the requests that are due by schedule.
    pub(super) fn send_due(&mut self) {
        while let Some((slot, due)) = self.schedule.as_mut().and_then(Schedule::due) {
            self.busy += 1;
            if let Some(end) = self.ends.get_mut(slot) {
                end.since = due;
            }
            if let Err(error) = self.send_request(slot) {
                self.problem.get_or_insert(error);
            }
        }
    }

    fn client_ended(&mut self, slot: usize, group: u8) -> Result<(), LoadError> {
        let Some(end) = self.ends.remove(slot) else { return Ok(()) };
        match self.kind(group) {
            Kind::Conn if end.stage == Stage::Last => {
                self.busy -= 1;
                if self.phase != Phase::Ending {
                    self.start_session(usize::from(group));
                }
                Ok(())
            }
            Kind::Bulk if self.phase == Phase::Ending => {
                self.stream_ended(&end);
                Ok(())
            }
            _ => Err(LoadError::Short(Role::Client, end.incoming.left)),
        }
    }
}

/// Which end sends a stream.
pub(super) const fn sender(direction: Direction) -> Role {
    match direction {
        Direction::Up => Role::Client,
        Direction::Down => Role::Backend,
    }
}

/// Sends the next piece of the hello; whether it was the last.
fn send_hello(end: &mut End, hello: &mut Hello, piece_bytes: usize) -> Result<bool, LoadError> {
    let Stage::Hello { done_bytes } = end.stage else { return Ok(true) };
    let hello = hello.of(end.group, end.session);
    let until = (done_bytes + piece_bytes).min(hello.len());
    let piece = hello.get(done_bytes..until).unwrap_or_default();
    let done_bytes = match send(end.socket.as_raw_fd(), piece, MsgFlags::MSG_NOSIGNAL) {
        Ok(sent) => done_bytes + sent,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
        Err(errno) => return Err(LoadError::Refused(errno)),
    };
    let done = done_bytes == hello.len();
    end.stage = if done { Stage::Answer } else { Stage::Hello { done_bytes } };
    end.incoming.left = ANSWER_BYTES;
    Ok(done)
}
