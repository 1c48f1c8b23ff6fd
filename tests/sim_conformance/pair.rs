//! Runs a script on the simulation and on Linux side by side.
//!
//! Where Linux is free, a script keeps away from it, and says so below ("freedom").

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;
use sluice::kernel::sim::{Pipe, Sim, Socket, World, WorldOptions};
use sluice::kernel::{Event, Kernel, Op, Readiness, Take, Token, Tried, Wait};

use super::real::{self, Real};
use super::script::{Script, Step};

/// Freedom: how many bytes may be under way before TCP holds some back. Scripts stay below.
const UNREAD_BYTES_MAX: usize = 48 * 1024;
/// Freedom: loopback delivers within the system call, unless the machine is busy. How long to
/// wait until Linux shows the state that the simulation is in.
const SETTLE: Duration = Duration::from_secs(1);

/// How often each kind of step had each kind of result, on both sides.
pub(crate) type Coverage = BTreeMap<String, u64>;

/// What both sides are compared by after a step: result, and bytes if it gave any.
type Outcome = Option<(Tried<usize>, Vec<u8>)>;

pub(crate) struct Pair<'a> {
    script: &'a Script,
    sim: Sim,
    near: [Option<Socket>; 2],
    near_pipes: [Pipe; 2],
    real: Real,
    real_pipes: [real::Pipe; 2],
    /// Freedom: the ACK of a FIN may be delayed (40 ms, or until the next segment), and wakes
    /// the end that finished once more when it comes.
    awaits_finish_ack: [bool; 2],
    coverage: &'a mut Coverage,
    /// Every byte sent differs from those around it.
    written_bytes: usize,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        script: &'a Script,
        listener: &TcpListener,
        coverage: &'a mut Coverage,
    ) -> Self {
        let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
        let (first, second) = sim.pair();
        let near_pipes = script.pipe_bytes.map(|bytes| sim.pipe(bytes, bytes).unwrap());
        let real_pipes = script.pipe_bytes.map(real::Pipe::new);
        let real = Real::new(listener);
        let near = [Some(first), Some(second)];
        let awaits_finish_ack = [false; 2];
        let written_bytes = 0;
        Self {
            script,
            sim,
            near,
            near_pipes,
            real,
            real_pipes,
            awaits_finish_ack,
            coverage,
            written_bytes,
        }
    }

    /// Runs the script. The first difference is the error.
    pub(crate) fn run(mut self) -> Result<(), String> {
        for side in 0..2 {
            self.watch(side);
        }
        self.compare_states()?;
        for (index, &step) in self.script.steps.iter().enumerate() {
            self.step(step).map_err(|error| format!("step {index}, {step:?}: {error}"))?;
        }
        self.drain().map_err(|error| format!("draining: {error}"))
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        if self.is_defined(step) {
            let (simulated, real) = self.perform(step);
            if simulated != real {
                return Err(format!("simulated {}, real {}", show(&simulated), show(&real)));
            }
            self.cover(step, &simulated);
            self.compare_states()?;
        }
        Ok(())
    }

    fn cover(&mut self, step: Step, outcome: &Outcome) {
        let name = format!("{step:?}");
        let name = name.split(' ').next().unwrap_or_default();
        let wanted_bytes = match step {
            Step::Send { bytes, .. } | Step::Stash { bytes, .. } => bytes,
            _ => 0,
        };
        let result = match outcome {
            None => "done".to_owned(),
            Some((Tried::Did(0), _)) => "end".to_owned(),
            Some((Tried::Did(count), _)) if *count < wanted_bytes => "short".to_owned(),
            Some((Tried::Did(_), _)) => "did".to_owned(),
            Some((Tried::Later, _)) => match step {
                Step::Fill { pipe, .. } if self.near_pipes[pipe].free_slot_count() == 0 => {
                    "later, pipe full".to_owned()
                }
                Step::Fill { pipe, .. } if self.near_pipes[pipe].pending_bytes() > 0 => {
                    "later, pipe in use".to_owned()
                }
                _ => "later".to_owned(),
            },
            Some((Tried::Failed(errno), _)) => format!("{errno:?}"),
        };
        *self.coverage.entry(format!("{name} {result}")).or_default() += 1;
    }

    fn perform(&mut self, step: Step) -> (Outcome, Outcome) {
        match step {
            Step::Send { side, bytes } => {
                let bytes = self.fresh_bytes(bytes);
                let simulated = self.sim.send(self.near[side].as_ref().unwrap(), &bytes);
                same(simulated, self.real.send(side, &bytes))
            }
            Step::Recv { side, most_bytes, take } => {
                let (mut simulated, mut real) = (vec![0; most_bytes], vec![0; most_bytes]);
                let near = self.near[side].as_ref().unwrap();
                let flags = match take {
                    Take::Consume => MsgFlags::empty(),
                    Take::Peek => MsgFlags::MSG_PEEK,
                };
                let outcome = self.sim.recv(near, &mut simulated, take);
                let real_outcome = self.real.recv(side, &mut real, flags);
                (Some((outcome, simulated)), Some((real_outcome, real)))
            }
            Step::Discard { side, most_bytes } => {
                let near = self.near[side].as_ref().unwrap();
                let simulated = self.sim.discard(near, most_bytes);
                let mut unused = vec![0; most_bytes];
                same(simulated, self.real.recv(side, &mut unused, MsgFlags::MSG_TRUNC))
            }
            Step::Stash { pipe, bytes } => {
                let bytes = self.fresh_bytes(bytes);
                let simulated = self.sim.stash(&mut self.near_pipes[pipe], &bytes);
                same(simulated, self.real_pipes[pipe].stash(&bytes))
            }
            Step::Fill { side, pipe, most_bytes } => {
                let near = self.near[side].as_ref().unwrap();
                let simulated = self.sim.fill(near, &mut self.near_pipes[pipe], most_bytes);
                same(simulated, self.real.fill(side, &mut self.real_pipes[pipe], most_bytes))
            }
            Step::Flush { pipe, side } => {
                let near = self.near[side].as_ref().unwrap();
                let simulated = self.sim.flush(&mut self.near_pipes[pipe], near);
                same(simulated, self.real.flush(&mut self.real_pipes[pipe], side))
            }
            ends => {
                self.perform_end(ends);
                (None, None)
            }
        }
    }

    /// Steps without a result.
    fn perform_end(&mut self, step: Step) {
        match step {
            Step::LowWater { side, bytes } => {
                self.sim.low_water(self.near[side].as_ref().unwrap(), bytes);
                self.real.low_water(side, bytes);
            }
            Step::Finish { side } => {
                self.sim.finish(self.near[side].as_ref().unwrap());
                self.real.finish(side);
                self.awaits_finish_ack[side] = true;
            }
            Step::Reset { side } => {
                self.sim.reset(self.near[side].as_ref().unwrap());
                self.real.reset(side);
            }
            Step::Close { side } => {
                self.unwatch(side);
                let near = self.near[side].take().unwrap();
                self.sim.close(near);
                self.real.close(side);
            }
            Step::Rewatch { side } => {
                self.unwatch(side);
                self.watch(side);
            }
            _ => unreachable!("{step:?} has a result"),
        }
    }

    /// Whether Linux leaves no choice in what this step does now.
    fn is_defined(&mut self, step: Step) -> bool {
        match step {
            Step::Send { side, bytes } => self.is_open(side) && self.has_room(side, bytes),
            Step::Flush { pipe, side } => {
                let bytes = self.near_pipes[pipe].pending_bytes();
                bytes > 0 && self.is_open(side) && self.has_room(side, bytes)
            }
            Step::Stash { pipe, bytes } => {
                let pipe = &self.near_pipes[pipe];
                pipe.spliced_slot_count() == 0 || bytes.div_ceil(4096) <= least_free(pipe)
            }
            Step::Fill { side, pipe, most_bytes } => {
                let Some(near) = &self.near[side] else { return false };
                let pipe = &self.near_pipes[pipe];
                if pipe.spliced_slot_count() == 0 && pipe.free_slot_count() == 0 {
                    return true;
                }
                // Freedom: how many slots the bytes of a socket take, which lie in memory as it
                // happened; at most two where the simulation takes one. Exact are those that fit
                // however they lie, and a pipe full of what was written into it.
                let slots = 2 * self.sim.received_slot_count(near, most_bytes);
                slots.max(1) <= least_free(pipe)
            }
            Step::Recv { side, .. }
            | Step::Discard { side, .. }
            | Step::LowWater { side, .. }
            | Step::Finish { side }
            | Step::Reset { side }
            | Step::Rewatch { side } => self.is_open(side),
            // The other end stays, so that what the close did to it is seen.
            Step::Close { side } => self.is_open(side) && self.is_open(1 - side),
        }
    }

    fn is_open(&self, side: usize) -> bool {
        self.near[side].is_some()
    }

    fn has_room(&self, from: usize, bytes: usize) -> bool {
        let unread = self.near[1 - from].as_ref().map_or(0, |to| self.sim.received_bytes(to));
        unread + bytes <= UNREAD_BYTES_MAX
    }

    fn fresh_bytes(&mut self, count: usize) -> Vec<u8> {
        let from = self.written_bytes;
        self.written_bytes += count;
        (from..from + count).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
    }

    fn watch(&mut self, side: usize) {
        self.sim.watch(self.near[side].as_ref().unwrap(), token(side));
        self.real.watch(side);
    }

    fn unwatch(&mut self, side: usize) {
        self.sim.cancel(token(side));
        let mut completions = Vec::new();
        self.sim.turn(Wait::No, &mut completions);
        assert!(completions.iter().any(|c| c.last && c.token == token(side)));
        self.real.unwatch(side);
        // Edges of the other side that came meanwhile were told above.
        self.real.edges();
    }

    /// Waits until Linux is in the simulation's state: then the edges must be the same, too.
    fn compare_states(&mut self) -> Result<(), String> {
        let simulated = self
            .near
            .each_ref()
            .map(|near| near.as_ref().map(|s| (self.sim.received_bytes(s), self.sim.readiness(s))));
        let began = Instant::now();
        loop {
            let real = [0, 1].map(|side| {
                let open = self.real.sockets[side].is_some();
                open.then(|| (self.real.received_bytes(side), self.real.readiness(side)))
            });
            if real == simulated {
                break;
            }
            if began.elapsed() > SETTLE {
                return Err(format!("simulated state {simulated:?}, real {real:?}"));
            }
            std::thread::yield_now();
        }
        self.compare_edges()?;
        for (near, real) in self.near_pipes.iter().zip(&self.real_pipes) {
            if near.pending_bytes() != real.pending_bytes {
                return Err("the pipes hold different numbers of bytes".to_owned());
            }
        }
        Ok(())
    }

    fn compare_edges(&mut self) -> Result<(), String> {
        let mut completions = Vec::new();
        self.sim.turn(Wait::No, &mut completions);
        let mut simulated = [Readiness::NONE; 2];
        for completion in completions {
            let Event::Ready(edges) = completion.event else {
                return Err(format!("{completion:?} was told"));
            };
            let told = &mut simulated[usize::try_from(completion.token.slot()).unwrap()];
            *told = told.with(edges);
        }
        let mut real = self.real.edges();
        for side in 0..2 {
            let extra = simulated[side] == Readiness::NONE && real[side] != Readiness::NONE;
            if extra && std::mem::take(&mut self.awaits_finish_ack[side]) {
                real[side] = Readiness::NONE;
            }
        }
        if simulated != real {
            return Err(format!("simulated edges {simulated:?}, real {real:?}"));
        }
        Ok(())
    }

    /// What is left everywhere is the same, to the end.
    fn drain(mut self) -> Result<(), String> {
        for side in 0..2 {
            // Bytes, the error if there is one, and what comes after it.
            for _ in 0..4 {
                self.step(Step::Recv { side, most_bytes: 65_536, take: Take::Consume })?;
            }
        }
        for (mut near, real) in self.near_pipes.into_iter().zip(self.real_pipes) {
            let (to, from) = self.sim.pair();
            let mut simulated = vec![0; near.pending_bytes()];
            if !simulated.is_empty() {
                let flushed = self.sim.flush(&mut near, &to);
                assert_eq!(flushed, Tried::Did(simulated.len()));
                let received = self.sim.recv(&from, &mut simulated, Take::Consume);
                assert_eq!(received, Tried::Did(simulated.len()));
            }
            if simulated != real.contents() {
                return Err("the pipes hold different bytes".to_owned());
            }
        }
        Ok(())
    }
}

/// Slots that are free however the spliced bytes lie in memory.
fn least_free(pipe: &Pipe) -> usize {
    pipe.free_slot_count().saturating_sub(pipe.spliced_slot_count())
}

fn token(side: usize) -> Token {
    Token::new(Op::WatchDownstream, 0, u32::try_from(side).unwrap())
}

fn same(simulated: Tried<usize>, real: Tried<usize>) -> (Outcome, Outcome) {
    (Some((simulated, Vec::new())), Some((real, Vec::new())))
}

fn show(outcome: &Outcome) -> String {
    outcome.as_ref().map_or_else(
        || "nothing".to_owned(),
        |(tried, bytes)| {
            format!("{tried:?} beginning {:?}", bytes.iter().take(8).collect::<Vec<_>>())
        },
    )
}
