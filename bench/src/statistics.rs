//! Medians, and how far they may be trusted.

use serde::{Deserialize, Serialize};

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How many values it is made of. Fewer than six make an interval of less than 95 %.
    pub(crate) count: usize,
}

impl Estimate {
    /// The median of some values. Its interval lies between two of them (order statistics: no
    /// assumption about how they are distributed). `None` if there are none, or no numbers.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        if sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let count = sorted.len();
        let at = |index: usize| sorted.get(index).copied();
        let middle = count / 2;
        let median = if count % 2 == 1 {
            at(middle)?
        } else {
            f64::midpoint(at(middle.checked_sub(1)?)?, at(middle)?)
        };
        let outside = values_outside(count);
        Some(Self { median, low: at(outside)?, high: at(count.checked_sub(outside + 1)?)?, count })
    }

    /// Whether even 95 % of the chance lies below a value.
    pub(crate) fn is_below(&self, value: f64) -> bool {
        self.high < value
    }

    /// Whether even 95 % of the chance lies above a value.
    pub(crate) fn is_above(&self, value: f64) -> bool {
        self.low > value
    }
}

/// How many values at either end are outside of the interval. Of `count` values, the chance that
/// no more than `k` lie below the true median is binomial with one half.
fn values_outside(count: usize) -> usize {
    const OUTSIDE_MAX: f64 = 0.025;
    let mut probability = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut below = probability;
    let mut outside = 0;
    while below + 1e-12 < OUTSIDE_MAX {
        let next = probability * (count - outside) as f64 / (outside + 1) as f64;
        if below + next > OUTSIDE_MAX {
            break;
        }
        probability = next;
        below += next;
        outside += 1;
    }
    outside
}

/// The ratio of two things that were measured in the same rounds, round by round: what slowed a
/// round slowed both. `None` if there are none.
pub(crate) fn ratio(of: &[f64], to: &[f64]) -> Option<Estimate> {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    Estimate::of(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u32) -> Vec<f64> {
        (1..=count).map(f64::from).collect()
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Estimate::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Estimate::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // The usual table of order statistics for the median at 95 %: n, and the ranks.
        for (count, low, high) in
            [(6, 1.0, 6.0), (7, 1.0, 7.0), (9, 2.0, 8.0), (11, 2.0, 10.0), (20, 6.0, 15.0)]
        {
            let estimate = Estimate::of(&numbers(count)).unwrap();
            assert_eq!((estimate.low, estimate.high), (low, high), "{count}");
        }
    }

    #[test]
    fn a_slow_round_does_not_widen_a_ratio() {
        let (of, to) = ([20.0, 40.0, 20.0], [10.0, 20.0, 10.0]);
        let ratio = ratio(&of, &to).unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
    }
}
