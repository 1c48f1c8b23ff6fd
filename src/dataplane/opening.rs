//! From the first byte of a session to its route: the sniffing phase as the worker sees it.

use crate::kernel::{Errno, Kernel, Op};
use crate::refusal::Refusal;
use crate::tls::client_hello::HelloError;
use crate::tls::server_name::CanonicalName;

use super::access::Admission;
use super::record::End;
use super::session::{Attempts, Dialing, Held, Phase};
use super::sniff::{Sniffed, sniff};
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// Looks at what the client sent, and goes on from there.
    pub(super) fn sniff(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.admission != Admission::Granted {
            return self.look_before_hello(slot);
        }
        let Phase::Sniffing { downstream, held } = &mut session.phase else { return };
        match sniff(&mut self.core, downstream, held) {
            Sniffed::More => self.watch_downstream(slot),
            Sniffed::Name(name) => self.route(slot, Some(&name)),
            Sniffed::Nameless => self.route(slot, None),
            Sniffed::Refused(why) => self.refuse(slot, why),
            Sniffed::Malformed(error) => {
                session.facts.hello_error = Some(error);
                let is_too_long = error == HelloError::MessageTooLong;
                self.core.stats.hellos_too_long.add(u64::from(is_too_long));
                let tls = error.is_tls();
                self.refuse(slot, if tls { Refusal::MalformedHello } else { Refusal::NotTls });
            }
            Sniffed::Probe => {
                self.core.stats.probes.add(1);
                self.close_quietly(slot);
            }
            Sniffed::Broken => {
                let hello_begun = matches!(held, Held::Pooled(_) | Held::Reassembly(_));
                if hello_begun {
                    self.refuse(slot, Refusal::HelloTruncated);
                } else {
                    self.core.stats.probes.add(1);
                    self.close_quietly(slot);
                }
            }
        }
    }

    /// The hello is complete, with this name in it or with none.
    fn route(&mut self, slot: u32, name: Option<&CanonicalName>) {
        self.hello_over(slot);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let now = self.core.kernel.now();
        session.facts.hello_us = us(now.since_us(session.facts.accepted_at));
        session.facts.active_at = now;
        self.core.stats.hello_times.record(session.facts.hello_us.into());
        if let Some(name) = name
            && self.core.is_watched()
        {
            session.facts.name = Some(self.core.names.intern(name.as_str()));
        }
        let table = self.core.inbox.table();
        let found = match name {
            Some(name) => table.lookup(name.as_str()),
            None => table.default_cluster().ok_or(Refusal::NoServerName),
        };
        match found {
            Ok(cluster) => {
                self.core.inbox.loads().entered(cluster);
                session.facts.cluster = Some(cluster);
                self.begin_dialing(slot);
            }
            Err(why) => self.refuse(slot, why),
        }
    }

    fn begin_dialing(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        let Phase::Sniffing { mut downstream, held } = phase else { return };
        downstream.set_low_water(&mut self.core.kernel, 1);
        let attempts = Attempts::default();
        let dialing = Dialing { downstream, held, attempts, failed: None };
        session.phase = Phase::Dialing(dialing);
        self.dial_next(slot, Refusal::NoEndpoints);
    }

    pub(super) fn on_hello_timeout(&mut self, slot: u32) {
        self.refuse(slot, Refusal::HelloTimeout);
    }

    /// Watches the client, if it is not watched yet.
    pub(super) fn watch_downstream(&mut self, slot: u32) {
        let Some(session) = self.sessions.get(slot) else { return };
        if session.in_flight.has(Op::WatchDownstream) {
            return;
        }
        let Some(token) = self.token(slot, Op::WatchDownstream) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let socket = match &session.phase {
            Phase::Sniffing { downstream, .. } | Phase::Refused { downstream } => {
                &downstream.socket
            }
            Phase::Dialing(dialing) => &dialing.downstream.socket,
            Phase::Relaying(relaying) => &relaying.downstream.socket,
            Phase::Leaving(_) | Phase::Closing { .. } | Phase::Between => {
                return session.in_flight.remove(Op::WatchDownstream);
            }
        };
        self.core.stats.watches.add(1);
        self.core.kernel.watch(socket, token);
    }

    /// Watches the endpoint of a relaying session, if it is not watched yet.
    pub(super) fn watch_upstream(&mut self, slot: u32) {
        let Some(session) = self.sessions.get(slot) else { return };
        if session.in_flight.has(Op::WatchUpstream) {
            return;
        }
        let Phase::Relaying(_) = session.phase else { return };
        let Some(token) = self.token(slot, Op::WatchUpstream) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &session.phase else { return };
        self.core.stats.watches.add(1);
        self.core.kernel.watch(&relaying.upstream.socket, token);
    }

    /// The kernel ended a watch by itself: asked for again, it begins with the present state,
    /// so that no edge is lost in between.
    pub(super) fn watch_again(&mut self, slot: u32, op: Op) {
        self.core.stats.watches_rearmed.add(1);
        match op {
            Op::WatchDownstream => self.watch_downstream(slot),
            Op::WatchUpstream => self.watch_upstream(slot),
            Op::Accept | Op::Dial => {}
        }
    }

    pub(super) fn on_watch_failed(&mut self, slot: u32, op: Op, why: Errno, last: bool) {
        match why {
            Errno::ECANCELED if last => self.watch_again(slot, op),
            _ if !last => {}
            _ if op == Op::WatchDownstream => self.abort(slot, End::DownstreamReset),
            _ => self.abort(slot, End::UpstreamReset),
        }
    }
}

/// Microseconds for the facts; `u32::MAX` means unknown.
pub(super) fn us(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX - 1)
}
