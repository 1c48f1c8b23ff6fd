//! Moving the bytes of one direction.
//!
//! Small messages are copied through the worker's hot buffer; streams are spliced through a
//! pipe. Bytes are read only when there is room to write, so a short send is rare; what it
//! leaves goes into a pipe, and the direction goes on by splice until that is empty. Without a
//! pipe, bytes are peeked at, sent, and exactly what was sent is discarded. So nothing of the
//! stream is in user space when a turn ends.
//!
//! The same is done until the endpoint has answered: a send that fails then has consumed
//! nothing, and everything can still be replayed to another endpoint.

use crate::kernel::{Errno, Kernel, Take, Tried};
use crate::limits::{
    COPY_AFTER_SMALL_WAKES, COPY_BELOW_BYTES, SPLICE_AFTER_LARGE_READS, SPLICE_FROM_BYTES,
    TURN_BUDGET_BYTES,
};

use super::core::Core;
use super::session::{Flow, FlowState, Mode, Side};

/// Why a direction stopped for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing to read, or no room to write: an edge will tell.
    Waiting,
    /// It had its share of this turn.
    Budget,
    /// All is delivered up to the source's FIN, which is now to be passed on.
    Ended,
    /// The source broke: it was reset, or ended after a write to it had failed.
    SourceBroke,
    /// The destination broke.
    DestinationBroke,
    /// Bytes were read that could neither be sent nor kept: there is no memory. Both ends must
    /// learn it by a reset.
    Lost,
}

/// Moves what can be moved from `from` to `to`, within the budget.
pub(crate) fn pump<K: Kernel>(
    core: &mut Core<K>,
    from: &mut Side<K::Socket>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
    replayable: bool,
) -> Pumped {
    let before = flow.bytes;
    let pumped = loop {
        let step = step(core, from, to, flow, before, replayable);
        if let Some(pumped) = step {
            break pumped;
        }
        if flow.bytes - before >= TURN_BUDGET_BYTES as u64 {
            break Pumped::Budget;
        }
    };
    if flow.pipe.is_some() && !is_pending(core, flow) && pumped != Pumped::Budget {
        return_pipe(core, flow);
    }
    pumped
}

/// One read or write; `None` if there may be more to do at once.
fn step<K: Kernel>(
    core: &mut Core<K>,
    from: &mut Side<K::Socket>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
    before: u64,
    replayable: bool,
) -> Option<Pumped> {
    if flow.state == FlowState::Finished {
        return Some(Pumped::Waiting);
    }
    if is_pending(core, flow) {
        return if to.writable { flush(core, to, flow) } else { Some(Pumped::Waiting) };
    }
    if flow.state == FlowState::SourceEnded {
        return Some(if from.broken { Pumped::SourceBroke } else { Pumped::Ended });
    }
    if !from.readable || !to.writable {
        return Some(Pumped::Waiting);
    }
    if replayable {
        return copy_without_pipe(core, from, to, flow);
    }
    match flow.mode {
        // splice(2) stops at urgent data for ever; recv(2) goes on past it.
        Mode::Splice if !from.urgent => fill(core, from, to, flow, before),
        Mode::Splice | Mode::Copy => copy(core, from, to, flow),
    }
}

fn copy<K: Kernel>(
    core: &mut Core<K>,
    from: &mut Side<K::Socket>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
) -> Option<Pumped> {
    if flow.pipe.is_none() && !core.pipes.spare(&mut core.kernel) {
        return copy_without_pipe(core, from, to, flow);
    }
    let length = match core.kernel.recv(&from.socket, &mut core.hot, Take::Consume) {
        Tried::Did(0) => {
            flow.state = FlowState::SourceEnded;
            return None;
        }
        Tried::Did(length) => length,
        Tried::Later => {
            from.readable = false;
            return None;
        }
        Tried::Failed(_) => return Some(Pumped::SourceBroke),
    };
    if length < core.hot.len() {
        from.note_short_read();
    }
    if length < SPLICE_FROM_BYTES {
        flow.streak = 0;
    } else {
        flow.streak = flow.streak.saturating_add(1);
        if flow.streak >= SPLICE_AFTER_LARGE_READS {
            flow.mode = Mode::Splice;
            flow.streak = 0;
        }
    }
    let bytes = core.hot.get(..length).unwrap_or_default();
    let sent = match core.kernel.send(&to.socket, bytes) {
        Tried::Did(sent) => sent,
        Tried::Later => 0,
        Tried::Failed(why) => return Some(broke(why)),
    };
    flow.bytes += sent as u64;
    core.stats.bytes_copied.add(sent as u64);
    if sent == length { None } else { stash(core, flow, sent, length) }
}

