//! What sessions a worker has, for whoever asks.
//!
//! A question is for a bounded number of slots, and is answered at the end of one turn: however
//! many sessions there are and whoever asks how often, no turn is longer for it than that. The
//! memory for the answer comes with the question.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use crate::kernel::{Kernel, Tick};
use crate::limits::{SERVER_NAME_BYTES_MAX, SURVEY_SLOT_COUNT};
use crate::route::ClusterId;

use super::session::{Facts, Mode, Phase};
use super::worker::Worker;

/// A question for the sessions in some of a worker's slots.
#[derive(Debug)]
pub struct Survey {
    first_slot: u32,
    found: Found,
    reply: oneshot::Sender<Found>,
}

impl Survey {
    /// A question for the sessions from this slot on, and where its answer will come.
    #[must_use]
    pub fn new(first_slot: u32) -> (Box<Self>, oneshot::Receiver<Found>) {
        let (reply, answer) = oneshot::channel();
        let count = SURVEY_SLOT_COUNT as usize;
        let found = Found {
            sightings: Vec::with_capacity(count),
            names: String::with_capacity(count.saturating_mul(SERVER_NAME_BYTES_MAX)),
            next_slot: None,
        };
        (Box::new(Self { first_slot, found, reply }), answer)
    }
}

/// The sessions in the slots that were asked for, in order of their slots.
#[derive(Debug)]
pub struct Found {
    sightings: Vec<Sighting>,
    /// Their server names, one after the other.
    names: String,
    /// Where to ask on; `None` after the worker's last slot.
    pub next_slot: Option<u32>,
}

impl Found {
    /// The sessions, each with its server name, if that is known yet.
    pub fn sessions(&self) -> impl Iterator<Item = (&Sighting, Option<&str>)> {
        let mut names = self.names.as_str();
        self.sightings.iter().map(move |sighting| {
            let split = names.split_at_checked(usize::from(sighting.name_bytes));
            let (name, rest) = split.unwrap_or_default();
            names = rest;
            (sighting, (!name.is_empty()).then_some(name))
        })
    }
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Its hello is not complete.
    Hello,
    /// It connects to an endpoint.
    Dialing,
    /// It moves bytes.
    Relaying,
    /// It was refused, and the client has not closed yet.
    Refused,
    /// It has ended, but for the last completions of the kernel.
    Closing,
}

impl Stands {
    /// Its name in listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Dialing => "dialing",
            Self::Relaying => "relaying",
            Self::Refused => "refused",
            Self::Closing => "closing",
        }
    }
}

/// How a direction moves its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Through memory.
    ByCopy,
    /// Through a pipe.
    BySplice,
}

impl From<Mode> for Moves {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Copy => Self::ByCopy,
            Mode::Splice => Self::BySplice,
        }
    }
}

/// One session, as it was when it was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Its slot.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
    /// Where it is in its life.
    pub stands: Stands,
    /// When it was accepted.
    pub accepted_at: Tick,
    /// When something last moved.
    pub active_at: Tick,
    /// From accept to complete hello, in microseconds, if it came so far.
    pub hello_us: Option<u32>,
    /// From complete hello to connected, in microseconds, if it came so far.
    pub connect_us: Option<u32>,
    /// Bytes relayed from downstream to upstream.
    pub bytes_up: u64,
    /// Bytes relayed from upstream to downstream.
    pub bytes_down: u64,
    /// How bytes go upstream and downstream, while they do.
    pub moves: Option<(Moves, Moves)>,
    /// The client.
    pub downstream_peer: Option<SocketAddr>,
    /// The endpoint last dialed.
    pub upstream_peer: Option<SocketAddr>,
    /// The cluster that its name leads to.
    pub cluster: Option<ClusterId>,
    /// Endpoints tried.
    pub attempt_count: u8,
    /// The listener that it came in by.
    pub listener: u16,
    name_bytes: u8,
}

impl Sighting {
    fn new(slot: u32, generation: u32, stands: Stands, facts: &Facts) -> Self {
        let known = |us: u32| (us != u32::MAX).then_some(us);
        Self {
            slot,
            generation,
            stands,
            accepted_at: facts.accepted_at,
            active_at: facts.active_at,
            hello_us: known(facts.hello_us),
            connect_us: known(facts.connect_us),
            bytes_up: 0,
            bytes_down: 0,
            moves: None,
            downstream_peer: facts.peer.address(),
            upstream_peer: facts.upstream.address(),
            cluster: facts.cluster,
            attempt_count: facts.attempt_count,
            listener: facts.listener,
            name_bytes: 0,
        }
    }
}

impl<K: Kernel> Worker<K> {
    /// Answers the question that was put last, if there is one. Once per turn.
    pub(super) fn answer_survey(&mut self) {
        let Some(survey) = self.orders().take_survey() else { return };
        let Survey { first_slot, mut found, reply } = *survey;
        let end = self.sessions.slot_count();
        let stop = first_slot.saturating_add(SURVEY_SLOT_COUNT).min(end);
        for slot in first_slot..stop {
            if let Some(sighting) = self.sight(slot, &mut found.names) {
                found.sightings.push(sighting);
            }
        }
        found.next_slot = (stop < end).then_some(stop);
        // Who asked may not wait any more.
        let _ = reply.send(found);
    }

    fn sight(&mut self, slot: u32, names: &mut String) -> Option<Sighting> {
        let generation = self.sessions.generation(slot)?;
        let session = self.sessions.get(slot)?;
        let (stands, downstream, relaying) = match &session.phase {
            Phase::Sniffing { downstream, .. } => (Stands::Hello, Some(downstream), None),
            Phase::Dialing(dialing) => (Stands::Dialing, Some(&dialing.downstream), None),
            Phase::Relaying(relaying) => {
                (Stands::Relaying, Some(&relaying.downstream), Some(relaying))
            }
            Phase::Refused { downstream } => (Stands::Refused, Some(downstream), None),
            Phase::Leaving(_) | Phase::Closing { .. } | Phase::Between => {
                (Stands::Closing, None, None)
            }
        };
        let mut sighting = Sighting::new(slot, generation, stands, &session.facts);
        if let Some(relaying) = relaying {
            (sighting.bytes_up, sighting.bytes_down) = (relaying.up.bytes, relaying.down.bytes);
            sighting.moves = Some((relaying.up.mode.into(), relaying.down.mode.into()));
        }
        if let Some(name) = &session.facts.name {
            // What is longer is no name of ours; none is.
            sighting.name_bytes = u8::try_from(name.len()).unwrap_or(0);
            names.push_str(name.get(..usize::from(sighting.name_bytes)).unwrap_or_default());
        }
        // Without an access log nobody has asked for it yet.
        if let (None, Some(downstream)) = (sighting.downstream_peer, downstream) {
            sighting.downstream_peer = self.core.kernel.peer_address(&downstream.socket);
        }
        Some(sighting)
    }
}

#[cfg(test)]
mod tests;
