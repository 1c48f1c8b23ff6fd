//! Operations in flight, and how they complete.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Socket;
use super::core::{Core, EndId, Knock};
use super::faults::Fault;
use crate::kernel::buffers::HelloBuffers;
use crate::kernel::{Completion, Completions, Errno, Event, Readiness, Tick, Token, Tried, Wait};

/// What the world knows of one simulated kernel.
#[derive(Debug, Default)]
pub(super) struct KernelState {
    pub(super) operations: BTreeMap<Token, InFlight>,
    /// What the last turn was told to wait for.
    pub(super) waiting: Option<Wait>,
    /// Its eventfd was written to.
    pub(super) woken: bool,
}

/// An operation whose last completion was not told yet.
#[derive(Debug)]
pub(super) enum InFlight {
    Accept { listener: usize, once: bool, cancelled: bool },
    Dial(Dial),
    Watch(Watch),
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) end: EndId,
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Dial {
    pub(super) to: SocketAddr,
    /// Which buffer, and what it held when it was lent.
    pub(super) hello: Option<(u16, Vec<u8>)>,
    pub(super) stage: Dialing,
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) enum Dialing {
    /// The answer is there at this time.
    Underway(Tick),
    Silent,
    Connected {
        end: EndId,
        sent_bytes: usize,
    },
    Failed(Errno),
}

impl Core {
    /// Tells what completed. Returns whether something could have been told and was held back.
    pub(super) fn complete(&mut self, kernel: usize, into: &mut Completions<Socket>) -> bool {
        let mut tokens: Vec<Token> = self.kernels[kernel].operations.keys().copied().collect();
        if tokens.len() > 1 && self.strikes(Fault::Reordered) {
            for i in (1..tokens.len()).rev() {
                tokens.swap(i, self.random.count_below(i + 1));
            }
        }
        let mut held_back = false;
        for token in tokens {
            if !self.has_completion(kernel, token) {
                continue;
            }
            if self.strikes(Fault::LateCompletion) {
                held_back = true;
                continue;
            }
            let Some(operation) = self.kernels[kernel].operations.remove(&token) else { continue };
            let mut last = None;
            match operation {
                InFlight::Accept { listener, once, cancelled } => {
                    last = self.complete_accept(token, listener, once, cancelled, into);
                }
                InFlight::Dial(dial) => self.complete_dial(token, dial, into),
                InFlight::Watch(watch) => last = self.complete_watch(token, watch, into),
            }
            if let Some(operation) = last {
                self.kernels[kernel].operations.insert(token, operation);
            }
        }
        held_back
    }

    pub(super) fn is_ready(&mut self, kernel: usize) -> bool {
        let state = &self.kernels[kernel];
        let due = match state.waiting {
            None | Some(Wait::No) => true,
            Some(Wait::Until(until)) => until <= self.now,
        };
        let tokens: Vec<Token> = state.operations.keys().copied().collect();
        due || state.woken || tokens.into_iter().any(|token| self.has_completion(kernel, token))
    }

    pub(super) fn waits_until(&self, kernel: usize) -> Option<Tick> {
        let state = &self.kernels[kernel];
        let asked = match state.waiting {
            Some(Wait::Until(until)) => Some(until),
            _ => None,
        };
        let answers = state.operations.values().filter_map(|operation| match operation {
            InFlight::Dial(Dial { stage: Dialing::Underway(at), .. }) => Some(*at),
            _ => None,
        });
        answers.chain(asked).min()
    }

    /// Whether something can be told for this token now.
    fn has_completion(&mut self, kernel: usize, token: Token) -> bool {
        match self.kernels[kernel].operations.get(&token) {
            None => false,
            Some(InFlight::Accept { listener, cancelled, .. }) => {
                *cancelled || !self.listeners[*listener].waiting.is_empty()
            }
            Some(InFlight::Dial(dial)) => {
                dial.cancelled
                    || match dial.stage {
                        Dialing::Underway(at) => at <= self.now,
                        Dialing::Silent => false,
                        Dialing::Connected { .. } | Dialing::Failed(_) => true,
                    }
            }
            Some(InFlight::Watch(watch)) => {
                let (end, cancelled) = (watch.end, watch.cancelled);
                cancelled || self.end(end).woken != Readiness::NONE
            }
        }
    }

    fn complete_accept(
        &mut self,
        token: Token,
        listener: usize,
        once: bool,
        cancelled: bool,
        into: &mut Completions<Socket>,
    ) -> Option<InFlight> {
        while !self.listeners[listener].waiting.is_empty() {
            if cancelled && !self.strikes(Fault::CancelLost) {
                break;
            }
            let last = self.strikes(Fault::LostAccept) || once;
            let event = if self.strikes(Fault::AcceptExhausted) {
                let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
                Event::Failed(self.random.pick(&errnos))
            } else {
                let end = self.listeners[listener].waiting.remove(0);
                Event::Accepted(self.hand_out(end))
            };
            let failed = matches!(event, Event::Failed(_));
            into.push(Completion { token, event, last });
            if last {
                return None;
            }
            if failed || self.random.one_in(4) {
                break;
            }
        }
        if cancelled {
            into.push(Completion { token, event: Event::Failed(Errno::ECANCELED), last: true });
            return None;
        }
        Some(InFlight::Accept { listener, once, cancelled })
    }

