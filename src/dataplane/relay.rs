//! Relaying: which directions an edge concerns, and what follows from how far they got.

use crate::kernel::{Kernel, Op, Readiness, Token, Tried};
use crate::limits::BROKEN_TIMEOUT;

use super::pump::{Pumped, pump, return_pipe};
use super::record::End;
use super::session::{Direction, FlowState, Held, Phase};
use super::worker::Worker;

impl<K: Kernel> Worker<K> {
    /// The connection to the endpoint stands: sends what is left of the hello, and begins.
    pub(super) fn begin_relaying(&mut self, slot: u32) {
        self.watch_downstream(slot);
        if self.send_opening(slot) {
            self.go_on(slot, Direction::Up);
        }
    }

    /// Edges of the side that `source_of` names as the source of a direction.
    pub(super) fn relay(&mut self, slot: u32, source_of: Direction, ready: Readiness) {
        let opposite = source_of.opposite();
        if ready.any(Readiness::BROKEN) && self.on_broken_edge(slot, source_of) {
            return;
        }
        // What it wants to send us, then what we have for it.
        if ready.any(Readiness::IN.with(Readiness::FINISHED).with(Readiness::BROKEN)) {
            self.go_on_unless_queued(slot, source_of);
        }
        if ready.any(Readiness::OUT.with(Readiness::BROKEN)) {
            self.go_on_unless_queued(slot, opposite);
        }
    }

