//! The order in which a gateway goes down. Pure.

use std::time::Instant;

use crate::config::DrainTimes;
use crate::dataplane::orders::Stage;
use crate::limits::{LINGER, STOP_GRACE};

/// Which stage comes next, and when.
#[derive(Debug)]
pub(crate) struct Drain {
    times: DrainTimes,
    begun: bool,
    next: Option<(Instant, Stage)>,
}

impl Drain {
    /// A drain that has not begun.
    pub(crate) const fn new(times: DrainTimes) -> Self {
        Self { times, begun: false, next: None }
    }

    /// Begins. Whoever routes to us has `delay` to notice that readiness is off. Once begun it
    /// takes its course, whatever else is ordered.
    pub(crate) fn begin(&mut self, now: Instant) {
        if !self.begun {
            self.begun = true;
            self.next = Some((now + self.times.delay, Stage::Draining));
        }
    }

    /// When the next stage comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// The stage that has come, if one has.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Stage> {
        let (_, stage) = self.next.take_if(|(at, _)| *at <= now)?;
        self.next = match stage {
            Stage::Draining if self.times.timeout.is_zero() => None,
            Stage::Draining => Some((now + self.times.timeout, Stage::Closing)),
            // Workers end by themselves then; this is for what keeps one from it.
            Stage::Closing => {
                Some((now + self.times.spread + LINGER + STOP_GRACE, Stage::Stopping))
            }
            Stage::Serving | Stage::Stopping => None,
        };
        Some(stage)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn times(delay_s: u64, timeout_s: u64, spread_s: u64) -> DrainTimes {
        let [delay, timeout, spread] = [delay_s, timeout_s, spread_s].map(Duration::from_secs);
        DrainTimes { delay, timeout, spread }
    }

    fn course(times: DrainTimes) -> Vec<(u64, Stage)> {
        let start = Instant::now();
        let mut drain = Drain::new(times);
        assert_eq!(drain.due(start), None, "nothing is due before it begins");
        drain.begin(start);
        let mut course = Vec::new();
        while let Some(at) = drain.deadline() {
            // A second order changes nothing.
            drain.begin(at);
            course.push(((at - start).as_secs(), drain.due(at).unwrap()));
        }
        course
    }

    #[test]
    fn takes_its_course() {
        let expected = [(5, Stage::Draining), (65, Stage::Closing), (76, Stage::Stopping)];
        assert_eq!(course(times(5, 60, 5)), expected);
    }

    #[test]
    fn without_a_delay_draining_is_due_at_once_and_without_a_timeout_it_waits_for_ever() {
        assert_eq!(course(times(0, 0, 5)), [(0, Stage::Draining)]);
    }

    #[test]
    fn nothing_is_due_early() {
        let start = Instant::now();
        let mut drain = Drain::new(times(5, 60, 5));
        drain.begin(start);
        assert_eq!(drain.due(start + Duration::from_millis(4999)), None);
        assert_eq!(drain.due(start + Duration::from_secs(5)), Some(Stage::Draining));
        assert_eq!(drain.due(start + Duration::from_secs(5)), None);
    }
}
