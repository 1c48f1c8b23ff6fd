//! Requests that arrive at a fixed rate, whatever became of those before: a request that finds
//! every connection busy waits, and its wait counts (no coordinated omission).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When requests are due, and which connections are free for them.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    next: Instant,
    free: VecDeque<usize>,
    waiting: VecDeque<Instant>,
}

impl Schedule {
    pub(super) fn new(rate_per_s: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / rate_per_s.max(1.0)),
            next: Instant::now(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A connection has nothing to do.
    pub(super) fn is_free(&mut self, slot: usize) {
        self.free.push_back(slot);
    }

    /// A request that is due now and a connection for it.
    pub(super) fn due(&mut self) -> Option<(usize, Instant)> {
        self.due_at(Instant::now())
    }

    fn due_at(&mut self, now: Instant) -> Option<(usize, Instant)> {
        while self.next <= now {
            self.waiting.push_back(self.next);
            self.next += self.interval;
        }
        let slot = self.free.front().copied()?;
        let due = self.waiting.pop_front()?;
        self.free.pop_front();
        Some((slot, due))
    }

    /// The request that a connection takes on now that it has its answer; if none waits, it is
    /// free.
    pub(super) fn next_for(&mut self, slot: usize) -> Option<Instant> {
        let due = self.waiting.pop_front();
        if due.is_none() {
            self.free.push_back(slot);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_waited_is_as_old_as_it_should_have_been_sent() {
        let mut schedule = Schedule::new(1000.0);
        let start = schedule.next;
        let at = |ms| start + Duration::from_millis(ms);
        schedule.is_free(7);
        assert_eq!(schedule.due_at(at(0)), Some((7, at(0))));
        // The connection is stuck for ten milliseconds: ten requests wait.
        assert_eq!(schedule.due_at(at(10)), None);
        assert_eq!(schedule.next_for(7), Some(at(1)), "late by nine milliseconds");
        for ms in 2..=10 {
            assert_eq!(schedule.next_for(7), Some(at(ms)));
        }
        assert_eq!(schedule.next_for(7), None);
        assert_eq!(schedule.due_at(at(11)), Some((7, at(11))));
    }
}
