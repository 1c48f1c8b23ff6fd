//! A run: rows, in each of them rounds, in each of them every peer.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::peer::{self, Peer, PeerError, Start};
use crate::results::{Metric, PeerInfo, Results, ResultsError, RowResult, Settings};
use crate::workload::{Row, matches};
use affinity::Places;
use round::{RoundError, Sample};

pub(crate) mod affinity;
pub(crate) mod limits;
mod machine;
pub(crate) mod ports;
pub(crate) mod process;
mod round;
mod syscalls;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    /// All rows, by whose rates others go.
    pub(crate) known_rows: Vec<Row>,
    pub(crate) peer_folder: PathBuf,
    /// Only peers that match one of these, if any is given.
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) sluice: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) resume: bool,
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The peers cannot be read.
    #[error(transparent)]
    Peers(#[from] PeerError),
    /// The results cannot be kept.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Linux refused something.
    #[error("{0}: {1}")]
    System(&'static str, nix::errno::Errno),
    /// Nowhere to put files.
    #[error("no folder for temporary files: {0}")]
    Scratch(std::io::Error),
}

/// Runs the plan; its results are on disk after every row. Returns how many rounds failed.
///
/// # Errors
/// See [`RunError`].
pub(crate) fn run(plan: &Plan) -> Result<usize, RunError> {
    limits::raise_descriptors();
    let places = Places::choose().map_err(|errno| RunError::System("sched_getaffinity", errno))?;
    affinity::pin(&[places.load]).map_err(|errno| RunError::System("sched_setaffinity", errno))?;
    let scratch = Scratch::new().map_err(RunError::Scratch)?;
    let mut course = Course::begin(plan, places, scratch)?;
    let began = Instant::now();
    let todo: Vec<&Row> = plan.rows.iter().filter(|row| !course.is_done(row)).collect();
    let total: usize = todo.iter().map(|row| course.peers_of(row).len() * plan.rounds).sum();
    let mut done = 0;
    for row in todo {
        let result = course.row(row, began, &mut done, total);
        course.results.rows.retain(|old| old.name != result.name);
        course.results.rows.push(result);
        course.results.write(&plan.output)?;
    }
    say("counting system calls, in a round of their own");
    for row in plan.rows.iter().filter(|row| !row.is_idle()) {
        if let Err(error) = course.count_syscalls(row) {
            say(&format!("left out: {error}"));
            break;
        }
        course.results.write(&plan.output)?;
    }
    let errors = course.results.rows.iter().flat_map(|row| &row.cells);
    Ok(errors.map(|cell| cell.errors.len()).sum())
}

/// A run that is under way.
struct Course<'a> {
    plan: &'a Plan,
    places: Places,
    scratch: Scratch,
    peers: BTreeMap<String, Peer>,
    results: Results,
    /// Rates of peers in rows that others go by.
    peaks: BTreeMap<String, f64>,
}

impl<'a> Course<'a> {
    fn begin(plan: &'a Plan, places: Places, scratch: Scratch) -> Result<Self, RunError> {
        let mut peers = peer::read_all(&plan.peer_folder)?;
        let settings = Settings {
            rounds: plan.rounds,
            seconds: plan.time.as_secs_f64(),
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            started: machine::date(),
        };
        let mut results = Results::new(machine::describe(&places), settings);
        if plan.resume && plan.output.exists() {
            let before = Results::read(&plan.output)?;
            results.rows = before.rows;
            results.figures = before.figures;
        }
        let wanted = |peer: &Peer| {
            let by_row = plan.rows.iter().any(|row| row.includes(&peer.name));
            by_row && (plan.only.is_empty() || plan.only.iter().any(|p| matches(p, &peer.name)))
        };
        peers.retain(|_, peer| wanted(peer));
        let mut missing = Vec::new();
        for peer in peers.values() {
            match peer.version(&plan.sluice) {
                Ok(version) => {
                    let info = PeerInfo { title: peer.title.clone(), version };
                    results.peers.insert(peer.name.clone(), info);
                }
                Err(error) => {
                    say(&format!("skipped {}: {error}", peer.title));
                    results.skipped.insert(peer.name.clone(), error.to_string());
                    missing.push(peer.name.clone());
                }
            }
        }
        peers.retain(|name, _| !missing.contains(name));
        Ok(Self { plan, places, scratch, peers, results, peaks: BTreeMap::new() })
    }

    /// Whether an earlier part of this run has measured a row already.
    fn is_done(&self, row: &Row) -> bool {
        let done = |old: &RowResult| {
            let has = |peer: &&Peer| old.cell(&peer.name).is_some_and(|c| c.errors.is_empty());
            self.peers_of(row).iter().all(has)
        };
        self.plan.resume && self.results.row(&row.name).is_some_and(done)
    }

    /// The peers of a row, in its order.
    fn peers_of(&self, row: &Row) -> Vec<&Peer> {
        let mut found: Vec<&Peer> = Vec::new();
        for pattern in &row.peers {
            for peer in self.peers.values().filter(|peer| matches(pattern, &peer.name)) {
                if !found.iter().any(|other| other.name == peer.name) {
                    found.push(peer);
                }
            }
        }
        found
    }

