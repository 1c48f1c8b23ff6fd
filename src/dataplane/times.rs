//! How long things took: counted by one worker, read by anyone.
//!
//! Each power of two of microseconds has eight buckets, so that a time is known to an eighth. To
//! record one costs a shift, a load and a store; nothing is computed before somebody asks.

use super::stats::Count;

/// Buckets for each power of two, as a power of two.
const PARTS_LOG2: u32 = 3;
const PARTS: u64 = 1 << PARTS_LOG2;
/// Longer times, of 50 days and more, count as this.
const TIME_LOG2_MAX: u32 = 42;
const BUCKET_COUNT: usize = ((TIME_LOG2_MAX - PARTS_LOG2 + 1) << PARTS_LOG2) as usize;

/// The times that one worker has seen of one kind.
#[derive(Debug)]
pub struct Times {
    buckets: [Count; BUCKET_COUNT],
    sum_us: Count,
}

impl Default for Times {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Count::default()), sum_us: Count::default() }
    }
}

impl Times {
    /// Records a time in microseconds, on the thread that owns it.
    #[inline]
    pub fn record(&self, us: u64) {
        if let Some(bucket) = self.buckets.get(index(us)) {
            bucket.add(1);
        }
        self.sum_us.add(us);
    }

    /// The sum of all times, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Count::get).fold(0, u64::wrapping_add)
    }

    /// Every bucket: the longest time in it, in microseconds, and how many times it holds. In
    /// order; a power of two is always the longest time of some bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..).map(longest_us).zip(self.buckets.iter().map(Count::get))
    }
}

/// The bucket of a time. A time belongs to the bucket that it is the longest of.
#[inline]
fn index(us: u64) -> usize {
    let below = us.saturating_sub(1).min((1 << TIME_LOG2_MAX) - 1);
    let Some(power) = below.checked_ilog2().filter(|power| *power >= PARTS_LOG2) else {
        return usize::try_from(below).unwrap_or(0);
    };
    let part = (below >> (power - PARTS_LOG2)) & (PARTS - 1);
    let first = u64::from(power - PARTS_LOG2 + 1) << PARTS_LOG2;
    usize::try_from(first | part).unwrap_or(0)
}

/// The longest time of a bucket.
const fn longest_us(index: u64) -> u64 {
    if index < PARTS {
        return index + 1;
    }
    let (power, part) = (index / PARTS - 1, index % PARTS);
    (PARTS + part + 1) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_it_may_be_the_longest_of() {
        let around = (0..TIME_LOG2_MAX)
            .flat_map(|power| [-1_i64, 0, 1].map(|by| (1_u64 << power).saturating_add_signed(by)));
        for us in around.chain([0, 3, 100, 12_345, 999_999, 60_000_001]) {
            let at = index(us) as u64;
            assert!(us <= longest_us(at), "{us} in bucket {at}");
            assert!(at == 0 || us > longest_us(at - 1), "{us} in bucket {at}");
            let width = longest_us(at) - if at == 0 { 0 } else { longest_us(at - 1) };
            assert!(width == 1 || width * PARTS <= us, "{us} is known to {width}");
        }
        assert_eq!(index(1 << TIME_LOG2_MAX), BUCKET_COUNT - 1);
        assert_eq!(index(u64::MAX), BUCKET_COUNT - 1);
    }

    #[test]
    fn powers_of_two_are_bounds() {
        let times = Times::default();
        let longest: Vec<u64> = times.buckets().map(|(longest, _)| longest).collect();
        assert_eq!(longest.len(), BUCKET_COUNT);
        for power in 0..=TIME_LOG2_MAX {
            assert!(longest.contains(&(1 << power)), "2^{power}");
        }
    }

    #[test]
    fn what_is_recorded_is_counted_and_summed() {
        let times = Times::default();
        for us in [0, 1, 8, 9, 1024, 1024, 1025] {
            times.record(us);
        }
        let up_to = |us| -> u64 {
            times.buckets().filter(|(longest, _)| *longest <= us).map(|(_, count)| count).sum()
        };
        assert_eq!((up_to(1), up_to(8), up_to(1024), up_to(2048)), (2, 3, 6, 7));
        assert_eq!(times.sum_us(), 3091);
    }
}
