//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::figures::instructions::Part;
use crate::floor::Engine;
use crate::run::{Plan, default_sluice};
use crate::workload::{DEFINITIONS, Row, Workloads, matches};

/// Measures Sluice side by side with HAProxy, nginx and Envoy.
#[derive(Debug, Parser)]
#[command(name = "sluice-bench", version, max_term_width = 100)]
pub(crate) struct Command {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What `sluice-bench` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Measure. Exit code 1 if a round failed.
    Run(RunArgs),
    /// Show results.
    Report(ReportArgs),
    /// Hold results to the targets. Exit code 1 if one is missed.
    Check {
        /// The results.
        #[arg(default_value = "results.json")]
        results: PathBuf,
    },
    /// Say what has changed between two runs. Exit code 1 if something is worse.
    Compare(CompareArgs),
    /// Measure what stands by itself (tables, memory, instruction counts), and add it to results.
    Figures {
        /// The results.
        #[arg(default_value = "results.json")]
        results: PathBuf,
        /// The gateway's program; beside this one by default.
        #[arg(long, value_name = "FILE")]
        sluice: Option<PathBuf>,
    },
    /// Do something so many times, for its instructions to be counted.
    #[command(hide = true)]
    Instructions {
        #[arg(long)]
        part: Part,
        #[arg(long)]
        times: u32,
    },
    /// Be a bare relay, to be measured.
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        engine: Engine,
        #[arg(long)]
        bind: SocketAddr,
        #[arg(long)]
        backend: SocketAddr,
    },
    /// Be a gateway whose routes change all the time, to be measured.
    #[command(hide = true)]
    Churn {
        #[arg(long)]
        bind: SocketAddr,
        #[arg(long)]
        backend: SocketAddr,
        #[arg(long)]
        routes: u32,
        #[arg(long)]
        times_per_s: u32,
    },
    /// Be a relay on tokio-uring, to be measured.
    #[command(hide = true)]
    TokioRelay {
        #[arg(long)]
        bind: SocketAddr,
        #[arg(long)]
        backend: SocketAddr,
    },
}

/// What to show.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The results.
    #[arg(default_value = "results.json")]
    pub(crate) results: PathBuf,
    /// Write one page of HTML there.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write Markdown there; to standard output by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write each latency curve into this folder, as HdrHistogram's tools do (.hgrm).
    #[arg(long, value_name = "DIR")]
    pub(crate) hgrm: Option<PathBuf>,
}

/// What to compare.
#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// The earlier results.
    pub(crate) before: PathBuf,
    /// The later ones.
    pub(crate) after: PathBuf,
    /// Only this peer; `all` for all.
    #[arg(long, default_value = "sluice")]
    pub(crate) peer: String,
    /// Compare what others cost in units of ours: holds across machines.
    #[arg(long)]
    pub(crate) ratios: bool,
}

/// How to measure.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Only these rows; `*` at the end for all that begin so.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these peers; `*` at the end for all that begin so.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// A few rows, in a few short rounds.
    #[arg(long)]
    quick: bool,
    /// Rounds; seven at least for intervals that mean something.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds of traffic before it.
    #[arg(long, default_value_t = 0.3)]
    warm_up_seconds: f64,
    /// Where the results go.
    #[arg(long, value_name = "FILE", default_value = "results.json")]
    output: PathBuf,
    /// Leave out rows that the results have already.
    #[arg(long)]
    resume: bool,
    /// The folder that describes the peers.
    #[arg(long, value_name = "DIR", default_value = "bench/peers")]
    peer_folder: PathBuf,
    /// The gateway's program; beside this one by default.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
}

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The definitions do not parse.
    #[error("workloads.toml: {0}")]
    Workloads(#[from] toml::de::Error),
    /// No row is meant.
    #[error("--rows {0}: there is no such row; there are {1}")]
    NoRow(String, String),
    /// A number makes no sense.
    #[error("{0} must be {1}")]
    Number(&'static str, &'static str),
    /// There is no gateway.
    #[error("{0} is not there: build it with `cargo build --release --bin sluice`")]
    NoSluice(PathBuf),
}

impl RunArgs {
    /// What the flags mean.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub(crate) fn plan(self) -> Result<Plan, PlanError> {
        let Workloads { rows: known_rows, quick_peers } = toml::from_str(DEFINITIONS)?;
        for pattern in &self.rows {
            if !known_rows.iter().any(|row| matches(pattern, &row.name)) {
                let names: Vec<&str> = known_rows.iter().map(|row| row.name.as_str()).collect();
                return Err(PlanError::NoRow(pattern.clone(), names.join(", ")));
            }
        }
        let is_wanted = |row: &&Row| match self.rows.as_slice() {
            [] => row.quick || !self.quick,
            patterns => patterns.iter().any(|pattern| matches(pattern, &row.name)),
        };
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 1.0 });
        if !(0.05..=600.0).contains(&seconds) || !(0.0..=60.0).contains(&self.warm_up_seconds) {
            return Err(PlanError::Number("--seconds", "0.05 to 600, and the warm-up at most 60"));
        }
        let rounds = self.rounds.unwrap_or(if self.quick { 3 } else { 7 });
        if rounds == 0 {
            return Err(PlanError::Number("--rounds", "1 or more"));
        }
        let sluice = self.sluice.unwrap_or_else(default_sluice);
        if !sluice.is_file() {
            return Err(PlanError::NoSluice(sluice));
        }
        Ok(Plan {
            rows: known_rows.iter().filter(is_wanted).cloned().collect(),
            known_rows,
            peer_folder: self.peer_folder,
            only: if self.quick && self.peers.is_empty() { quick_peers } else { self.peers },
            rounds,
            time: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64(self.warm_up_seconds),
            sluice,
            output: self.output,
            resume: self.resume,
        })
    }
}
