//! The test's end of connections: clients and backends.

use std::net::SocketAddr;

use super::core::{EndId, Knock, Listener};
use super::world::World;
use crate::kernel::{Errno, Readiness, Take, Tried};

/// The test's end of a connection. Dropping it closes it.
#[derive(Debug)]
pub struct Far {
    world: World,
    end: EndId,
}

/// Where the test plays a server. Dropping it stops listening.
#[derive(Debug)]
pub struct FarListener {
    world: World,
    index: usize,
}

impl World {
    /// Connects to a listener, as a client does.
    ///
    /// # Errors
    /// `ECONNREFUSED` and the like; `ETIMEDOUT` if nobody answers.
    pub fn connect(&self, to: SocketAddr) -> Result<Far, Errno> {
        match self.0.borrow_mut().knock(to) {
            Knock::Connected(end) => Ok(Far { world: self.clone(), end }),
            Knock::Silent => Err(Errno::ETIMEDOUT),
            Knock::Failed(errno) => Err(errno),
        }
    }

    /// Listens, as a backend does; `backlog_max` connections may wait to be accepted, further
    /// ones are not answered.
    #[must_use]
    pub fn listen(&self, address: SocketAddr, backlog_max: usize) -> FarListener {
        let mut core = self.0.borrow_mut();
        core.listeners.push(Listener { address, waiting: Vec::new(), backlog_max, open: true });
        FarListener { world: self.clone(), index: core.listeners.len() - 1 }
    }
}

impl FarListener {
    /// Accepts the next connection, if one waits.
    #[must_use]
    pub fn accept(&self) -> Option<Far> {
        let mut core = self.world.0.borrow_mut();
        let waiting = &mut core.listeners[self.index].waiting;
        let end = (!waiting.is_empty()).then(|| waiting.remove(0))?;
        Some(Far { world: self.world.clone(), end })
    }
}

impl Drop for FarListener {
    fn drop(&mut self) {
        self.world.0.borrow_mut().stop_listening(self.index);
    }
}

impl Far {
    /// Sends bytes; may be short.
    pub fn send(&self, bytes: &[u8]) -> Tried<usize> {
        let mut core = self.world.0.borrow_mut();
        let fragment_bytes = core.fragment_bytes();
        let sent = core.end(self.end).send(bytes, fragment_bytes);
        core.arrive(self.end);
        sent
    }

    /// Receives bytes; `Did(0)` is FIN.
    pub fn recv(&self, to: &mut [u8]) -> Tried<usize> {
        let mut core = self.world.0.borrow_mut();
        let received = core.end(self.end).recv(to, Take::Consume);
        core.arrive(self.end);
        received
    }

    /// How many bytes wait to be received.
    #[must_use]
    pub fn received_bytes(&self) -> usize {
        self.world.0.borrow_mut().end(self.end).received_bytes()
    }

    /// The present readiness, by level.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.world.0.borrow_mut().end(self.end).level()
    }

    /// Sends FIN.
    pub fn finish(&self) {
        self.world.0.borrow_mut().finish_end(self.end);
    }

    /// Sends RST.
    pub fn reset(&self) {
        self.world.0.borrow_mut().reset_end(self.end);
    }

    /// The address of this end.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.world.0.borrow_mut().end(self.end).local
    }

    /// The address of the other end.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.world.0.borrow_mut().end(self.end).remote
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // Nothing to close if a failed assertion unwinds through the world itself.
        if let Ok(mut core) = self.world.0.try_borrow_mut() {
            core.close_end(self.end);
        }
    }
}
