//! What is counted of a group.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Units and their latencies.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) bytes: u64,
    /// In nanoseconds, to three digits.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { bytes: 0, latency: histogram() }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Mebibytes of streams, or else what has a latency.
    pub(crate) fn units(&self) -> f64 {
        const MIB: f64 = 1_048_576.0;
        if self.bytes > 0 { self.bytes as f64 / MIB } else { self.latency.len() as f64 }
    }
}

/// A minute at most: nothing waits longer.
pub(crate) fn histogram() -> Histogram<u64> {
    const MOST_NS: u64 = 60_000_000_000;
    match Histogram::new_with_bounds(1, MOST_NS, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}
