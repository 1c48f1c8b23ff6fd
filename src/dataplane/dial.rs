//! Connecting to an endpoint, and to another one if that fails.
//!
//! Until the endpoint has sent its first byte, nothing has happened that another endpoint could
//! not do as well: the hello is kept, and replayed.

use std::time::Duration;

use crate::kernel::{DialOptions, Errno, Kernel, Op, Tick, Token};
use crate::limits::{ACCEPT_PAUSE, CONNECT_TIMEOUT};
use crate::refusal::Refusal;
use crate::route::balance;

use super::opening::us;
use super::session::{Dialing, Flow, Held, Opening, Phase, Relaying, Side};
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// Dials the next endpoint of a dialing session; without one, refuses it as `otherwise`.
    pub(super) fn dial_next(&mut self, slot: u32, otherwise: Refusal) {
        let now = self.core.now();
        let random = self.core.kernel.random();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Dialing(dialing) = &mut session.phase else { return };
        let attempts = &mut dialing.attempts;
        let budget_left = attempts.count < self.core.settings.dial_attempts_max.max(1);
        let cluster = session.facts.cluster.filter(|_| budget_left);
        let cluster = cluster.and_then(|id| self.core.inbox.table().cluster(id));
        let loads = self.core.inbox.loads();
        let pick = cluster
            .and_then(|cluster| balance::pick(&cluster, loads, now, random, attempts.tried()));
        let (Some(cluster), Some(pick)) = (cluster, pick) else {
            return self.refuse(slot, otherwise);
        };
        let connect_timeout = cluster.connect_timeout();
        let is_announced = cluster.is_announced();
        let keepalive = cluster.keepalive().or(self.core.settings.upstream_keepalive);
        attempts.add(pick.id);
        session.facts.attempt_count = attempts.count;
        session.facts.endpoint = Some(pick.id);
        session.facts.upstream = pick.address.into();
        loads.opened(pick.id);
        loads.dialed(cluster.id(), now);
        self.core.stats.dials.add(1);
        self.core.stats.dials_retried.add(u64::from(attempts.count > 1));
        if is_announced {
            self.announce(slot);
        }
        let Some(token) = self.token(slot, Op::Dial) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Dialing(dialing) = &session.phase else { return };
        let options = DialOptions { keepalive };
        let hello = match &dialing.held {
            Held::Pooled(id) => Some(id),
            Held::Nothing | Held::Reassembly(_) => None,
        };
        self.core.kernel.dial(pick.address, &options, hello, token);
        self.set_timer(slot, connect_timeout);
    }

    /// Connected: relaying begins.
    pub(super) fn on_dialed(&mut self, slot: u32, socket: K::Socket, sent_bytes: usize) {
        let idle_timeout = self.core.settings.idle_timeout;
        let now = self.core.now();
        let Some(session) = self.sessions.get_mut(slot) else {
            return self.core.kernel.close(socket);
        };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        let Phase::Dialing(dialing) = phase else {
            session.phase = phase;
            return self.core.kernel.close(socket);
        };
        let Dialing { downstream, held, attempts, .. } = dialing;
        let hello_at = session.facts.accepted_at.0.saturating_add(session.facts.hello_us.into());
        let first = session.facts.connect_us == u32::MAX;
        session.facts.connect_us = us(now.0.saturating_sub(hello_at));
        session.facts.active_at = now;
        if first {
            self.core.stats.dial_times.record(session.facts.connect_us.into());
        }
        let mut up = Flow::new();
        up.bytes = sent_bytes as u64;
        self.core.stats.bytes_up.add(up.bytes);
        self.core.stats.bytes_copied.add(up.bytes);
        session.phase = Phase::Relaying(Relaying {
            downstream,
            upstream: Side::new(socket),
            up,
            down: Flow::new(),
            opening: Some(Box::new(Opening { held, sent_bytes, attempts })),
        });
        self.core.stats.routed.add(u64::from(first));
        self.set_timer(slot, idle_timeout);
        if first {
            self.record_begun(slot);
        }
        self.watch_upstream(slot);
        self.begin_relaying(slot);
    }

    pub(super) fn on_dial_failed(&mut self, slot: u32, why: Errno) {
        self.core.stats.dials_failed.add(1);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let exhausted = is_ours(why);
        if let Some(endpoint) = session.facts.endpoint.take() {
            self.core.inbox.loads().closed(endpoint);
            if !exhausted {
                self.core.blame(endpoint);
            }
        }
        if let Some(cluster) = session.facts.cluster {
            self.core.inbox.loads().dial_failed(cluster);
        }
        if is_shortage(why) && self.wait_for_resources(slot) {
            return;
        }
        let otherwise = if exhausted { Refusal::OutOfResources } else { Refusal::ConnectFailed };
        self.dial_next(slot, otherwise);
    }

    /// There is no descriptor or no memory to dial with: nothing more is accepted for a while,
    /// and the session waits for others to end, though not longer than a dial may take.
    fn wait_for_resources(&mut self, slot: u32) -> bool {
        let now = self.core.now();
        self.pause_accepting();
        let Some(session) = self.sessions.get_mut(slot) else { return true };
        let Phase::Dialing(dialing) = &mut session.phase else { return true };
        let hello_at = session.facts.accepted_at.0.saturating_add(session.facts.hello_us.into());
        if now > Tick(hello_at).after(CONNECT_TIMEOUT) {
            return false;
        }
        dialing.attempts.take_back();
        self.set_timer(slot, ACCEPT_PAUSE);
        true
    }

    /// The dial took too long. What it was comes as its last completion.
    pub(super) fn on_dial_timeout(&mut self, slot: u32) {
        let Some(generation) = self.sessions.generation(slot) else { return };
        let Some(session) = self.sessions.get(slot) else { return };
        if session.in_flight.has(Op::Dial) {
            self.core.stats.dials_timed_out.add(1);
            if let Some(cluster) = session.facts.cluster {
                self.core.inbox.loads().dial_timed_out(cluster);
            }
            self.core.kernel.cancel(Token::new(Op::Dial, generation, slot));
        } else if !session.in_flight.has(Op::WatchUpstream) {
            // It waited for a descriptor.
            self.dial_next(slot, Refusal::OutOfResources);
        }
    }

    /// The upstream connection of a session ended before its first byte. Goes back to dialing
    /// if the hello can be replayed, and says whether it can.
    ///
    /// Only a reset counts against the endpoint: a server may well close without a word when it
    /// does not like a hello, and clients must not be able to have endpoints ejected.
    pub(super) fn redial(&mut self, slot: u32, was_reset: bool) -> bool {
        let budget = self.core.settings.dial_attempts_max;
        let Some(generation) = self.sessions.generation(slot) else { return false };
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let Phase::Relaying(relaying) = &session.phase else { return false };
        if !is_replayable(&mut self.core.kernel, relaying, budget) {
            return false;
        }
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        // It is the connection that is given up that broke.
        session.breaking = false;
        let Phase::Relaying(relaying) = phase else { return false };
        let Relaying { downstream, upstream, mut up, mut down, opening } = relaying;
        let Some(opening) = opening else { return false };
        let Opening { held, attempts, .. } = *opening;
        super::pump::return_pipe(&mut self.core, &mut up);
        super::pump::return_pipe(&mut self.core, &mut down);
        if let Some(endpoint) = session.facts.endpoint.take() {
            self.core.inbox.loads().closed(endpoint);
            if was_reset {
                self.core.blame(endpoint);
            }
            if let Some(cluster) = session.facts.cluster {
                self.core.inbox.loads().dial_failed(cluster);
            }
        }
        self.core.stats.dials_failed.add(1);
        // It may have a part of the hello, which must not look whole.
        self.core.kernel.reset(&upstream.socket);
        let watched = session.in_flight.has(Op::WatchUpstream);
        let mut dialing = Dialing { downstream, held, attempts, failed: None };
        if watched {
            dialing.failed = Some(upstream.socket);
        } else {
            self.core.kernel.close(upstream.socket);
        }
        session.phase = Phase::Dialing(dialing);
        self.set_timer(slot, Duration::ZERO);
        if watched {
            // The endpoint is dialed when the old watch is over: the slot has one upstream.
            let token = Token::new(Op::WatchUpstream, generation, slot);
            self.core.kernel.cancel(token);
        } else {
            self.dial_next(slot, Refusal::ConnectFailed);
        }
        true
    }
}