/// Leaves the rest of the hot buffer in a pipe.
#[cold]
fn stash<K: Kernel>(
    core: &mut Core<K>,
    flow: &mut Flow<K::Pipe>,
    sent: usize,
    length: usize,
) -> Option<Pumped> {
    let rest = core.hot.get(sent..length).unwrap_or_default();
    if flow.pipe.is_none() {
        flow.pipe = core.pipes.borrow(&mut core.kernel);
    }
    // There is one: that was made sure of before anything was read.
    let Some(pipe) = &mut flow.pipe else { return Some(Pumped::Lost) };
    let mut stashed = 0;
    while let Some(left) = rest.get(stashed..).filter(|left| !left.is_empty()) {
        match core.kernel.stash(pipe, left) {
            Tried::Did(count) if count > 0 => stashed += count,
            // An empty pipe takes the whole buffer, unless the system is out of memory.
            _ => return Some(Pumped::Lost),
        }
    }
    None
}

/// Peeks, sends, and discards what was sent.
#[cold]
fn copy_without_pipe<K: Kernel>(
    core: &mut Core<K>,
    from: &mut Side<K::Socket>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
) -> Option<Pumped> {
    let length = match core.kernel.recv(&from.socket, &mut core.hot, Take::Peek) {
        Tried::Did(0) => {
            flow.state = FlowState::SourceEnded;
            return None;
        }
        Tried::Did(length) => length,
        Tried::Later => {
            from.readable = false;
            return None;
        }
        Tried::Failed(_) => return Some(Pumped::SourceBroke),
    };
    let sent = match core.kernel.send(&to.socket, core.hot.get(..length).unwrap_or_default()) {
        Tried::Did(sent) => sent,
        Tried::Later => {
            to.writable = false;
            return None;
        }
        Tried::Failed(why) => return Some(broke(why)),
    };
    flow.bytes += sent as u64;
    core.stats.bytes_peeked.add(sent as u64);
    if !core.discard(&from.socket, sent) {
        return Some(Pumped::SourceBroke);
    }
    if sent == length && length < core.hot.len() {
        from.note_short_read();
    }
    None
}

fn fill<K: Kernel>(
    core: &mut Core<K>,
    from: &mut Side<K::Socket>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
    before: u64,
) -> Option<Pumped> {
    if flow.pipe.is_none() {
        flow.pipe = core.pipes.borrow(&mut core.kernel);
    }
    let Some(pipe) = &mut flow.pipe else { return copy_without_pipe(core, from, to, flow) };
    let room_bytes = core.kernel.pipe_capacity_bytes(pipe);
    match core.kernel.fill(&from.socket, pipe, room_bytes) {
        Tried::Did(0) => flow.state = FlowState::SourceEnded,
        Tried::Did(_) => {}
        // The pipe is empty here, so it is the source that is.
        Tried::Later => {
            from.readable = false;
            settle(flow, flow.bytes - before);
        }
        Tried::Failed(_) => return Some(Pumped::SourceBroke),
    }
    None
}

fn flush<K: Kernel>(
    core: &mut Core<K>,
    to: &mut Side<K::Socket>,
    flow: &mut Flow<K::Pipe>,
) -> Option<Pumped> {
    let pipe = flow.pipe.as_mut()?;
    match core.kernel.flush(pipe, &to.socket) {
        Tried::Did(sent) => {
            flow.bytes += sent as u64;
            core.stats.bytes_spliced.add(sent as u64);
        }
        Tried::Later => to.writable = false,
        Tried::Failed(why) => return Some(broke(why)),
    }
    None
}

/// What a failed write means. Without memory the destination itself is whole.
const fn broke(why: Errno) -> Pumped {
    match why {
        Errno::ENOMEM | Errno::ENOBUFS => Pumped::Lost,
        _ => Pumped::DestinationBroke,
    }
}

/// A wake is over that moved so many bytes: decides whether splice still pays. One that moved
/// none says nothing: it went on after a full share, or told of room where there was no need.
fn settle<P>(flow: &mut Flow<P>, moved_bytes: u64) {
    if moved_bytes == 0 {
        return;
    }
    if moved_bytes >= COPY_BELOW_BYTES as u64 {
        flow.streak = 0;
        return;
    }
    flow.streak = flow.streak.saturating_add(1);
    if flow.streak >= COPY_AFTER_SMALL_WAKES {
        flow.mode = Mode::Copy;
        flow.streak = 0;
    }
}

fn is_pending<K: Kernel>(core: &Core<K>, flow: &Flow<K::Pipe>) -> bool {
    flow.pipe.as_ref().is_some_and(|pipe| core.kernel.pipe_pending_bytes(pipe) > 0)
}

/// Gives the pipe of a direction back, if it has one.
pub(crate) fn return_pipe<K: Kernel>(core: &mut Core<K>, flow: &mut Flow<K::Pipe>) {
    if let Some(pipe) = flow.pipe.take() {
        core.pipes.give_back(&mut core.kernel, pipe);
    }
}