    /// Every peer in every round; there and back, so that none has a better place.
    fn row(&mut self, row: &Row, began: Instant, done: &mut usize, total: usize) -> RowResult {
        let mut notes = Vec::new();
        let rate = match self.arrival_rate(row) {
            Ok(rate) => rate,
            Err(why) => {
                notes.push(why);
                None
            }
        };
        if let Some(rate) = rate {
            notes.push(format!("{rate:.0} requests a second"));
        }
        let cpu_count = self.places.of_proxy(row.workers).len();
        if row.workers > cpu_count {
            notes.push(format!("{} workers on {cpu_count} CPU: no more are free", row.workers));
        }
        let peers = self.peers_of(row);
        let mut samples: Vec<Sample> = peers.iter().map(|peer| Sample::new(&peer.name)).collect();
        let mut order: Vec<usize> = (0..peers.len()).collect();
        for round in 0..self.plan.rounds {
            for &index in &order {
                let (Some(peer), Some(sample)) = (peers.get(index), samples.get_mut(index)) else {
                    continue;
                };
                progress(began, *done, total, &format!("{} {}", row.name, peer.name));
                let times = (self.plan.warm_up, self.plan.time);
                let outcome = round::measure(row, peer, &self.start_of(row), times, rate);
                *done += 1;
                if let Err(error) = &outcome {
                    let round = round + 1;
                    say(&format!("FAILED: {}, {}, round {round}: {error}", row.name, peer.name));
                }
                sample.add(outcome);
            }
            order.reverse();
        }
        progress(began, *done, total, &row.name);
        let (cells, more): (Vec<_>, Vec<_>) = samples.into_iter().map(Sample::finish).unzip();
        notes.extend(more.into_iter().flatten());
        let (name, title) = (row.name.clone(), row.title.clone());
        RowResult { name, title, unit: row.unit().to_owned(), notes, cells }
    }

    /// Adds to a row what system calls a unit takes, where that is not known yet.
    ///
    /// # Errors
    /// They cannot be counted here. Other failures are told, and leave a figure out.
    fn count_syscalls(&mut self, row: &Row) -> Result<(), RoundError> {
        let rate = self.arrival_rate(row).ok().flatten();
        let times = (self.plan.warm_up, self.plan.time);
        let mut counts = Vec::new();
        for peer in self.peers_of(row) {
            let cell = self.results.row(&row.name).and_then(|result| result.cell(&peer.name));
            if cell.is_none_or(|cell| !cell.values(Metric::Syscalls).is_empty()) {
                continue;
            }
            match round::count_syscalls(row, peer, &self.start_of(row), times, rate) {
                Ok(count) => counts.extend(count.map(|count| (peer.name.clone(), count))),
                Err(error @ RoundError::Uncounted(_)) => return Err(error),
                Err(error) => say(&format!("FAILED: {}, {}: {error}", row.name, peer.name)),
            }
        }
        for (peer, count) in counts {
            self.results.add(&row.name, &peer, Metric::Syscalls, count);
        }
        Ok(())
    }

    fn start_of(&self, row: &Row) -> Start<'_> {
        Start {
            // Filled in when the backend has its port.
            backend: ([127, 0, 0, 1], 0).into(),
            workers: row.workers,
            cpus: self.places.of_proxy(row.workers),
            own_cpu: self.places.load,
            sluice: &self.plan.sluice,
            scratch: &self.scratch.0,
        }
    }

    /// How many requests a second an open loop sends.
    fn arrival_rate(&mut self, row: &Row) -> Result<Option<f64>, String> {
        let Some(arrivals) = &row.arrivals else { return Ok(None) };
        if let Some(peak) = self.peaks.get(&arrivals.peak_of) {
            return Ok(Some(peak * arrivals.share));
        }
        let named = |known: &&Row| known.name == arrivals.peak_of;
        let Some(peak_row) = self.plan.known_rows.iter().find(named) else {
            return Err(format!("there is no row {}", arrivals.peak_of));
        };
        say(&format!("looking for the slowest peer's peak in {}", peak_row.name));
        let mut slowest = f64::INFINITY;
        for peer in self.peers_of(row) {
            let times = (self.plan.warm_up, self.plan.time);
            match round::measure(peak_row, peer, &self.start_of(peak_row), times, None) {
                Ok(round) => slowest = slowest.min(round.rate()),
                Err(error) => say(&format!("FAILED: {}: {error}", peer.name)),
            }
        }
        if !slowest.is_finite() {
            return Err("no peer has a peak".to_owned());
        }
        self.peaks.insert(arrivals.peak_of.clone(), slowest);
        Ok(Some(slowest * arrivals.share))
    }
}

/// A folder that is gone when the run ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sluice-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn progress(began: Instant, done: usize, total: usize, what: &str) {
    let elapsed = began.elapsed();
    let left = if done == 0 {
        String::new()
    } else {
        let each = elapsed.as_secs_f64() / done as f64;
        let left = each * total.saturating_sub(done) as f64;
        format!(", {} left", minutes(left))
    };
    let spent = minutes(elapsed.as_secs_f64());
    say(&format!("[{done}/{total}] {spent}{left}  {what}"));
}

fn minutes(seconds: f64) -> String {
    format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)
}

/// Progress goes to standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The gateway's program: beside this one.
pub(crate) fn default_sluice() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new(".")).join("sluice")
}