impl<K: Kernel> Worker<K> {
    /// The watch of an upstream connection that failed before its first byte is over.
    pub(super) fn close_failed(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Dialing(dialing) = &mut session.phase else { return };
        if let Some(socket) = dialing.failed.take() {
            self.core.kernel.close(socket);
            self.dial_next(slot, Refusal::ConnectFailed);
        }
    }
}

/// Whether all that went upstream is a hello that is still held, or still in the queue.
fn is_replayable<K: Kernel>(
    kernel: &mut K,
    relaying: &Relaying<K::Socket, K::Pipe>,
    attempts_max: u8,
) -> bool {
    let Some(opening) = &relaying.opening else { return false };
    let held_bytes = opening.held.length_bytes(kernel);
    let broken = relaying.upstream.broken || relaying.downstream.broken;
    !broken
        && relaying.down.bytes == 0
        && relaying.down.pipe.is_none()
        && relaying.up.pipe.is_none()
        && relaying.up.bytes <= held_bytes as u64
        && opening.attempts.count < attempts_max
}

/// Of these, those that pass when other sessions end.
const fn is_shortage(why: Errno) -> bool {
    matches!(why, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

/// Errors that say nothing of the endpoint: no local port, descriptor or memory was left.
const fn is_ours(why: Errno) -> bool {
    matches!(
        why,
        Errno::EADDRNOTAVAIL
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::EAGAIN
    )
}
