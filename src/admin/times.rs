//! The times of all workers together.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::control::shared::Shared;
use crate::dataplane::stats::Stats;
use crate::dataplane::times::Times;

/// What is said of times where there is no room for a histogram.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// The times of one kind.
#[derive(Debug)]
pub(super) struct AllTimes {
    /// The longest time of each bucket in microseconds, and how many it holds; in order.
    buckets: Vec<(u64, u64)>,
    sum_us: u64,
}

impl AllTimes {
    pub(super) fn of(shared: &Shared, kind: impl Fn(&Stats) -> &Times) -> Self {
        let mut all = Self { buckets: Vec::new(), sum_us: 0 };
        for stats in &shared.workers {
            all.add(kind(stats));
        }
        all
    }

    fn add(&mut self, times: &Times) {
        if self.buckets.is_empty() {
            self.buckets.extend(times.buckets().map(|(longest_us, _)| (longest_us, 0)));
        }
        for ((_, all), (_, count)) in self.buckets.iter_mut().zip(times.buckets()) {
            *all = all.wrapping_add(count);
        }
        self.sum_us = self.sum_us.wrapping_add(times.sum_us());
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    pub(super) const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// How many were at most so long. Exact for powers of two of microseconds.
    pub(super) fn up_to(&self, bound: Duration) -> u64 {
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let within = self.buckets.iter().take_while(|(longest_us, _)| *longest_us <= bound_us);
        within.map(|(_, count)| count).sum()
    }

    /// The usual quantiles in microseconds, by name; nothing while there were no times.
    pub(super) fn quantiles_us(&self) -> Vec<(&'static str, u64)> {
        let longest_us = self.buckets.last().map_or(2, |(longest_us, _)| *longest_us);
        // Two digits are more than the buckets know.
        let Ok(mut histogram) = Histogram::<u64>::new_with_max(longest_us, 2) else {
            return Vec::new();
        };
        for (longest_us, count) in self.buckets.iter().filter(|(_, count)| *count > 0) {
            // None is above the maximum.
            let _ = histogram.record_n(*longest_us, *count);
        }
        if histogram.is_empty() {
            return Vec::new();
        }
        let told = QUANTILES.map(|(name, part)| (name, histogram.value_at_quantile(part)));
        told.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let (first, second) = (Times::default(), Times::default());
        (0..90).for_each(|_| first.record(1000));
        (0..10).for_each(|_| second.record(5_000_000));
        let mut all = AllTimes { buckets: Vec::new(), sum_us: 0 };
        all.add(&first);
        all.add(&second);
        assert_eq!(all.count(), 100);
        assert_eq!(all.sum(), Duration::from_micros(90 * 1000 + 10 * 5_000_000));
        let up_to = |us| all.up_to(Duration::from_micros(us));
        assert_eq!((up_to(512), up_to(1024), up_to(1 << 22), up_to(1 << 23)), (0, 90, 90, 100));
        let quantiles = all.quantiles_us();
        let quantile = |name| quantiles.iter().find(|(n, _)| *n == name).unwrap().1;
        assert!((1000..1150).contains(&quantile("p50")), "{quantiles:?}");
        assert!((5_000_000..5_700_000).contains(&quantile("p99")), "{quantiles:?}");
    }

    #[test]
    fn without_times_there_are_no_quantiles() {
        let mut all = AllTimes { buckets: Vec::new(), sum_us: 0 };
        assert_eq!((all.count(), all.quantiles_us()), (0, Vec::new()));
        all.add(&Times::default());
        assert_eq!((all.count(), all.quantiles_us()), (0, Vec::new()));
    }
}
