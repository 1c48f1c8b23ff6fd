//! The worker: one core's share of the gateway.
//!
//! A turn: let the kernel work and wait, take a new table if there is one, obey orders, handle
//! every completion, give the directions their share that had to wait, close what timed out,
//! answer who asks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::kernel::{Completion, Completions, Event, Kernel, Op, Readiness, Tick, Token, Wait};
use crate::limits::{ACCEPT_PAUSE, WORKER_TICK};
use crate::route::mailbox::Inbox;

use super::core::Core;
use super::listeners::Listeners;
use super::orders::{Orders, Seen, Stage};
use super::parcel::Parcel;
use super::record::{End, SessionRecord};
use super::session::{Direction, Phase, Session};
use super::settings::Settings;
use super::slab::Slab;
use super::stats::Stats;
use super::timer::Wheel;

/// What a worker is made of, besides its kernel.
#[derive(Debug)]
pub struct WorkerParts {
    /// Its number, for logs.
    pub id: u16,
    /// What the operator set.
    pub settings: Settings,
    /// Where it counts.
    pub stats: Arc<Stats>,
    /// Where it is told what to do.
    pub orders: Arc<Orders>,
    /// Where its tables come from.
    pub inbox: Inbox,
    /// Where its access-log records go.
    pub records: Option<rtrb::Producer<SessionRecord>>,
    /// Where records of refusals go besides; what it has no room for is left out.
    pub refusals: Option<rtrb::Producer<SessionRecord>>,
    /// How many listeners its kernel was made with.
    pub listener_count: u16,
}

/// One core's share of the gateway.
pub struct Worker<K: Kernel> {
    pub(super) core: Core<K>,
    pub(super) sessions: Slab<Session<K::Socket, K::Pipe>>,
    pub(super) timers: Wheel,
    pub(super) listeners: Listeners<K::Socket>,
    /// Directions that had their budget and want more.
    pub(super) ready: VecDeque<(Token, Direction)>,
    pub(super) outbox: Vec<Parcel<K>>,
    pub(super) stage: Stage,
    orders: Arc<Orders>,
    obeyed: Seen,
    completions: Completions<K::Socket>,
    expired: Vec<u32>,
    next_tick: Tick,
}

impl<K: Kernel> Worker<K> {
    /// A worker that accepts on all of its kernel's listeners from the first turn on.
    pub fn new(kernel: K, parts: WorkerParts) -> Self {
        let WorkerParts { id, settings, stats, orders, inbox, records, refusals, listener_count } =
            parts;
        let now = kernel.now();
        let capacity = settings.session_count_max.max(1);
        Self {
            core: Core { refusals, ..Core::new(kernel, id, settings, stats, inbox, records) },
            sessions: Slab::new(capacity),
            timers: Wheel::new(now),
            listeners: Listeners::new(listener_count),
            ready: VecDeque::new(),
            outbox: Vec::new(),
            stage: Stage::Serving,
            orders,
            obeyed: Seen::default(),
            completions: Vec::new(),
            expired: Vec::new(),
            next_tick: now,
        }
    }

    /// Turns until the orders say that it is over, then closes what is left of its own.
    pub fn run(mut self) {
        while self.turn() {}
        self.end();
    }

    /// One turn. Returns whether there will be another.
    pub fn turn(&mut self) -> bool {
        let wait = self.wait();
        let mut completions = std::mem::take(&mut self.completions);
        self.core.kernel.turn(wait, &mut completions);
        self.core.stats.turns.add(1);
        self.core.stats.completions.add(completions.len() as u64);
        if self.core.inbox.adopt() {
            self.core.stats.tables_adopted.add(1);
            self.core.stats.table_version.set(self.core.inbox.table().version());
        }
        self.obey();
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
        self.share_out();
        self.expire();
        self.accept_if_possible();
        self.answer_survey();
        self.stage == Stage::Serving || self.sessions.len() > 0 || !self.listeners.are_closed()
    }

