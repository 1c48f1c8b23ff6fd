//! The backend's end of a session.

use nix::sys::epoll::EpollFlags;

use super::client::sender;
use super::end::{ENDLESS, End, Read, Role, Stage};
use super::pattern::phases;
use super::{ANSWER_BYTES, Load, LoadError, Phase, errno};
use crate::workload::{Kind, Receive};

/// Connections accepted before the others have their turn.
const ACCEPT_COUNT: usize = 64;

impl Load {
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPT_COUNT {
            match self.accept_one() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.problem.get_or_insert(error);
                    break;
                }
            }
        }
    }

    fn accept_one(&mut self) -> Result<bool, LoadError> {
        let socket = match self.listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(LoadError::System("accept4", errno(&error))),
        };
        if self.groups.iter().any(|group| group.kind != Kind::Conn) {
            let set = socket.set_tcp_nodelay(true);
            set.map_err(|error| LoadError::System("setsockopt", errno(&error)))?;
        }
        let slot = self.add(End::new(socket, Role::Backend), false)?;
        // The hello may have come with the connection.
        self.read_hello(slot)?;
        Ok(true)
    }

    pub(super) fn backend_event(
        &mut self,
        slot: usize,
        events: EpollFlags,
    ) -> Result<(), LoadError> {
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        if matches!(end.stage, Stage::Hello { .. }) {
            return self.read_hello(slot);
        }
        let group = end.group;
        if events.contains(EpollFlags::EPOLLOUT) {
            self.flush(slot)?;
        }
        if !events.intersects(!EpollFlags::EPOLLOUT) {
            return Ok(());
        }
        let receive = self.groups.get(usize::from(group)).map(|group| group.receive);
        let discards = self.kind(group) == Kind::Bulk && receive == Some(Receive::Discard);
        match self.read_stream(slot, discards)? {
            Read::Nothing => Ok(()),
            Read::Bytes(count) => self.backend_received(slot, group, count),
            Read::End => self.backend_ended(slot),
        }
    }

    fn read_hello(&mut self, slot: usize) -> Result<(), LoadError> {
        let count = match self.read_plain(slot)? {
            Read::Nothing => return Ok(()),
            Read::End => return self.backend_ended(slot),
            Read::Bytes(count) => count,
        };
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        let came = self.buffer.get(..count).unwrap_or_default();
        let known = if end.partial.is_empty() && count == self.hello.len() {
            self.hello.read(came)
        } else {
            end.partial.extend_from_slice(came);
            if end.partial.len() < self.hello.len() {
                return Ok(());
            }
            let known = self.hello.read(&end.partial);
            end.partial = Vec::new();
            known
        };
        let Some((group, session)) = known else { return Err(LoadError::WrongHello) };
        end.group = group;
        end.session = session;
        (end.incoming.phase, end.outgoing.phase) = phases(session);
        end.outgoing.left = ANSWER_BYTES;
        self.greet(slot, group)
    }

    /// Sends the first answer, and makes ready for what the group does.
    fn greet(&mut self, slot: usize, group: u8) -> Result<(), LoadError> {
        self.flush(slot)?;
        let (kind, direction) = (self.kind(group), self.direction(group));
        let size = self.groups.get(usize::from(group)).map_or(0, |group| group.size_bytes);
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        end.stage = Stage::Active;
        match kind {
            // Closed at once: an answer of 64 bytes fits into any socket.
            Kind::Conn => drop(self.ends.remove(slot)),
            Kind::Rpc | Kind::Idle => end.incoming.left = size as u64,
            Kind::Bulk if sender(direction) == Role::Client => end.incoming.left = ENDLESS,
            Kind::Bulk => {}
        }
        Ok(())
    }

    fn backend_received(&mut self, slot: usize, group: u8, count: usize) -> Result<(), LoadError> {
        let counting = self.is_counting();
        let kind = self.kind(group);
        let Some(end) = self.ends.get_mut(slot) else { return Ok(()) };
        match kind {
            Kind::Bulk => {
                if let Some(tally) = self.tallies.get_mut(usize::from(group)).filter(|_| counting) {
                    tally.bytes += count as u64;
                }
                Ok(())
            }
            _ if end.incoming.left == 0 => {
                let size = self.groups.get(usize::from(group)).map_or(0, |group| group.size_bytes);
                end.incoming.left = size as u64;
                end.outgoing.left += size as u64;
                self.flush(slot)
            }
            _ => Ok(()),
        }
    }

    fn backend_ended(&mut self, slot: usize) -> Result<(), LoadError> {
        let Some(end) = self.ends.remove(slot) else { return Ok(()) };
        match end.stage {
            // Somebody looked whether the backend is there.
            Stage::Hello { .. } if end.partial.is_empty() => Ok(()),
            _ if self.kind(end.group) == Kind::Bulk && self.phase == Phase::Ending => {
                self.stream_ended(&end);
                Ok(())
            }
            _ => Err(LoadError::Short(Role::Backend, end.incoming.left)),
        }
    }
}
