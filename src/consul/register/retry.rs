//! How long to wait after a failure. Pure but for its seed.

use std::time::Duration;

use crate::kernel::random::Random;
use crate::limits::{REGISTER_RETRY_LEAST, REGISTER_RETRY_MOST};

/// Waits that double from failure to failure, up to a bound, each shortened by up to a half at
/// random: gateways that lost the same agent do not return together.
#[derive(Debug)]
pub(super) struct Retry {
    random: Random,
    failure_count: u32,
}

impl Retry {
    pub(super) fn new(random: Random) -> Self {
        Self { random, failure_count: 0 }
    }

    /// All is well.
    pub(super) fn reset(&mut self) {
        self.failure_count = 0;
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failure_count).unwrap_or(u32::MAX);
        self.failure_count = self.failure_count.saturating_add(1);
        let most = REGISTER_RETRY_LEAST.saturating_mul(doubled).min(REGISTER_RETRY_MOST);
        // The upper half of the word: the lower bits of this generator are weaker.
        let share = (self.random.draw() >> 32) as f64 / f64::from(u32::MAX);
        most.mul_f64(1.0 - share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let mut retry = Retry::new(Random::seeded(7));
        let mut bound = REGISTER_RETRY_LEAST;
        let mut waits = Vec::new();
        for _ in 0..100 {
            let wait = retry.next();
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(REGISTER_RETRY_MOST);
            waits.push(wait);
        }
        assert!(waits.windows(2).all(|pair| pair[0] != pair[1]));
        retry.reset();
        assert!(retry.next() <= REGISTER_RETRY_LEAST);
    }
}
