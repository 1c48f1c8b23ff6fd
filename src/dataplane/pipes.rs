//! The pipes of a worker. A direction borrows one while bytes are in it, no longer.
//!
//! There is always a spare before bytes are read into memory, because a short send leaves the
//! rest in a pipe: between turns, user space holds no relayed byte.

use std::sync::Arc;

use crate::kernel::Kernel;
use crate::limits::{PIPE_BYTES, PIPE_BYTES_LEAST, PIPE_IDLE_COUNT};

use super::stats::Stats;

/// A bounded pool of pipes.
pub(crate) struct Pipes<P> {
    /// Used last-in first-out: the last one's pages are the warmest.
    idle: Vec<P>,
    lent_count: usize,
    count_max: usize,
    /// The fewest that were idle since the last trim: so many were not needed.
    idle_least: usize,
    /// The system refused one: not asked again before the next trim.
    refused: bool,
    stats: Arc<Stats>,
}

impl<P> Pipes<P> {
    /// A pool of at most `count_max` pipes, made when first needed.
    pub(crate) const fn new(count_max: usize, stats: Arc<Stats>) -> Self {
        Self { idle: Vec::new(), lent_count: 0, count_max, idle_least: 0, refused: false, stats }
    }

    /// Makes sure that the next [`Pipes::borrow`] succeeds.
    #[inline]
    pub(crate) fn spare<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K) -> bool {
        !self.idle.is_empty() || self.make(kernel)
    }

    /// Lends a pipe; `None` if the pool is at its limit or the system's.
    pub(crate) fn borrow<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K) -> Option<P> {
        if !self.spare(kernel) {
            return None;
        }
        let pipe = self.idle.pop()?;
        self.lent_count += 1;
        self.idle_least = self.idle_least.min(self.idle.len());
        self.gauge();
        Some(pipe)
    }

    /// Takes a pipe back. One with bytes in it is destroyed: they must not reach another.
    pub(crate) fn give_back<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K, pipe: P) {
        self.lent_count = self.lent_count.saturating_sub(1);
        if kernel.pipe_pending_bytes(&pipe) == 0 {
            self.idle.push(pipe);
        } else {
            self.stats.pipes_dirty.add(1);
            kernel.close_pipe(pipe);
        }
        self.gauge();
    }

    /// Lets go of a pipe that leaves with its session.
    pub(crate) fn detach(&mut self) {
        self.lent_count = self.lent_count.saturating_sub(1);
        self.gauge();
    }

    /// Takes charge of a pipe that came with a session.
    pub(crate) fn attach(&mut self) {
        self.lent_count += 1;
        self.gauge();
    }

    /// Closes idle pipes that were not needed since the last call. For the worker's tick.
    pub(crate) fn trim<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K) {
        let surplus = self.idle_least.min(self.idle.len().saturating_sub(PIPE_IDLE_COUNT));
        for pipe in self.idle.drain(..surplus).collect::<Vec<_>>() {
            kernel.close_pipe(pipe);
        }
        self.idle_least = self.idle.len();
        self.refused = false;
        self.gauge();
    }

    /// Closes all idle pipes.
    pub(crate) fn clear<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K) {
        for pipe in std::mem::take(&mut self.idle) {
            kernel.close_pipe(pipe);
        }
        self.gauge();
    }

    #[cold]
    fn make<K: Kernel<Pipe = P>>(&mut self, kernel: &mut K) -> bool {
        if !self.refused && self.lent_count + self.idle.len() < self.count_max {
            if let Ok(pipe) = kernel.pipe(PIPE_BYTES, PIPE_BYTES_LEAST) {
                self.idle.push(pipe);
                return true;
            }
            self.refused = true;
        }
        self.stats.pipes_refused.add(1);
        false
    }

    fn gauge(&self) {
        self.stats.pipes_lent.set(self.lent_count as u64);
        self.stats.pipes_idle.set(self.idle.len() as u64);
    }
}
