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
    /// The listeners are to close, or closed, and that is all.
    only_listeners: bool,
    next: Option<(Instant, Stage)>,
}

impl Drain {
    /// A drain that has not begun.
    pub(crate) const fn new(times: DrainTimes) -> Self {
        Self { times, begun: false, only_listeners: false, next: None }
    }

    /// Begins. Whoever routes to us has `delay` to notice that readiness is off. Once begun it
    /// takes its course, whatever else is ordered.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.begun {
            return;
        }
        self.begun = true;
        let only_listeners = std::mem::take(&mut self.only_listeners);
        match self.next {
            // The listeners close at their time, or earlier.
            Some((at, stage)) => self.next = Some((at.min(now + self.times.delay), stage)),
            None if only_listeners => self.next = self.after_listeners(now),
            None => self.next = Some((now + self.times.delay, Stage::Draining)),
        }
    }

    /// Closes the listeners, and nothing else until [`Drain::begin`]: at once, or when whoever
    /// routes to us had `delay` to notice.
    pub(crate) fn close_listeners(&mut self, now: Instant, is_graceful: bool) {
        let at = if is_graceful { now + self.times.delay } else { now };
        match self.next {
            Some((earlier, Stage::Draining)) => {
                self.next = Some((earlier.min(at), Stage::Draining));
            }
            None if !self.begun && !self.only_listeners => {
                self.only_listeners = true;
                self.next = Some((at, Stage::Draining));
            }
            Some(_) | None => {}
        }
    }

    /// Other times; those of a drain that takes its course stay.
    pub(crate) const fn set_times(&mut self, times: DrainTimes) {
        if !self.begun {
            self.times = times;
        }
    }

    /// Whether it was ordered.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// When the next stage comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// The stage that has come, if one has.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Stage> {
        let (_, stage) = self.next.take_if(|(at, _)| *at <= now)?;
        self.next = match stage {
            Stage::Draining if self.only_listeners => None,
            Stage::Draining => self.after_listeners(now),
            // Workers end by themselves then; this is for what keeps one from it.
            Stage::Closing => {
                Some((now + self.times.spread + LINGER + STOP_GRACE, Stage::Stopping))
            }
            Stage::Serving | Stage::Stopping => None,
        };
        Some(stage)
    }

    fn after_listeners(&self, now: Instant) -> Option<(Instant, Stage)> {
        let timeout = self.times.timeout;
        (!timeout.is_zero()).then(|| (now + timeout, Stage::Closing))
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

    #[test]
    fn listeners_can_close_alone_and_the_rest_follows_when_it_is_ordered() {
        let start = Instant::now();
        let at = |after_s| start + Duration::from_secs(after_s);
        for (is_graceful, closes_at_s) in [(true, 5), (false, 0)] {
            let mut drain = Drain::new(times(5, 60, 5));
            drain.close_listeners(start, is_graceful);
            drain.close_listeners(start, true);
            assert_eq!(drain.deadline(), Some(at(closes_at_s)));
            assert_eq!(drain.due(at(closes_at_s)), Some(Stage::Draining));
            assert_eq!(drain.deadline(), None, "sessions go on");
            drain.close_listeners(at(6), false);
            assert_eq!(drain.deadline(), None, "they are closed already");
            drain.begin(at(100));
            assert_eq!(drain.due(at(159)), None);
            assert_eq!(drain.due(at(160)), Some(Stage::Closing));
        }
    }

    #[test]
    fn an_order_to_end_overtakes_one_to_close_listeners_and_the_other_way_round() {
        let start = Instant::now();
        let at = |after_s| start + Duration::from_secs(after_s);
        let mut drain = Drain::new(times(5, 60, 5));
        drain.close_listeners(start, true);
        drain.begin(at(1));
        assert_eq!(drain.due(at(5)), Some(Stage::Draining));
        assert_eq!(drain.deadline(), Some(at(65)), "it takes its course");
        let mut drain = Drain::new(times(5, 60, 5));
        drain.begin(start);
        drain.close_listeners(at(1), false);
        assert_eq!(drain.due(at(1)), Some(Stage::Draining));
        assert_eq!(drain.deadline(), Some(at(61)));
    }
}
