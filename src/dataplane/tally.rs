//! What the figures of a cluster, of a listener and of all sessions gain when something happens
//! to one session. Plain counters of this worker's own, for metrics.

use crate::kernel::Kernel;
use crate::limits::TALLY_BYTES;
use crate::refusal::Refusal;
use crate::route::{ClusterId, EndpointId};

use super::core::Core;
use super::record::End;
use super::session::Direction;
use super::worker::Worker;

impl<K: Kernel> Core<K> {
    /// A direction of a session in a cluster has moved on. Its bytes are told in steps, and the
    /// rest at the session's end: so a small message costs nothing but a comparison, and the
    /// figures of a stream of hours do not all come when it ends.
    #[inline]
    pub(super) fn tally_moved(
        &mut self,
        cluster: Option<ClusterId>,
        direction: Direction,
        before_bytes: u64,
        after_bytes: u64,
    ) {
        if (before_bytes ^ after_bytes) < TALLY_BYTES {
            return;
        }
        let steps_bytes = in_steps(after_bytes).saturating_sub(in_steps(before_bytes));
        let Some(cluster) = cluster else { return };
        let (up_bytes, down_bytes) = match direction {
            Direction::Up => (steps_bytes, 0),
            Direction::Down => (0, steps_bytes),
        };
        let now = self.now();
        self.inbox.loads().moved(cluster, up_bytes, down_bytes, now);
    }

    /// An endpoint has failed, and is perhaps left aside for it.
    pub(super) fn blame(&mut self, endpoint: EndpointId) {
        let now = self.now();
        let is_ejected = self.inbox.loads().failed(endpoint, now);
        self.stats.ejections.add(u64::from(is_ejected));
    }
}

impl<K: Kernel> Worker<K> {
    /// A session ends, having moved so many bytes up and down.
    pub(super) fn tally_end(&mut self, slot: u32, end: End, (up_bytes, down_bytes): (u64, u64)) {
        let now = self.core.now();
        let Some(session) = self.sessions.get(slot) else { return };
        let facts = &session.facts;
        if let (End::Refused(why), Some(listener)) = (end, self.core.stats.listener(facts.listener))
        {
            listener.unmatched.add(u64::from(is_unmatched(why)));
        }
        if facts.connect_us != u32::MAX {
            self.core.stats.session_times.record(now.since_us(facts.accepted_at));
        }
        let left = |bytes: u64| bytes.saturating_sub(in_steps(bytes));
        if let Some(cluster) = facts.cluster
            && up_bytes > 0
        {
            self.core.inbox.loads().moved(cluster, left(up_bytes), left(down_bytes), now);
        }
    }
}

/// What of so many bytes was told while they moved.
const fn in_steps(bytes: u64) -> u64 {
    bytes & !(TALLY_BYTES - 1)
}

/// Whether Envoy would have found no filter chain for it.
const fn is_unmatched(why: Refusal) -> bool {
    matches!(
        why,
        Refusal::NotTls
            | Refusal::NoServerName
            | Refusal::UnknownName
            | Refusal::UnknownDatacenter
            | Refusal::NoGateways
            | Refusal::OtherTrustDomain
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_rest_make_the_whole_however_it_moved() {
        for move_bytes in [1, 7, 4096, TALLY_BYTES - 1, TALLY_BYTES, 3 * TALLY_BYTES + 5] {
            let (mut bytes, mut told) = (0_u64, 0_u64);
            for _ in 0..200 {
                let after = bytes + move_bytes;
                let crosses = (bytes ^ after) >= TALLY_BYTES;
                let steps = in_steps(after) - in_steps(bytes);
                assert_eq!(crosses, steps > 0, "from {bytes} to {after}");
                (bytes, told) = (after, told + steps);
            }
            assert_eq!(told + (bytes - in_steps(bytes)), 200 * move_bytes);
        }
    }
}