    /// A direction that waits for its next share has it later in this turn, and not twice.
    fn go_on_unless_queued(&mut self, slot: u32, direction: Direction) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        if !relaying.flow(direction).queued {
            self.go_on(slot, direction);
        }
    }

    /// A direction's next share, if it still waits for it.
    pub(super) fn go_on_queued(&mut self, slot: u32, direction: Direction) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let flow = relaying.flow(direction);
        if std::mem::take(&mut flow.queued) {
            self.go_on(slot, direction);
        }
    }

    /// The source of a direction broke. If it had sent its FIN before, no read will tell: the
    /// session is broken off here, and that is said. Otherwise what it sent before is still
    /// delivered, though not for ever.
    fn on_broken_edge(&mut self, slot: u32, source_of: Direction) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else { return true };
        let Phase::Relaying(relaying) = &mut session.phase else { return true };
        if relaying.flow(source_of.opposite()).state == FlowState::Finished {
            // It has our FIN: with its own, the same edge tells of a good end (POLLHUP, poll(2)).
            // If it is none, a read will say so.
            return false;
        }
        session.breaking = true;
        if relaying.flow(source_of).state != FlowState::Finished {
            self.set_timer(slot, BROKEN_TIMEOUT);
            return false;
        }
        let end = match source_of {
            Direction::Up => End::DownstreamReset,
            Direction::Down => End::UpstreamReset,
        };
        self.abort(slot, end);
        true
    }

    /// Moves what can be moved in a direction.
    pub(super) fn go_on(&mut self, slot: u32, direction: Direction) {
        if direction == Direction::Up && !self.send_opening(slot) {
            return;
        }
        let now = self.core.now();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let replayable = relaying.opening.is_some() && direction == Direction::Up;
        let (from, to, flow) = match direction {
            Direction::Up => (&mut relaying.downstream, &mut relaying.upstream, &mut relaying.up),
            Direction::Down => {
                (&mut relaying.upstream, &mut relaying.downstream, &mut relaying.down)
            }
        };
        let before = flow.bytes;
        let pumped = pump(&mut self.core, from, to, flow, replayable);
        let moved = flow.bytes - before;
        if moved > 0 {
            session.facts.active_at = now;
            self.core.tally_moved(session.facts.cluster, direction, before, flow.bytes);
            match direction {
                Direction::Up => self.core.stats.bytes_up.add(moved),
                Direction::Down => {
                    self.core.stats.bytes_down.add(moved);
                    if let Some(endpoint) = session.facts.endpoint.filter(|_| before == 0) {
                        self.core.inbox.loads().succeeded(endpoint);
                    }
                }
            }
        }
        self.forget_opening(slot);
        self.settle(slot, direction, pumped);
    }

    fn settle(&mut self, slot: u32, direction: Direction, pumped: Pumped) {
        match (pumped, direction) {
            (Pumped::Waiting, _) => {}
            (Pumped::Budget, _) => self.queue(slot, direction),
            (Pumped::Ended, _) => self.pass_fin(slot, direction),
            (Pumped::SourceBroke, Direction::Up) | (Pumped::DestinationBroke, Direction::Down) => {
                self.on_broken(slot, direction, pumped, End::DownstreamReset);
            }
            (Pumped::SourceBroke, Direction::Down) | (Pumped::DestinationBroke, Direction::Up) => {
                self.on_broken(slot, direction, pumped, End::UpstreamReset);
            }
            // What is gone cannot be replayed, so another endpoint would be of no help.
            (Pumped::Lost, Direction::Up) => self.abort(slot, End::UpstreamReset),
            (Pumped::Lost, Direction::Down) => self.abort(slot, End::DownstreamReset),
        }
    }

    fn queue(&mut self, slot: u32, direction: Direction) {
        let Some(generation) = self.sessions.generation(slot) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let flow = relaying.flow(direction);
        if !flow.queued {
            flow.queued = true;
            let token = Token::new(Op::WatchDownstream, generation, slot);
            self.ready.push_back((token, direction));
        }
    }

    /// Everything of a direction is delivered up to its FIN: passes that on too.
    fn pass_fin(&mut self, slot: u32, direction: Direction) {
        let half_close_timeout = self.core.settings.half_close();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let unanswered = relaying.down.bytes == 0 && relaying.up.state == FlowState::Open;
        if direction == Direction::Down && unanswered && self.redial(slot, false) {
            return;
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let (to, flow, other) = match direction {
            Direction::Up => (&relaying.upstream, &mut relaying.up, &relaying.down),
            Direction::Down => (&relaying.downstream, &mut relaying.down, &relaying.up),
        };
        flow.state = FlowState::Finished;
        if other.state == FlowState::Finished {
            // Both ends have sent their FIN: closing sends the one that is missing.
            return self.finish_session(slot);
        }
        self.core.kernel.finish(&to.socket);
        self.set_timer(slot, half_close_timeout);
    }

    fn on_broken(&mut self, slot: u32, direction: Direction, pumped: Pumped, end: End) {
        if end == End::UpstreamReset && self.redial(slot, true) {
            return;
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        if pumped == Pumped::SourceBroke {
            return self.abort(slot, end);
        }
        // Its last words may still be in its receive queue: they are delivered before the reset.
        let (to, flow, reverse) = match direction {
            Direction::Up => (&mut relaying.upstream, &mut relaying.up, &relaying.down),
            Direction::Down => (&mut relaying.downstream, &mut relaying.down, &relaying.up),
        };
        if reverse.state == FlowState::Finished {
            return self.abort(slot, end);
        }
        to.broken = true;
        to.readable = true;
        to.ended = true;
        flow.state = FlowState::Finished;
        return_pipe(&mut self.core, flow);
        session.breaking = true;
        self.set_timer(slot, BROKEN_TIMEOUT);
        self.go_on(slot, direction.opposite());
    }

    /// Lets go of a hello that is sent and will not be replayed any more: it is answered, or
    /// more than it was sent. An endpoint may answer before it has all of it.
    fn forget_opening(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Phase::Relaying(relaying) = &mut session.phase else { return };
        let Some(opening) = &relaying.opening else { return };
        let held_bytes = opening.held.length_bytes(&mut self.core.kernel);
        let answered = relaying.down.bytes > 0 || relaying.up.bytes > held_bytes as u64;
        if opening.sent_bytes < held_bytes || !answered {
            return;
        }
        if let Some(opening) = relaying.opening.take() {
            self.core.release(opening.held);
        }
    }

    /// Sends what is left of the hello. Returns whether nothing is.
    fn send_opening(&mut self, slot: u32) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let Phase::Relaying(relaying) = &mut session.phase else { return false };
        let Some(opening) = &mut relaying.opening else { return true };
        loop {
            if opening.sent_bytes >= opening.held.length_bytes(&mut self.core.kernel) {
                if matches!(opening.held, Held::Reassembly(_)) {
                    // Memory of its own is too dear to be kept for a replay.
                    let held = std::mem::replace(&mut opening.held, Held::Nothing);
                    self.core.release(held);
                }
                return true;
            }
            if !relaying.upstream.writable {
                return false;
            }
            let sent = match &opening.held {
                Held::Nothing => return true,
                Held::Pooled(id) => {
                    // Copied out: the buffers belong to the kernel that is to send them.
                    let (hot, bytes) = (&mut self.core.hot, self.core.kernel.buffers().bytes(id));
                    let rest = bytes.get(opening.sent_bytes..).unwrap_or_default();
                    let Some(to) = hot.get_mut(..rest.len()) else { return false };
                    to.copy_from_slice(rest);
                    self.core.kernel.send(&relaying.upstream.socket, to)
                }
                Held::Reassembly(reassembly) => {
                    let rest = reassembly.wire.get(opening.sent_bytes..).unwrap_or_default();
                    self.core.kernel.send(&relaying.upstream.socket, rest)
                }
            };
            match sent {
                Tried::Did(sent) => {
                    opening.sent_bytes += sent;
                    let before = relaying.up.bytes;
                    relaying.up.bytes += sent as u64;
                    let cluster = session.facts.cluster;
                    let after = relaying.up.bytes;
                    self.core.tally_moved(cluster, Direction::Up, before, after);
                    self.core.stats.bytes_up.add(sent as u64);
                    self.core.stats.bytes_copied.add(sent as u64);
                }
                Tried::Later => relaying.upstream.writable = false,
                Tried::Failed(_) => {
                    self.on_broken(
                        slot,
                        Direction::Up,
                        Pumped::DestinationBroke,
                        End::UpstreamReset,
                    );
                    return false;
                }
            }
        }
    }

    /// The timer of a relaying session, which may also be due for a record: it is armed for the
    /// earliest time at which the session can have been idle, and armed again if it was not.
    pub(super) fn on_idle(&mut self, slot: u32) {
        self.record_if_due(slot);
        let now = self.core.now();
        let settings = &self.core.settings;
        let Some(session) = self.sessions.get(slot) else { return };
        let Phase::Relaying(relaying) = &session.phase else { return };
        let finished = FlowState::Finished;
        let half = relaying.up.state == finished || relaying.down.state == finished;
        let (limit, end) = match (session.breaking, half) {
            (true, _) => (BROKEN_TIMEOUT, End::Idle),
            (false, true) => (settings.half_close(), End::HalfCloseIdle),
            (false, false) => (settings.idle_timeout, End::Idle),
        };
        let idle = std::time::Duration::from_micros(now.since_us(session.facts.active_at));
        if limit.is_zero() || idle < limit {
            return self.set_timer(slot, limit.saturating_sub(idle));
        }
        self.core.stats.idle_closed.add(1);
        self.abort(slot, end);
    }
}
