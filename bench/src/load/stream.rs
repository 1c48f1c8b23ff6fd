//! The end of streams: as many bytes must arrive as were sent.

use std::collections::BTreeMap;
use std::net::Shutdown;

use super::client::sender;
use super::end::{ENDLESS, End};
use super::{Load, LoadError};
use crate::workload::Kind;

/// Streams that were ended: what was sent, and what arrived of it.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_session: BTreeMap<u32, (u64, Option<u64>)>,
}

impl Streams {
    /// Those whose end has not arrived.
    pub(super) fn under_way(&self) -> usize {
        self.by_session.values().filter(|(_, received)| received.is_none()).count()
    }

    /// # Errors
    /// The first that did not arrive as a whole.
    pub(super) fn verify(&self) -> Result<(), LoadError> {
        for (&session, &(sent, received)) in &self.by_session {
            let received = received.unwrap_or(0);
            if received != sent {
                return Err(LoadError::Incomplete { session, sent, received });
            }
        }
        Ok(())
    }
}

impl Load {
    /// Ends every stream at its sender, after what the socket has taken.
    pub(super) fn end_streams(&mut self) {
        for (_, end) in self.ends.iter_mut() {
            if end.outgoing.left > ENDLESS / 2 {
                end.outgoing.left = 0;
                self.streams.by_session.insert(end.session, (end.outgoing.position, None));
                if end.socket.shutdown(Shutdown::Write).is_err() {
                    // The other end will miss the rest, and say so.
                    continue;
                }
            }
        }
    }

    /// An end has seen the end of what the other sends.
    pub(super) fn stream_ended(&mut self, end: &End) {
        let is_receiver =
            self.kind(end.group) == Kind::Bulk && sender(self.direction(end.group)) != end.role;
        if is_receiver && let Some((_, received)) = self.streams.by_session.get_mut(&end.session) {
            *received = Some(end.incoming.position);
        }
    }
}