    fn complete_dial(&mut self, token: Token, dial: Dial, into: &mut Completions<Socket>) {
        let lost = dial.cancelled && self.strikes(Fault::CancelLost);
        let event = match dial.stage {
            Dialing::Connected { end, .. } if dial.cancelled && !lost => {
                self.reset_end(end);
                self.close_end(end);
                Event::Failed(Errno::ECANCELED)
            }
            Dialing::Connected { end, sent_bytes } => {
                Event::Dialed { socket: self.hand_out(end), sent_bytes }
            }
            Dialing::Failed(errno) if !dial.cancelled || lost => Event::Failed(errno),
            _ => Event::Failed(Errno::ECANCELED),
        };
        into.push(Completion { token, event, last: true });
    }

    fn complete_watch(
        &mut self,
        token: Token,
        watch: Watch,
        into: &mut Completions<Socket>,
    ) -> Option<InFlight> {
        let narrow = self.strikes(Fault::NarrowReadiness);
        let end = self.end(watch.end);
        let level = end.level();
        let woken = std::mem::take(&mut end.woken);
        let ready = if narrow { woken } else { level };
        let told = woken != Readiness::NONE && ready != Readiness::NONE;
        if watch.cancelled {
            if told && self.strikes(Fault::CancelLost) {
                into.push(Completion { token, event: Event::Ready(ready), last: false });
            }
            into.push(Completion { token, event: Event::Failed(Errno::ECANCELED), last: true });
            return None;
        }
        if told {
            let last = self.strikes(Fault::LostWatch);
            into.push(Completion { token, event: Event::Ready(ready), last });
            if last {
                return None;
            }
        }
        Some(InFlight::Watch(watch))
    }

    /// Gives an end to a worker, which has to close it.
    pub(super) fn hand_out(&mut self, end: EndId) -> Socket {
        self.open.socket_count += 1;
        Socket { end }
    }

    /// Lets the dials of a kernel go on as far as they can: handshake, then hello.
    pub(super) fn progress_dials(&mut self, kernel: usize, buffers: &HelloBuffers) {
        let mut operations = std::mem::take(&mut self.kernels[kernel].operations);
        for (token, operation) in &mut operations {
            let InFlight::Dial(dial) = operation else { continue };
            if let Some((index, lent)) = &dial.hello {
                let held = buffers.lent_bytes(*index);
                assert_eq!(held, Some(&lent[..]), "{token:?}: its hello buffer was given back");
            }
            if !matches!(dial.stage, Dialing::Underway(at) if at <= self.now) || dial.cancelled {
                continue;
            }
            let hello = dial.hello.as_ref().map(|(_, bytes)| &bytes[..]);
            dial.stage = self.shake_hands(dial.to, hello.unwrap_or_default());
        }
        self.kernels[kernel].operations = operations;
    }

    fn shake_hands(&mut self, to: SocketAddr, hello: &[u8]) -> Dialing {
        if self.strikes(Fault::DialFailed) {
            let errnos =
                [Errno::ECONNREFUSED, Errno::ETIMEDOUT, Errno::EHOSTUNREACH, Errno::ENETUNREACH];
            return Dialing::Failed(self.random.pick(&errnos));
        }
        let end = match self.knock(to) {
            Knock::Connected(end) => end,
            Knock::Silent => return Dialing::Silent,
            Knock::Failed(errno) => return Dialing::Failed(errno),
        };
        let short = !hello.is_empty() && self.strikes(Fault::ShortHello);
        let most_bytes = if short { self.random.count_below(hello.len()) } else { hello.len() };
        let sent_bytes = self.send_along(end, &hello[..most_bytes]);
        Dialing::Connected { end, sent_bytes }
    }

    /// Sends what fits; an error is found by whoever uses the socket next.
    fn send_along(&mut self, end: EndId, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let fragment_bytes = self.fragment_bytes();
        let sent = self.end(end).send(bytes, fragment_bytes);
        self.arrive(end);
        match sent {
            Tried::Did(count) => count,
            _ => 0,
        }
    }

    /// Wakes watches that nothing happened to.
    pub(super) fn wake_for_nothing(&mut self, kernel: usize) {
        let watches = self.kernels[kernel].operations.values();
        let ends: Vec<EndId> = watches
            .filter_map(|operation| match operation {
                InFlight::Watch(watch) => Some(watch.end),
                _ => None,
            })
            .collect();
        if ends.is_empty() || !self.strikes(Fault::SpuriousReadiness) {
            return;
        }
        let edges = [Readiness::IN, Readiness::OUT, Readiness::IN.with(Readiness::OUT)];
        let (end, edges) = (self.random.pick(&ends), self.random.pick(&edges));
        self.end(end).wake(edges);
    }
}
