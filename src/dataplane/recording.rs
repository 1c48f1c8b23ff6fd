//! Records of sessions for the access log: at their end, and on the way there.

use std::time::Duration;

use crate::kernel::{Kernel, Tick};

use super::core::Core;
use super::record::{End, SessionRecord};
use super::session::{Facts, Phase, Relaying};
use super::worker::Worker;

impl<K: Kernel> Core<K> {
    /// A record of a session that has these sockets, downstream and upstream, and has moved so many
    /// bytes, up and down.
    pub(super) fn record_of(
        &mut self,
        facts: &Facts,
        end: End,
        (downstream, upstream): (Option<&K::Socket>, Option<&K::Socket>),
        (bytes_up, bytes_down): (u64, u64),
    ) -> SessionRecord {
        let known = |us: u32| (us != u32::MAX).then_some(us);
        let mut record = SessionRecord::new(end, facts.accepted_at, self.now(), self.id);
        record.hello_us = known(facts.hello_us);
        record.connect_us = known(facts.connect_us);
        record.bytes_up = bytes_up;
        record.bytes_down = bytes_down;
        record.attempt_count = facts.attempt_count;
        record.cluster = facts.cluster;
        record.hello_error = facts.hello_error;
        record.listener = facts.listener;
        // Without an access log nobody has asked for it yet.
        let peer = |socket| self.kernel.peer_address(socket);
        record.downstream_peer = facts.peer.address().or_else(|| downstream.and_then(peer));
        record.downstream_local = downstream.and_then(|s| self.kernel.local_address(s));
        record.upstream_peer = facts.upstream.address();
        record.upstream_local = upstream.and_then(|s| self.kernel.local_address(s));
        if let Some(name) = &facts.name {
            record.set_server_name(name);
        }
        record
    }

    /// Leaves a record for the access log.
    pub(super) fn log(&mut self, record: SessionRecord) {
        let is_taken = self.records.as_mut().is_none_or(|records| records.push(record).is_ok());
        self.stats.access_log_dropped.add(u64::from(!is_taken));
    }

    /// Whether a refusal would still be shown.
    pub(super) fn has_room_for_refusal(&self) -> bool {
        self.refusals.as_ref().is_some_and(|queue| !queue.is_full())
    }

    /// Leaves the record of a refusal for whoever asks why. What there is no room for is left out.
    pub(super) fn show_refusal(&mut self, record: SessionRecord) {
        if let Some(refusals) = &mut self.refusals {
            let _ = refusals.push(record);
        }
    }
}

impl<K: Kernel> Worker<K> {
    /// A session has reached its endpoint.
    pub(super) fn record_begun(&mut self, slot: u32) {
        if self.core.settings.access_log && self.core.settings.access_log_start {
            self.record_alive(slot, End::Begun);
        }
    }

    /// Records a session that lasts, if another period of it is over.
    pub(super) fn record_if_due(&mut self, slot: u32) {
        let every = self.core.settings.access_log_every;
        if every.is_zero() || !self.core.settings.access_log {
            return;
        }
        let now = self.core.now();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let periods = periods(session.facts.accepted_at, now, every);
        // Modulo 256: a session that is looked at after so many periods misses one line.
        let [recorded, ..] = periods.to_le_bytes();
        if std::mem::replace(&mut session.recorded_periods, recorded) != recorded {
            self.record_alive(slot, End::Ongoing);
        }
    }

    /// How long a relaying session may be left alone: no longer than its present period lasts.
    /// Zero is without a limit, in and out.
    pub(super) fn until_recorded(&self, slot: u32, after: Duration) -> Duration {
        let every = self.core.settings.access_log_every;
        if every.is_zero() || !self.core.settings.access_log {
            return after;
        }
        let Some(session) = self.sessions.get(slot) else { return after };
        let Phase::Relaying(_) = session.phase else { return after };
        let (began, now) = (session.facts.accepted_at, self.core.now());
        let next = periods(began, now, every).saturating_add(1).saturating_mul(us(every));
        let left = Duration::from_micros(next.saturating_sub(now.since_us(began)).max(1));
        if after.is_zero() { left } else { left.min(after) }
    }

    fn record_alive(&mut self, slot: u32, end: End) {
        let Some(session) = self.sessions.get(slot) else { return };
        let Phase::Relaying(Relaying { downstream, upstream, up, down, .. }) = &session.phase
        else {
            return;
        };
        let sockets = (Some(&downstream.socket), Some(&upstream.socket));
        let record = self.core.record_of(&session.facts, end, sockets, (up.bytes, down.bytes));
        self.core.log(record);
    }
}

/// How many periods there were.
fn periods(began: Tick, now: Tick, every: Duration) -> u64 {
    now.since_us(began).checked_div(us(every)).unwrap_or_default()
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
