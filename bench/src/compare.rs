//! Two runs side by side: what has changed, and what only varies.

use std::fmt;

use crate::report::number;
use crate::results::{Metric, Results};
use crate::statistics::{Estimate, ratio};

/// A change below this share is not worth a line, however certain it is.
const LEAST_SHARE: f64 = 0.02;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Better,
    Worse,
    /// The intervals overlap, or the difference is below 2 %.
    Noise,
}

/// One figure in both runs.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    row: String,
    peer: String,
    metric: &'static str,
    before: Estimate,
    after: Estimate,
    pub(crate) change: Change,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.change {
            Change::Better => "better",
            Change::Worse => "WORSE",
            Change::Noise => "noise",
        };
        let share = (self.after.median / self.before.median - 1.0) * 100.0;
        let written = |estimate: &Estimate| {
            let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(number);
            format!("{median} [{low}–{high}]")
        };
        write!(
            f,
            "{word:<7} {:<22} {:<16} {:<22} {share:+6.1} %  {} → {}",
            self.row,
            self.peer,
            self.metric,
            written(&self.before),
            written(&self.after),
        )
    }
}

/// Compares what both have of a peer; of all, if none is named.
pub(crate) fn compare(before: &Results, after: &Results, peer: Option<&str>) -> Vec<Line> {
    const METRICS: [(Metric, &str); 3] = [
        (Metric::CpuNs, "cpu_ns"),
        (Metric::P99Us, "p99_us"),
        (Metric::RssBytesPerSession, "rss_bytes_per_session"),
    ];
    let mut lines = Vec::new();
    for row in &after.rows {
        let Some(old_row) = before.row(&row.name) else { continue };
        for cell in row.cells.iter().filter(|cell| peer.is_none_or(|peer| peer == cell.peer)) {
            let Some(old) = old_row.cell(&cell.peer) else { continue };
            for (metric, name) in METRICS {
                let pair = old.estimate(metric).zip(cell.estimate(metric));
                lines.extend(pair.map(|(before, after)| Line {
                    row: row.name.clone(),
                    peer: cell.peer.clone(),
                    metric: name,
                    before,
                    after,
                    change: change(&before, &after, LEAST_SHARE),
                }));
            }
        }
    }
    lines
}

/// Compares what others cost in units of ours: two machines, or a busy one and a quiet one, can be
/// compared by it. Others that cost less than before are worse for us.
pub(crate) fn compare_ratios(before: &Results, after: &Results) -> Vec<Line> {
    const OURS: &str = "sluice";
    // A machine of another kind moves ratios by so much without anything having changed.
    const LEAST_SHARE: f64 = 0.15;
    let ratio_in = |results: &Results, row: &str, peer: &str| {
        let row = results.row(row)?;
        let values = |peer| Some(row.cell(peer)?.values(Metric::CpuNs));
        ratio(values(OURS)?, values(peer)?)
    };
    let mut lines = Vec::new();
    for row in &after.rows {
        for cell in row.cells.iter().filter(|cell| cell.peer != OURS) {
            let of = |results| ratio_in(results, &row.name, &cell.peer);
            lines.extend(of(before).zip(of(after)).map(|(before, after)| Line {
                row: row.name.clone(),
                peer: cell.peer.clone(),
                metric: "ours ÷ theirs",
                before,
                after,
                change: change(&before, &after, LEAST_SHARE),
            }));
        }
    }
    lines
}

/// Less is better in all that is compared.
fn change(before: &Estimate, after: &Estimate, least_share: f64) -> Change {
    let share = (after.median - before.median).abs() / before.median.abs().max(f64::MIN_POSITIVE);
    if share < least_share {
        Change::Noise
    } else if after.low > before.high {
        Change::Worse
    } else if after.high < before.low {
        Change::Better
    } else {
        Change::Noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample::results;

    fn changes(before: &[f64], after: &[f64]) -> Vec<Change> {
        let (before, after) = (results(&[("sluice", before)]), results(&[("sluice", after)]));
        compare(&before, &after, Some("sluice")).iter().map(|line| line.change).collect()
    }

    #[test]
    fn regressions_are_told_from_noise() {
        let before = [10.0, 10.5, 11.0];
        assert_eq!(changes(&before, &[10.4, 10.9, 11.5]), [Change::Noise]);
        assert_eq!(changes(&before, &[11.2, 11.5, 12.0]), [Change::Worse]);
        assert_eq!(changes(&before, &[9.0, 9.1, 9.2]), [Change::Better]);
        // Certain, and too small to matter.
        assert_eq!(changes(&[10.0, 10.0, 10.0], &[10.1, 10.1, 10.1]), [Change::Noise]);
    }

    #[test]
    fn ratios_do_not_depend_on_the_machine() {
        let run = |ours: f64, theirs: f64| {
            let (ours, theirs) = ([ours; 6], [theirs; 6]);
            results(&[("sluice", &ours), ("nginx", &theirs)])
        };
        let change = |after: &Results| compare_ratios(&run(10.0, 20.0), after)[0].change;
        assert_eq!(change(&run(30.0, 60.0)), Change::Noise, "three times slower, both");
        assert_eq!(change(&run(13.0, 20.0)), Change::Worse);
        assert_eq!(change(&run(8.0, 20.0)), Change::Better);
    }

    #[test]
    fn what_only_one_run_has_is_left_out() {
        let (one, other) = (results(&[("sluice", &[1.0])]), results(&[("nginx", &[1.0])]));
        assert!(compare(&one, &other, None).is_empty());
    }
}
