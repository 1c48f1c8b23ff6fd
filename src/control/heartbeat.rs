//! Signs of life for the service manager: given only while every worker turns. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::dataplane::stats::Stats;
use crate::limits::OVERSEE_TICK;

/// Whether the next sign of life is due.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// Turns of each worker at the last beat.
    turns: Vec<u64>,
}

impl Heartbeat {
    /// Before the first beat of so many workers.
    pub(crate) fn new(worker_count: usize) -> Self {
        Self { turns: vec![0; worker_count] }
    }

    /// How often to ask, so that two beats in a row may be late within `watchdog`.
    pub(crate) fn period(watchdog: Duration) -> Duration {
        (watchdog / 4).clamp(Duration::from_millis(1), OVERSEE_TICK)
    }

    /// Those of `alive` that have not turned since the last beat. None: then this is a beat.
    pub(crate) fn missing(&mut self, workers: &[Arc<Stats>], alive: &[u16]) -> Vec<u16> {
        let turns: Vec<u64> = workers.iter().map(|stats| stats.turns.get()).collect();
        let stands = |id: &&u16| {
            let id = usize::from(**id);
            turns.get(id) == self.turns.get(id)
        };
        let missing: Vec<u16> = alive.iter().filter(stands).copied().collect();
        if missing.is_empty() {
            self.turns = turns;
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_needs_a_turn_of_every_worker_since_the_last_one() {
        let workers: Vec<Arc<Stats>> = (0..3).map(|_| Arc::default()).collect();
        let turn = |ids: &[usize]| ids.iter().for_each(|id| workers[*id].turns.add(1));
        let mut heartbeat = Heartbeat::new(3);
        assert_eq!(heartbeat.missing(&workers, &[0, 1, 2]), [0, 1, 2]);
        turn(&[0, 2]);
        assert_eq!(heartbeat.missing(&workers, &[0, 1, 2]), [1]);
        turn(&[0]);
        assert_eq!(heartbeat.missing(&workers, &[0, 1, 2]), [1], "others do not turn for it");
        turn(&[1]);
        assert_eq!(heartbeat.missing(&workers, &[0, 1, 2]), [0; 0], "all have turned");
        assert_eq!(heartbeat.missing(&workers, &[0, 1, 2]), [0, 1, 2], "but not since");
        turn(&[0, 2]);
        assert_eq!(heartbeat.missing(&workers, &[0, 2]), [0; 0], "who has ended need not turn");
    }

    #[test]
    fn is_asked_often_enough() {
        let seconds = Duration::from_secs;
        assert_eq!(Heartbeat::period(seconds(2)), Duration::from_millis(500));
        assert_eq!(Heartbeat::period(seconds(3600)), OVERSEE_TICK);
        assert!(!Heartbeat::period(Duration::ZERO).is_zero(), "an interval of none cannot be");
    }
}
