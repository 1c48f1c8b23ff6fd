//! Moving a live session to another worker, and in time to another process.
//!
//! Possible because nothing of a stream is in user space between turns: two sockets, what is in
//! their pipes, and a few numbers are all there is.

use std::time::Duration;

use crate::kernel::{Kernel, Op, Token};
use crate::route::{ClusterId, EndpointId};

use super::access::Admission;
use super::session::{
    Attempts, Direction, Facts, Flow, FlowState, Held, InFlight, Opening, Phase, Reassembly,
    Relaying, Session, Side,
};
use super::worker::Worker;

/// A session on its way. Whoever drops one loses its descriptors: attach it, or give it to
/// [`Worker::attach`] of a worker that is ending, which closes it.
#[derive(Debug)]
pub struct Parcel<K: Kernel> {
    downstream: Side<K::Socket>,
    upstream: Side<K::Socket>,
    up: Flow<K::Pipe>,
    down: Flow<K::Pipe>,
    /// What of the hello is not sent yet.
    hello_left: Vec<u8>,
    name: Option<Box<str>>,
    breaking: bool,
    facts: ParcelFacts,
}

#[derive(Debug)]
struct ParcelFacts {
    accepted_at: crate::kernel::Tick,
    active_at: crate::kernel::Tick,
    hello_us: u32,
    connect_us: u32,
    peer: super::session::Peer,
    upstream: super::session::Peer,
    attempt_count: u8,
    listener: u16,
    cluster: Option<ClusterId>,
    endpoint: Option<EndpointId>,
}

impl<K: Kernel> Worker<K> {
    /// Begins to take a relaying session out of this worker. Its parcel is in
    /// [`Worker::parcels`] once its last completion has come. Returns whether it was relaying.
    pub fn detach(&mut self, slot: u32) -> bool {
        let Some(generation) = self.sessions.generation(slot) else { return false };
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        let Phase::Relaying(relaying) = phase else {
            session.phase = phase;
            return false;
        };
        session.phase = Phase::Leaving(relaying);
        self.timers.disarm(&mut self.sessions, slot);
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        for op in [Op::WatchDownstream, Op::WatchUpstream] {
            if session.in_flight.has(op) {
                self.core.kernel.cancel(Token::new(op, generation, slot));
            }
        }
        self.wrap_if_quiet(slot);
        true
    }

    /// The sessions that have left.
    pub fn parcels(&mut self) -> Vec<Parcel<K>> {
        std::mem::take(&mut self.outbox)
    }

    /// The slots of sessions that can be detached.
    #[must_use]
    pub fn detachable(&self) -> Vec<u32> {
        let relaying = |slot: &u32| {
            self.sessions.get(*slot).is_some_and(|s| matches!(s.phase, Phase::Relaying(_)))
        };
        self.sessions.numbers().filter(relaying).collect()
    }

    /// Takes a session over. Hands it back if no slot is free.
    ///
    /// # Errors
    /// The parcel, unchanged.
    #[allow(clippy::result_large_err, reason = "handed back as it came, and rarely")]
    pub fn attach(&mut self, parcel: Parcel<K>) -> Result<(), Parcel<K>> {
        if self.sessions.is_full() {
            return Err(parcel);
        }
        let session = self.unwrap_parcel(parcel);
        let listener = session.facts.listener;
        let Ok(slot) = self.sessions.insert(session) else { return Ok(()) };
        self.core.stats.sessions.add(1);
        if let Some(stats) = self.core.stats.listener(listener) {
            stats.sessions.add(1);
        }
        if self.stage >= super::orders::Stage::Closing {
            self.doom(slot);
        }
        // Armed for at once: it is armed again for what is left of its time, by whichever
        // timeout applies.
        self.set_timer(slot, Duration::from_millis(1));
        self.watch_upstream(slot);
        self.watch_downstream(slot);
        self.go_on(slot, Direction::Up);
        self.go_on(slot, Direction::Down);
        Ok(())
    }