    /// Gives back what the worker itself holds, after its last turn, and the kernel with it.
    pub fn end(mut self) -> K {
        self.core.pipes.clear(&mut self.core.kernel);
        self.core.kernel
    }

    /// Where it is told what to do.
    pub(super) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The worker's kernel.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.core.kernel
    }

    /// The sessions that there are, in whatever state.
    #[must_use]
    pub fn session_count(&self) -> u32 {
        self.sessions.len()
    }

    /// The sources that have connections with incomplete hellos, where those are limited.
    #[must_use]
    pub fn counted_source_count(&self) -> usize {
        self.core.sources.len()
    }

    fn wait(&self) -> Wait {
        if !self.ready.is_empty() {
            return Wait::No;
        }
        let timer = self.timers.next().unwrap_or(self.next_tick);
        Wait::Until(timer.min(self.next_tick).min(self.listeners.resume_at()))
    }

    fn complete(&mut self, completion: Completion<K::Socket>) {
        let Completion { token, event, last } = completion;
        if token.op() == Op::Accept {
            return self.on_accept(token, event, last);
        }
        let slot = token.slot();
        if self.sessions.generation(slot) != Some(token.generation()) {
            return self.drop_stale(event);
        }
        let Some(session) = self.sessions.get_mut(slot) else { return self.drop_stale(event) };
        if last {
            session.in_flight.remove(token.op());
        }
        match session.phase {
            Phase::Closing { .. } => return self.on_closing(slot, event),
            Phase::Leaving(_) => return self.wrap_if_quiet(slot),
            Phase::Dialing(_) if token.op() == Op::WatchUpstream => {
                return if last {
                    self.close_failed(slot)
                };
            }
            _ => {}
        }
        match event {
            Event::Ready(ready) => {
                if last {
                    self.watch_again(slot, token.op());
                }
                self.on_ready(slot, token.op(), ready);
            }
            Event::Dialed { socket, sent_bytes } => self.on_dialed(slot, socket, sent_bytes),
            Event::Failed(why) if token.op() == Op::Dial => self.on_dial_failed(slot, why),
            Event::Failed(why) => self.on_watch_failed(slot, token.op(), why, last),
            // Accepted comes for listeners only.
            Event::Accepted(socket) => self.core.kernel.close(socket),
        }
    }

    fn on_ready(&mut self, slot: u32, op: Op, ready: Readiness) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        match &mut session.phase {
            Phase::Sniffing { downstream, .. } => {
                downstream.note(ready);
                self.sniff(slot);
            }
            Phase::Dialing(dialing) => {
                dialing.downstream.note(ready);
                if ready.any(Readiness::BROKEN) {
                    self.abort(slot, End::DownstreamReset);
                }
            }
            Phase::Relaying(relaying) if op == Op::WatchDownstream => {
                relaying.downstream.note(ready);
                self.relay(slot, Direction::Up, ready);
            }
            Phase::Relaying(relaying) => {
                relaying.upstream.note(ready);
                self.relay(slot, Direction::Down, ready);
            }
            Phase::Refused { downstream } => {
                downstream.note(ready);
                self.linger(slot);
            }
            Phase::Leaving(_) | Phase::Closing { .. } | Phase::Between => {}
        }
    }

    /// Directions that had their budget in an earlier turn go on. Those that queue up now wait
    /// for the next turn.
    fn share_out(&mut self) {
        for _ in 0..self.ready.len() {
            let Some((token, direction)) = self.ready.pop_front() else { return };
            if self.sessions.generation(token.slot()) == Some(token.generation()) {
                self.go_on_queued(token.slot(), direction);
            }
        }
    }

    fn expire(&mut self) {
        let now = self.core.now();
        let mut expired = std::mem::take(&mut self.expired);
        self.timers.expire(&mut self.sessions, now, |slot| expired.push(slot));
        for slot in expired.drain(..) {
            self.on_timer(slot);
        }
        self.expired = expired;
        if now >= self.next_tick {
            self.next_tick = now.after(WORKER_TICK);
            self.core.pipes.trim(&mut self.core.kernel);
            let overflow_count = self.core.kernel.overflow_count();
            self.core.stats.completions_overflowed.set(overflow_count);
        }
    }

    fn on_timer(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.doomed && !matches!(session.phase, Phase::Closing { .. }) {
            self.core.stats.drain_closed.add(1);
            return self.abort(slot, End::Drained);
        }
        match &session.phase {
            Phase::Sniffing { .. } => self.on_hello_timeout(slot),
            Phase::Dialing(_) => self.on_dial_timeout(slot),
            Phase::Relaying(_) => self.on_idle(slot),
            Phase::Refused { .. } => self.close_refused(slot),
            Phase::Leaving(_) | Phase::Closing { .. } | Phase::Between => {}
        }
    }

    fn drop_stale(&mut self, event: Event<K::Socket>) {
        self.core.stats.completions_stale.add(1);
        if let Event::Accepted(socket) | Event::Dialed { socket, .. } = event {
            self.core.kernel.close(socket);
        }
    }

    /// Does what was ordered since it looked last.
    fn obey(&mut self) {
        let seen = self.orders.seen();
        if seen != self.obeyed {
            self.obeyed = seen;
            self.obey_anew(seen);
        }
    }

    /// Takes new settings, and moves on to the stage ordered.
    #[cold]
    fn obey_anew(&mut self, seen: Seen) {
        if let Some(settings) = self.orders.settings() {
            self.core.settings = *settings;
        }
        let ordered = seen.stage();
        if ordered <= self.stage {
            return;
        }
        let earlier = std::mem::replace(&mut self.stage, ordered);
        if earlier < Stage::Draining {
            self.stop_accepting();
        }
        if ordered < Stage::Closing {
            return;
        }
        for slot in self.sessions.numbers().collect::<Vec<_>>() {
            self.doom(slot);
        }
    }

    /// Arranges for a session to be closed: at once, or some time within the spread.
    pub(super) fn doom(&mut self, slot: u32) {
        let spread = self.core.settings.drain_spread;
        let spread_us = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
        let delay_us = match self.stage {
            Stage::Stopping => 0,
            _ => self.core.kernel.random() % spread_us.saturating_add(1),
        };
        let at = Tick(self.core.now().0.saturating_add(delay_us));
        if let Some(session) = self.sessions.get_mut(slot) {
            session.doomed = true;
            // One that leaves is the affair of the worker that takes it; its slot goes without
            // its timer being asked.
            if !matches!(session.phase, Phase::Closing { .. } | Phase::Leaving(_)) {
                // What would have timed out before is closed then, too.
                self.timers.arm_by(&mut self.sessions, slot, at);
            }
        }
    }

    /// Arms the timer of a session, unless it is doomed: then it has its time.
    pub(super) fn set_timer(&mut self, slot: u32, after: std::time::Duration) {
        if self.sessions.get(slot).is_none_or(|session| session.doomed) {
            return;
        }
        let after = self.until_recorded(slot, after);
        if after.is_zero() {
            self.timers.disarm(&mut self.sessions, slot);
        } else {
            let at = self.core.now().after(after);
            self.timers.arm(&mut self.sessions, slot, at);
        }
    }

    /// The token of a session's operation, which is then in flight.
    pub(super) fn token(&mut self, slot: u32, op: Op) -> Option<Token> {
        let token = Token::new(op, self.sessions.generation(slot)?, slot);
        let session = self.sessions.get_mut(slot)?;
        debug_assert!(!session.in_flight.has(op), "{op:?} twice in flight");
        session.in_flight.add(op);
        Some(token)
    }

    /// When accepting is tried again after the system ran out of something.
    pub(super) fn accept_pause_end(&self) -> Tick {
        self.core.now().after(ACCEPT_PAUSE)
    }
}

#[cfg(test)]
mod tests;
