//! Targets: what results are held to. They are data, in `targets.toml`.

use std::fmt;

use serde::Deserialize;

use crate::report::number;
use crate::results::{Metric, Results, RowResult};
use crate::statistics::{Estimate, ratio};
use crate::workload::matches;

/// The file, as it came with this program.
pub(crate) const DEFINITIONS: &str = include_str!("../targets.toml");

/// All targets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Targets {
    #[serde(rename = "target")]
    pub(crate) targets: Vec<Target>,
}

/// One line of the file. Without `to` the figure itself is held to the bound, else its ratio to
/// another one's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Rows; `*` at the end for all that begin so. Or a single figure's name.
    pub(crate) row: String,
    /// Another row for `to`; the same one by default.
    to_row: Option<String>,
    #[serde(default = "cpu")]
    metric: Metric,
    /// Peers; of several, the one that does best in the row.
    of: String,
    to: Option<String>,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

fn cpu() -> Metric {
    Metric::CpuNs
}

/// What became of a target in a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The median is on the right side.
    Met(Estimate),
    /// It is not, but the interval reaches there.
    Undecided(Estimate),
    /// The whole interval is on the wrong side.
    Missed(Estimate),
    /// A round failed that it needs.
    Failed(String),
    /// It was not measured.
    Unknown(String),
}

/// A target in a row, with what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) bound: String,
    pub(crate) verdict: Verdict,
}

impl Line {
    pub(crate) fn is_missed(&self) -> bool {
        matches!(self.verdict, Verdict::Missed(_) | Verdict::Failed(_))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = |estimate: &Estimate| {
            let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(number);
            format!("{median} [{low}–{high}]")
        };
        let (word, found) = match &self.verdict {
            Verdict::Met(estimate) => ("met", interval(estimate)),
            Verdict::Undecided(estimate) => ("within spread", interval(estimate)),
            Verdict::Missed(estimate) => ("MISSED", interval(estimate)),
            Verdict::Failed(why) => ("FAILED", why.clone()),
            Verdict::Unknown(why) => ("not measured", why.clone()),
        };
        write!(f, "{word:<13} {:<62} {:<8} {found}", self.what, self.bound)
    }
}

/// Holds results to targets.
pub(crate) fn check(results: &Results, targets: &Targets) -> Vec<Line> {
    let mut lines = Vec::new();
    for target in &targets.targets {
        let rows: Vec<&RowResult> =
            results.rows.iter().filter(|row| matches(&target.row, &row.name)).collect();
        if let Some(figure) = results.figure(&target.row) {
            let verdict = match Estimate::of(&figure.values) {
                Some(estimate) => target.judge(estimate),
                None => Verdict::Unknown("no value".to_owned()),
            };
            let what = figure.title.clone();
            lines.push(Line { what, bound: target.bound(), verdict });
        } else if rows.is_empty() {
            let what = target.what(&target.row);
            let verdict = Verdict::Unknown("no such row in these results".to_owned());
            lines.push(Line { what, bound: target.bound(), verdict });
        }
        lines.extend(rows.into_iter().map(|row| Line {
            what: target.what(&row.name),
            bound: target.bound(),
            verdict: target.verdict(results, row),
        }));
    }
    lines
}

impl Target {
    fn what(&self, row: &str) -> String {
        let metric = serde_json::to_string(&self.metric).unwrap_or_default();
        let to = match (&self.to, &self.to_row) {
            (Some(to), None) => format!(" ÷ {to}"),
            (Some(to), Some(row)) => format!(" ÷ {to} in {row}"),
            (None, _) => String::new(),
        };
        format!("{row}: {} of {}{to}", metric.trim_matches('"'), self.of)
    }

    fn bound(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(most), _) => format!("≤ {}", number(most)),
            (None, Some(least)) => format!("≥ {}", number(least)),
            (None, None) => String::new(),
        }
    }

    fn verdict(&self, results: &Results, row: &RowResult) -> Verdict {
        let of = match self.values(row, &self.of) {
            Ok(values) => values,
            Err(verdict) => return verdict,
        };
        let Some(to) = &self.to else {
            return Estimate::of(of).map_or(Verdict::Unknown("no value".into()), |e| self.judge(e));
        };
        let to_row = match &self.to_row {
            None => row,
            Some(name) => match results.row(name) {
                Some(row) => row,
                None => return Verdict::Unknown(format!("{name} is not in these results")),
            },
        };
        let estimate = match self.values(to_row, to) {
            Ok(to) => ratio(of, to),
            Err(verdict) => return verdict,
        };
        estimate.map_or(Verdict::Unknown("no value".into()), |estimate| self.judge(estimate))
    }

    /// The values of the best of the peers that are meant.
    fn values<'a>(&self, row: &'a RowResult, pattern: &str) -> Result<&'a [f64], Verdict> {
        let cells: Vec<_> = row.cells.iter().filter(|cell| matches(pattern, &cell.peer)).collect();
        if let Some(failed) = cells.iter().find(|cell| !cell.errors.is_empty()) {
            let why = failed.errors.first().cloned().unwrap_or_default();
            return Err(Verdict::Failed(format!("{}: {why}", failed.peer)));
        }
        let is_more_better = matches!(self.metric, Metric::Rate | Metric::SideRate);
        let medians = cells.iter().filter_map(|cell| {
            Some((cell.estimate(self.metric)?.median, cell.values(self.metric)))
        });
        let best = if is_more_better {
            medians.max_by(|a, b| a.0.total_cmp(&b.0))
        } else {
            medians.min_by(|a, b| a.0.total_cmp(&b.0))
        };
        best.map(|(_, values)| values)
            .ok_or_else(|| Verdict::Unknown(format!("{pattern} was not measured")))
    }

    fn judge(&self, estimate: Estimate) -> Verdict {
        // With fewer rounds no interval has 95 %: nothing is certain enough to be a miss.
        const ROUNDS_LEAST: usize = 6;
        let is_certain = estimate.count >= ROUNDS_LEAST || self.row.starts_with("figure-");
        let (missed, met) = match (self.at_most, self.at_least) {
            (Some(most), _) => (estimate.is_above(most), estimate.median <= most),
            (None, Some(least)) => (estimate.is_below(least), estimate.median >= least),
            (None, None) => return Verdict::Unknown("the target has no bound".to_owned()),
        };
        match (missed && is_certain, met) {
            (true, _) => Verdict::Missed(estimate),
            (false, true) => Verdict::Met(estimate),
            (false, false) => Verdict::Undecided(estimate),
        }
    }
}

#[cfg(test)]
mod tests;
