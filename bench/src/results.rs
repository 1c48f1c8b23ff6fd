//! What was measured, as it is kept in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// The form of the file; another one is not read.
const FORMAT: u32 = 1;

/// A run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) format: u32,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    /// By name.
    pub(crate) peers: BTreeMap<String, PeerInfo>,
    /// Peers that are not here, and why.
    pub(crate) skipped: BTreeMap<String, String>,
    pub(crate) rows: Vec<RowResult>,
    /// Single figures: memory of tables, instruction counts.
    #[serde(default)]
    pub(crate) figures: Vec<Figure>,
}

/// Where it was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpu_count: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) congestion_control: String,
    pub(crate) proxy_cpus: Vec<usize>,
    pub(crate) load_cpu: usize,
    pub(crate) descriptor_limit: u64,
    pub(crate) is_root: bool,
}

/// How it was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) started: String,
}

/// Who was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct PeerInfo {
    pub(crate) title: String,
    pub(crate) version: String,
}

/// One workload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RowResult {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// What a reader must know about it.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    pub(crate) cells: Vec<Cell>,
}

/// One peer with one workload.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Cell {
    pub(crate) peer: String,
    /// By metric, one value a round.
    pub(crate) rounds: BTreeMap<Metric, Vec<f64>>,
    /// Percentile and microseconds, over all rounds.
    #[serde(default)]
    pub(crate) latency: Vec<(f64, f64)>,
    /// How many latencies that are.
    #[serde(default)]
    pub(crate) latency_count: u64,
    /// Rounds that failed, and why. They are not in the figures.
    #[serde(default)]
    pub(crate) errors: Vec<String>,
}

/// What is measured of a peer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// CPU of the proxy, all threads, nanoseconds per unit.
    CpuNs,
    /// Units per second.
    Rate,
    P50Us,
    P99Us,
    P999Us,
    /// Resident memory at the end of the round, in bytes.
    RssBytes,
    /// Of it, what each session added.
    RssBytesPerSession,
    /// The same, shared pages divided among those who share them.
    PssBytesPerSession,
    /// Units per second of the second group.
    SideRate,
    /// CPU of the kernel's ring workers, nanoseconds per unit; part of `cpu_ns`.
    RingWorkerNs,
    /// Per unit.
    ContextSwitches,
    /// Completions of a ring, or events of epoll, per unit.
    Completions,
    /// Turns of the proxy's loop per unit: its waiting system calls.
    Turns,
    /// System calls per unit.
    Syscalls,
    /// The proxy's share of its CPU.
    ProxyUse,
    /// The load generator's share of its own CPU.
    LoadUse,
}

/// A figure that stands by itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) values: Vec<f64>,
}

/// Why results cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResultsError {
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// It holds something else.
    #[error("{0} holds no results: {1}")]
    Content(PathBuf, serde_json::Error),
    /// It was written by another version.
    #[error("{0} has format {1}; this program reads {FORMAT}: measure again")]
    Format(PathBuf, u32),
}

impl Results {
    pub(crate) fn new(machine: Machine, settings: Settings) -> Self {
        Self {
            format: FORMAT,
            machine,
            settings,
            peers: BTreeMap::new(),
            skipped: BTreeMap::new(),
            rows: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// # Errors
    /// See [`ResultsError`].
    pub(crate) fn read(path: &Path) -> Result<Self, ResultsError> {
        let text =
            fs::read_to_string(path).map_err(|error| ResultsError::File(path.into(), error))?;
        let results: Self = serde_json::from_str(&text)
            .map_err(|error| ResultsError::Content(path.into(), error))?;
        if results.format != FORMAT {
            return Err(ResultsError::Format(path.into(), results.format));
        }
        Ok(results)
    }

    /// Writes the file as a whole or not at all: a run that is cut short can go on.
    ///
    /// # Errors
    /// See [`ResultsError`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), ResultsError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| ResultsError::Content(path.into(), error))?;
        let new = path.with_extension("new");
        let written = fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, path));
        written.map_err(|error| ResultsError::File(path.into(), error))
    }

    pub(crate) fn row(&self, name: &str) -> Option<&RowResult> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Adds a value to a cell that there is.
    pub(crate) fn add(&mut self, row: &str, peer: &str, metric: Metric, value: f64) {
        let row = self.rows.iter_mut().find(|known| known.name == row);
        let cell = row.and_then(|row| row.cells.iter_mut().find(|cell| cell.peer == peer));
        if let Some(cell) = cell {
            cell.rounds.entry(metric).or_default().push(value);
        }
    }

    pub(crate) fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// What a peer is called.
    pub(crate) fn title<'a>(&'a self, peer: &'a str) -> &'a str {
        self.peers.get(peer).map_or(peer, |info| info.title.as_str())
    }
}

impl RowResult {
    pub(crate) fn cell(&self, peer: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.peer == peer)
    }
}

impl Cell {
    pub(crate) fn values(&self, metric: Metric) -> &[f64] {
        self.rounds.get(&metric).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn estimate(&self, metric: Metric) -> Option<Estimate> {
        Estimate::of(self.values(metric))
    }

    /// Whether the load generator was busier than a row may have it.
    pub(crate) fn is_load_bound(&self) -> bool {
        const LOAD_USE_MAX: f64 = 0.9;
        self.estimate(Metric::LoadUse).is_some_and(|used| used.median > LOAD_USE_MAX)
    }
}

/// Made-up results, for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// One row, `row-a`, of CPU per request. A peer without values has failed.
    pub(crate) fn results(cells: &[(&str, &[f64])]) -> Results {
        let machine = Machine {
            cpu: "a CPU".to_owned(),
            cpu_count: 2,
            memory_mib: 1024,
            kernel: "6.18".to_owned(),
            system: "a system".to_owned(),
            congestion_control: "reno".to_owned(),
            proxy_cpus: vec![0],
            load_cpu: 1,
            descriptor_limit: 20_000,
            is_root: false,
        };
        let settings = Settings {
            rounds: 3,
            seconds: 1.0,
            warm_up_seconds: 0.3,
            started: "2026-01-31".to_owned(),
        };
        let mut results = Results::new(machine, settings);
        let cell = |&(peer, values): &(&str, &[f64])| Cell {
            peer: peer.to_owned(),
            rounds: BTreeMap::from([(Metric::CpuNs, values.to_vec())]),
            latency: vec![(50.0, 100.0), (99.0, 200.0)],
            latency_count: 1000,
            errors: if values.is_empty() { vec!["it broke".to_owned()] } else { Vec::new() },
        };
        results.rows.push(RowResult {
            name: "row-a".to_owned(),
            title: "request".to_owned(),
            unit: "request".to_owned(),
            notes: Vec::new(),
            cells: cells.iter().map(cell).collect(),
        });
        results
    }
}