    /// A completion of a leaving session has come.
    pub(super) fn wrap_if_quiet(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if !session.in_flight.is_empty() || !matches!(session.phase, Phase::Leaving(_)) {
            return;
        }
        self.timers.disarm(&mut self.sessions, slot);
        let Some(Session { phase, facts, breaking, .. }) = self.sessions.remove(slot) else {
            return;
        };
        let Phase::Leaving(relaying) = phase else { return };
        let Relaying { downstream, upstream, up, down, opening } = relaying;
        for _ in [&up.pipe, &down.pipe].into_iter().flatten() {
            self.core.pipes.detach();
        }
        let parcel = Parcel {
            downstream,
            upstream,
            up,
            down,
            hello_left: opening.map_or_else(Vec::new, |opening| self.rest_of_hello(*opening)),
            name: facts.name.as_deref().map(Box::from),
            breaking,
            facts: ParcelFacts {
                accepted_at: facts.accepted_at,
                active_at: facts.active_at,
                hello_us: facts.hello_us,
                connect_us: facts.connect_us,
                peer: facts.peer,
                upstream: facts.upstream,
                attempt_count: facts.attempt_count,
                listener: facts.listener,
                cluster: facts.cluster,
                endpoint: facts.endpoint,
            },
        };
        self.forget(facts);
        self.core.stats.sessions.sub(1);
        self.core.stats.detached.add(1);
        self.outbox.push(parcel);
    }

    fn rest_of_hello(&mut self, opening: Opening) -> Vec<u8> {
        let Opening { held, sent_bytes, .. } = opening;
        let bytes = match &held {
            Held::Nothing => &[],
            Held::Pooled(id) => self.core.kernel.buffers().bytes(id),
            Held::Reassembly(reassembly) => reassembly.wire.as_slice(),
        };
        let rest = bytes.get(sent_bytes..).unwrap_or_default().to_vec();
        self.core.release(held);
        rest
    }

    fn unwrap_parcel(&mut self, parcel: Parcel<K>) -> Session<K::Socket, K::Pipe> {
        let Parcel {
            mut downstream,
            mut upstream,
            mut up,
            mut down,
            hello_left,
            name,
            breaking,
            facts,
        } = parcel;
        for _ in [&up.pipe, &down.pipe].into_iter().flatten() {
            self.core.pipes.attach();
        }
        // Ids of a table that this worker has not adopted yet cannot be counted, and so must
        // not be counted down later.
        let loads = self.core.inbox.loads();
        let endpoint = facts.endpoint.filter(|&id| loads.opened(id));
        let cluster = facts.cluster.filter(|&id| loads.entered(id));
        let opening = (!hello_left.is_empty()).then(|| {
            // Never replayed: nobody knows any more what was sent before.
            let attempts = Attempts::exhausted();
            let rest = Reassembly { wire: hello_left, parse_at_bytes: 0, counted: false };
            let held = Held::Reassembly(Box::new(rest));
            Box::new(Opening { held, sent_bytes: 0, attempts })
        });
        // Edges seen by the other worker are gone; what there is now is found by trying.
        for side in [&mut downstream, &mut upstream] {
            side.readable = true;
            side.writable = true;
        }
        for flow in [&mut up, &mut down] {
            flow.queued = false;
            debug_assert!(flow.state != FlowState::Finished || flow.pipe.is_none());
        }
        Session {
            phase: Phase::Relaying(Relaying { downstream, upstream, up, down, opening }),
            facts: Facts {
                accepted_at: facts.accepted_at,
                active_at: facts.active_at,
                hello_us: facts.hello_us,
                connect_us: facts.connect_us,
                name: name.map(|name| self.core.names.intern(&name)),
                peer: facts.peer,
                cluster,
                endpoint,
                upstream: facts.upstream,
                attempt_count: facts.attempt_count,
                hello_error: None,
                listener: facts.listener,
            },
            in_flight: InFlight::default(),
            recorded_periods: 0,
            doomed: false,
            admission: Admission::Granted,
            hello_counted: false,
            breaking,
        }
    }
}
