//! Accepting: when to, when not to, and what becomes of a connection.

use crate::kernel::{Errno, Event, Kernel, ListenerId, Op, Tick, Token};
use crate::limits::LISTEN_BACKLOG;
use crate::refusal::Refusal;

use super::access::Admission;
use super::orders::Stage;
use super::session::{Facts, Held, InFlight, Peer, Phase, Session, Side};
use super::worker::Worker;

/// The listeners of a worker.
pub(super) struct Listeners<S> {
    states: Vec<State>,
    /// Accepted when no slot was free, by another listener than the one that took the last.
    parked: Vec<(S, u16)>,
    /// After a failure: not before this.
    resume_at: Tick,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not accepting, for now.
    #[default]
    Idle,
    /// An accept of all that comes is in flight.
    AcceptingMany,
    /// An accept of one connection is.
    AcceptingOne,
    /// One is, and was cancelled.
    Cancelling,
    Closed,
}

const NEVER: Tick = Tick(u64::MAX);

impl<S> Listeners<S> {
    pub(super) fn new(count: u16) -> Self {
        let states = vec![State::Idle; usize::from(count)];
        Self { states, parked: Vec::new(), resume_at: Tick(0) }
    }

    /// Whether none will ever accept again.
    pub(super) fn are_closed(&self) -> bool {
        self.states.iter().all(|state| *state == State::Closed) && self.parked.is_empty()
    }

    /// When there is something to do without any completion.
    pub(super) fn resume_at(&self) -> Tick {
        let waiting = self.states.contains(&State::Idle) && self.resume_at.0 > 0;
        if waiting { self.resume_at } else { NEVER }
    }
}

impl<K: Kernel> Worker<K> {
    /// Accepts on every listener on which it does not, if there is room. Once per turn.
    pub(super) fn accept_if_possible(&mut self) {
        while !self.sessions.is_full() {
            let Some((socket, listener)) = self.listeners.parked.pop() else { break };
            self.open(socket, listener);
        }
        if self.stage >= Stage::Draining {
            return self.close_idle_listeners();
        }
        if self.listeners.resume_at > self.core.now() {
            return;
        }
        self.listeners.resume_at = Tick(0);
        if self.sessions.is_full() {
            return;
        }
        // A multishot accept takes all that wait, however few slots are free.
        let one_by_one = self.sessions.free_count() < LISTEN_BACKLOG.unsigned_abs();
        for (index, state) in self.listeners.states.iter_mut().enumerate() {
            let (State::Idle, Ok(id)) = (*state, u16::try_from(index)) else { continue };
            if one_by_one {
                *state = State::AcceptingOne;
                self.core.kernel.accept_one(ListenerId(id), accept_token(id));
            } else {
                *state = State::AcceptingMany;
                self.core.kernel.accept(ListenerId(id), accept_token(id));
            }
        }
    }

    /// Stops accepting, to close the listeners.
    pub(super) fn stop_accepting(&mut self) {
        self.pause(true);
        self.close_idle_listeners();
    }

    pub(super) fn on_accept(&mut self, token: Token, event: Event<K::Socket>, last: bool) {
        let listener = u16::try_from(token.slot()).unwrap_or(u16::MAX);
        if let Some(state) = self.listeners.states.get_mut(usize::from(listener)).filter(|_| last) {
            *state = State::Idle;
        }
        match event {
            Event::Accepted(socket) => {
                self.core.stats.accepted.add(1);
                if let Some(stats) = self.core.stats.listener(listener) {
                    stats.accepted.add(1);
                }
                if self.sessions.is_full() {
                    self.listeners.parked.push((socket, listener));
                } else {
                    self.open(socket, listener);
                    self.core.stats.accept_paused.add(u64::from(self.sessions.is_full()));
                }
                if self.sessions.free_count() < LISTEN_BACKLOG.unsigned_abs() {
                    self.pause(self.sessions.is_full());
                }
            }
            Event::Failed(Errno::ECANCELED) => {}
            Event::Failed(why) => self.on_accept_failed(why, last),
            Event::Ready(_) => {}
            Event::Dialed { socket, .. } => self.core.kernel.close(socket),
        }
    }

    /// Out of something: a pause lets sessions end. Anything else is the affair of a client
    /// that went away before it was accepted (accept(2)); accepting goes on, though never in a
    /// hot loop.
    fn on_accept_failed(&mut self, why: Errno, last: bool) {
        let exhausted =
            matches!(why, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM);
        if exhausted {
            return self.pause_accepting();
        }
        self.core.stats.accept_failed.add(1);
        if last {
            self.listeners.resume_at = self.accept_pause_end();
        }
    }

    /// Accepts nothing for a while. A multishot accept also goes by the limit of descriptors
    /// that there was when it was asked for (`kernel-notes.md` §20): it must be asked for anew.
    pub(super) fn pause_accepting(&mut self) {
        if self.listeners.resume_at <= self.core.now() {
            self.core.stats.accept_paused.add(1);
        }
        self.listeners.resume_at = self.accept_pause_end();
        self.pause(true);
    }

    /// Ends the accepts that are under way, or only those that do not end by themselves.
    fn pause(&mut self, all: bool) {
        for (index, state) in self.listeners.states.iter_mut().enumerate() {
            let ends = match state {
                State::AcceptingMany => true,
                State::AcceptingOne => all,
                State::Idle | State::Cancelling | State::Closed => false,
            };
            let (true, Ok(id)) = (ends, u16::try_from(index)) else { continue };
            *state = State::Cancelling;
            self.core.kernel.cancel(accept_token(id));
        }
    }

    fn close_idle_listeners(&mut self) {
        for (index, state) in self.listeners.states.iter_mut().enumerate() {
            let (State::Idle, Ok(id)) = (*state, u16::try_from(index)) else { continue };
            *state = State::Closed;
            self.core.kernel.close_listener(ListenerId(id));
        }
    }

    /// Begins a session.
    fn open(&mut self, socket: K::Socket, listener: u16) {
        let now = self.core.now();
        let settings = &self.core.settings;
        let is_access_judged = settings.access.is_used();
        let peer = match settings.access_log || is_access_judged {
            true => self.core.kernel.peer_address(&socket).map(Peer::from).unwrap_or_default(),
            false => Peer::default(),
        };
        let admission = match is_access_judged {
            true => self.core.settings.access.of_peer(peer.ip()),
            false => Admission::Granted,
        };
        // The hello is often there already: looked for before it is waited for.
        let downstream = Side { readable: true, ..Side::new(socket) };
        let session = Session {
            phase: Phase::Sniffing { downstream, held: Held::Nothing },
            facts: Facts::new(now, listener, peer),
            in_flight: InFlight::default(),
            doomed: false,
            admission,
            hello_counted: false,
            recorded_periods: 0,
            breaking: false,
        };
        let slot = match self.sessions.insert(session) {
            Ok(slot) => slot,
            Err(session) => {
                if let Phase::Sniffing { downstream, .. } = session.phase {
                    self.listeners.parked.push((downstream.socket, listener));
                }
                return;
            }
        };
        self.core.stats.sessions.add(1);
        if let Some(stats) = self.core.stats.listener(listener) {
            stats.sessions.add(1);
        }
        if self.stage >= Stage::Closing {
            self.doom(slot);
        }
        self.set_timer(slot, self.core.settings.hello_timeout);
        if is_access_judged && !self.count_hello(slot) {
            return self.refuse(slot, Refusal::TooManyHellos);
        }
        self.sniff(slot);
    }
}

const fn accept_token(listener: u16) -> Token {
    Token::new(Op::Accept, 0, listener as u32)
}
