//! How a session ends: refused, finished, or broken off.
//!
//! A stream that is cut off ends with a reset, never with a FIN. Descriptors are closed when
//! their last completion has come, and only then is the slot free.

use crate::kernel::{Event, Kernel, Op, Take, Token, Tried};
use crate::limits::{LINGER, TURN_BUDGET_BYTES};
use crate::refusal::Refusal;
use crate::tls::alert;

use super::pump::return_pipe;
use super::record::End;
use super::session::{Dialing, Facts, Held, Phase, Relaying, Session, Side};
use super::settings::RefuseWith;
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// Refuses a session that has not reached an endpoint, and tells the client why.
    pub(super) fn refuse(&mut self, slot: u32, why: Refusal) {
        self.hello_over(slot);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        let (downstream, held) = match phase {
            Phase::Sniffing { downstream, held } => (downstream, held),
            Phase::Dialing(Dialing { downstream, held, .. }) => (downstream, held),
            other => return session.phase = other,
        };
        self.core.release(held);
        self.core.stats.refuse(why);
        let alert = why.alert().map(alert::fatal);
        let refuse_with = match why {
            // A slot for each of them is what they are after.
            Refusal::TooManyHellos => RefuseWith::Reset,
            _ => self.core.settings.refuse_with,
        };
        let told = match (refuse_with, alert) {
            (RefuseWith::Alert, Some(alert)) => {
                self.core.kernel.send(&downstream.socket, &alert) == Tried::Did(alert.len())
            }
            (RefuseWith::Alert, None) => true,
            (RefuseWith::Reset, _) => false,
        };
        self.report(slot, End::Refused(why), Some(&downstream.socket), None, (0, 0));
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.phase = Phase::Refused { downstream };
        if told {
            return self.linger_after_alert(slot);
        }
        if let Phase::Refused { downstream } = &session.phase {
            self.core.kernel.reset(&downstream.socket);
        }
        self.close_refused(slot);
    }

    /// Closing with bytes unread would send RST, and the client might never see its alert: what
    /// it still sends is thrown away until it closes, for a short time.
    fn linger_after_alert(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Refused { downstream } = &mut session.phase else { return };
        downstream.set_low_water(&mut self.core.kernel, 1);
        downstream.readable = true;
        self.core.kernel.finish(&downstream.socket);
        self.set_timer(slot, LINGER);
        self.linger(slot);
    }

    /// Throws away what the client of a refused session sends, and closes after its FIN.
    pub(super) fn linger(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Refused { downstream } = &mut session.phase else { return };
        let mut thrown_bytes = 0;
        while downstream.readable {
            match self.core.kernel.recv(&downstream.socket, &mut self.core.hot, Take::Consume) {
                Tried::Did(0) | Tried::Failed(_) => return self.close_refused(slot),
                Tried::Did(count) => thrown_bytes += count,
                Tried::Later => downstream.readable = false,
            }
            if thrown_bytes > TURN_BUDGET_BYTES {
                // It does not read its alert, it sends.
                self.core.kernel.reset(&downstream.socket);
                return self.close_refused(slot);
            }
        }
        self.watch_downstream(slot);
    }

    /// Closes a refused session, whatever the client still sends.
    pub(super) fn close_refused(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        match phase {
            Phase::Refused { downstream } => {
                self.close(slot, Some(downstream.socket), None, Held::Nothing);
            }
            other => session.phase = other,
        }
    }

    /// Closes a connection that was none: a health probe. Leaves no record.
    pub(super) fn close_quietly(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        match phase {
            Phase::Sniffing { downstream, held } => {
                self.close(slot, Some(downstream.socket), None, held);
            }
            other => session.phase = other,
        }
    }

    /// Closes a session whose directions have both ended with FIN.
    pub(super) fn finish_session(&mut self, slot: u32) {
        self.end_relaying(slot, End::Finished, false);
    }

    /// Breaks a session off, in whatever phase it is, with a reset to both ends.
    pub(super) fn abort(&mut self, slot: u32, end: End) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        match phase {
            Phase::Sniffing { downstream, held } => {
                self.break_off(slot, end, downstream, None, held);
            }
            Phase::Dialing(Dialing { downstream, held, failed, .. }) => {
                self.break_off(slot, end, downstream, failed, held);
            }
            Phase::Refused { downstream } => {
                self.close(slot, Some(downstream.socket), None, Held::Nothing);
            }
            Phase::Relaying(_) => {
                session.phase = phase;
                self.end_relaying(slot, end, true);
            }
            other @ (Phase::Leaving(_) | Phase::Closing { .. } | Phase::Between) => {
                session.phase = other;
            }
        }
    }

    fn break_off(
        &mut self,
        slot: u32,
        end: End,
        downstream: Side<K::Socket>,
        upstream: Option<K::Socket>,
        held: Held,
    ) {
        self.report(slot, end, Some(&downstream.socket), None, (0, 0));
        self.core.kernel.reset(&downstream.socket);
        self.close(slot, Some(downstream.socket), upstream, held);
    }

    fn end_relaying(&mut self, slot: u32, end: End, reset: bool) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let phase = std::mem::replace(&mut session.phase, Phase::Between);
        let Phase::Relaying(relaying) = phase else { return session.phase = phase };
        let Relaying { downstream, upstream, mut up, mut down, opening } = relaying;
        return_pipe(&mut self.core, &mut up);
        return_pipe(&mut self.core, &mut down);
        if let Some(opening) = opening {
            self.core.release(opening.held);
        }
        let bytes = (up.bytes, down.bytes);
        self.report(slot, end, Some(&downstream.socket), Some(&upstream.socket), bytes);
        if reset {
            self.core.kernel.reset(&downstream.socket);
            self.core.kernel.reset(&upstream.socket);
        }
        if matches!(end, End::DownstreamReset | End::UpstreamReset) {
            self.core.stats.reset.add(1);
        }
        self.close(slot, Some(downstream.socket), Some(upstream.socket), Held::Nothing);
    }

    /// Closes the sockets: at once if nothing is in flight on them, else when it has ended. Only
    /// then is the hello given back: a dial that is in flight may be sending it.
    fn close(
        &mut self,
        slot: u32,
        downstream: Option<K::Socket>,
        upstream: Option<K::Socket>,
        held: Held,
    ) {
        self.timers.disarm(&mut self.sessions, slot);
        let Some(generation) = self.sessions.generation(slot) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.phase = Phase::Closing { downstream, upstream, held };
        for op in [Op::WatchDownstream, Op::WatchUpstream, Op::Dial] {
            if session.in_flight.has(op) {
                self.core.kernel.cancel(Token::new(op, generation, slot));
            }
        }
        self.close_if_quiet(slot);
    }

    /// A completion for a session that is closing.
    pub(super) fn on_closing(&mut self, slot: u32, event: Event<K::Socket>) {
        if let Event::Dialed { socket, .. } = event {
            // The dial was faster than its cancellation.
            self.core.kernel.reset(&socket);
            self.core.kernel.close(socket);
        }
        self.close_if_quiet(slot);
    }

    fn close_if_quiet(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if !session.in_flight.is_empty() {
            return;
        }
        self.hello_over(slot);
        let Some(Session { phase, facts, .. }) = self.sessions.remove(slot) else { return };
        if let Phase::Closing { downstream, upstream, held } = phase {
            self.core.release(held);
            for socket in [downstream, upstream].into_iter().flatten() {
                self.core.kernel.close(socket);
            }
        }
        self.forget(facts);
        self.core.stats.sessions.sub(1);
        self.core.stats.closed.add(1);
    }

    /// Takes a session out of every count.
    pub(super) fn forget(&mut self, facts: Facts) {
        if let Some(endpoint) = facts.endpoint {
            self.core.inbox.loads().closed(endpoint);
        }
        if let Some(cluster) = facts.cluster {
            self.core.inbox.loads().left(cluster);
        }
        if let Some(name) = facts.name {
            self.core.names.give_back(name);
        }
        if let Some(listener) = self.core.stats.listener(facts.listener) {
            listener.sessions.sub(1);
        }
    }

    /// Counts a session's end, and leaves a record of it for the access log, and of a refusal
    /// for whoever asks why, while the sockets still know their addresses.
    fn report(
        &mut self,
        slot: u32,
        end: End,
        downstream: Option<&K::Socket>,
        upstream: Option<&K::Socket>,
        bytes: (u64, u64),
    ) {
        self.tally_end(slot, end, bytes);
        let Some(Session { facts, .. }) = self.sessions.get(slot) else { return };
        let is_logged = self.core.settings.access_log;
        let is_shown = matches!(end, End::Refused(_)) && self.core.has_room_for_refusal();
        if !is_logged && !is_shown {
            return;
        }
        let record = self.core.record_of(facts, end, (downstream, upstream), bytes);
        if is_shown {
            self.core.show_refusal(record.clone());
        }
        if is_logged {
            self.core.log(record);
        }
    }
}
