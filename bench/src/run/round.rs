//! One peer with one workload, once: started, loaded, measured, verified, ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::limits;
use super::process::{Memory, Used};
use super::syscalls::SyscallCounter;
use crate::load::tally::{Tally, histogram};
use crate::load::{Load, LoadError, Measured};
use crate::peer::{Peer, PeerError, Running, Start};
use crate::results::{Cell, Metric};
use crate::workload::Row;

/// Percentiles of a latency curve.
const PERCENTILES: [f64; 15] =
    [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99, 100.0];

/// Why a round does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    /// The peer failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The transfers failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Both did.
    #[error("{0}; {1}")]
    Both(LoadError, PeerError),
    /// It was too short to mean anything.
    #[error("only {0} units were done")]
    Short(f64),
    /// System calls cannot be counted here.
    #[error("system calls cannot be counted: {0}")]
    Uncounted(std::io::Error),
    /// It was never begun.
    #[error("{0} sessions need more descriptors than the {1} that are allowed (ulimit -Hn)")]
    Descriptors(usize, u64),
}

/// What a round found.
#[derive(Debug)]
pub(super) struct Round {
    values: BTreeMap<Metric, f64>,
    latency: Option<Histogram<u64>>,
}

impl Round {
    pub(super) fn rate(&self) -> f64 {
        self.values.get(&Metric::Rate).copied().unwrap_or(0.0)
    }
}

/// Runs it.
pub(super) fn measure(
    row: &Row,
    peer: &Peer,
    start: &Start<'_>,
    (warm_up, time): (Duration, Duration),
    rate_per_s: Option<f64>,
) -> Result<Round, RoundError> {
    let allowed = limits::descriptors();
    // Both ends of a session are ours, or both sides of it the proxy's.
    if row.session_count() as u64 * 2 + 100 > allowed {
        return Err(RoundError::Descriptors(row.session_count(), allowed));
    }
    let mut load = Load::new(row)?;
    let mut running = peer.start(&Start { backend: load.backend(), ..start.clone() })?;
    let measured = if row.is_idle() {
        idle(row, &mut load, &running, time)
    } else {
        traffic(&mut load, &running, (warm_up, time), rate_per_s)
    };
    match (measured, running.check()) {
        (Ok(round), Ok(())) => Ok(round),
        (Ok(_), Err(peer)) => Err(peer.into()),
        (Err(RoundError::Load(load)), Err(peer)) => Err(RoundError::Both(load, peer)),
        (Err(error), _) => Err(error),
    }
}

/// System calls per unit, in a round of their own; `None` where there is no proxy, or nothing
/// that is measured per unit of traffic.
pub(super) fn count_syscalls(
    row: &Row,
    peer: &Peer,
    start: &Start<'_>,
    (warm_up, time): (Duration, Duration),
    rate_per_s: Option<f64>,
) -> Result<Option<f64>, RoundError> {
    let mut load = Load::new(row)?;
    let running = peer.start(&Start { backend: load.backend(), ..start.clone() })?;
    let Some(tree) = running.tree().filter(|_| !row.is_idle()) else { return Ok(None) };
    load.open(running.address)?;
    load.warm_up(warm_up, rate_per_s)?;
    let mut counter = SyscallCounter::begin(&tree).map_err(RoundError::Uncounted)?;
    let measured = load.measure(time)?;
    let count = counter.count().map_err(RoundError::Uncounted)?;
    load.finish()?;
    let units = measured.tallies.first().map_or(0.0, Tally::units);
    if units < 10.0 {
        return Err(RoundError::Short(units));
    }
    Ok(Some(count as f64 / units))
}

fn traffic(
    load: &mut Load,
    running: &Running,
    (warm_up, time): (Duration, Duration),
    rate_per_s: Option<f64>,
) -> Result<Round, RoundError> {
    load.open(running.address)?;
    load.warm_up(warm_up, rate_per_s)?;
    let tree = running.tree();
    let counted_before = running.counted();
    let before = tree.as_ref().map(|tree| tree.used());
    let measured = load.measure(time)?;
    let used = tree.as_ref().zip(before).map(|(tree, before)| difference(tree.used(), before));
    let counted = running.counted().zip(counted_before);
    let memory = tree.as_ref().map(|tree| tree.memory());
    load.finish()?;
    let Measured { mut tallies, elapsed, utilisation } = measured;
    let first = if tallies.is_empty() { Tally::new() } else { tallies.remove(0) };
    let units = first.units();
    if units < 10.0 {
        return Err(RoundError::Short(units));
    }
    let seconds = elapsed.as_secs_f64();
    let mut values =
        BTreeMap::from([(Metric::Rate, units / seconds), (Metric::LoadUse, utilisation)]);
    if let Some(used) = used {
        add_used(&mut values, &used, units, seconds);
    }
    if let Some((after, before)) = counted {
        let per_unit = |after: u64, before: u64| after.saturating_sub(before) as f64 / units;
        values.insert(Metric::Completions, per_unit(after.completions, before.completions));
        values.insert(Metric::Turns, per_unit(after.turns, before.turns));
    }
    if let Some(Memory { resident_bytes, .. }) = memory {
        values.insert(Metric::RssBytes, resident_bytes as f64);
    }
    if let Some(side) = tallies.first().filter(|side| side.units() > 0.0) {
        values.insert(Metric::SideRate, side.units() / seconds);
    }
    let has_latency = !first.latency.is_empty();
    for (metric, percentile) in
        [(Metric::P50Us, 50.0), (Metric::P99Us, 99.0), (Metric::P999Us, 99.9)]
    {
        if has_latency {
            values.insert(metric, microseconds(&first.latency, percentile));
        }
    }
    Ok(Round { values, latency: has_latency.then_some(first.latency) })
}

/// Memory per session, after each has had some traffic. What the first tenth of them take is not
/// counted: with them come the pages of the program itself, whose number is no session's.
fn idle(
    row: &Row,
    load: &mut Load,
    running: &Running,
    time: Duration,
) -> Result<Round, RoundError> {
    let Some(tree) = running.tree() else { return Err(RoundError::Short(0.0)) };
    let first = row.session_count() / 10;
    load.open_up_to(running.address, first)?;
    let sessions = (row.session_count() - first) as f64;
    let (memory, used, began) = (tree.memory(), tree.used(), Instant::now());
    load.open(running.address)?;
    let opened = difference(tree.used(), used);
    // What a proxy gives back, it gives back soon.
    load.warm_up(time, None)?;
    let after = tree.memory();
    let per_session = |after: u64, before: u64| (after as f64 - before as f64) / sessions;
    let mut values = BTreeMap::from([
        (Metric::RssBytes, after.resident_bytes as f64),
        (Metric::RssBytesPerSession, per_session(after.resident_bytes, memory.resident_bytes)),
        (
            Metric::PssBytesPerSession,
            per_session(after.proportional_bytes, memory.proportional_bytes),
        ),
    ]);
    add_used(&mut values, &opened, sessions, began.elapsed().as_secs_f64());
    values.remove(&Metric::ProxyUse);
    Ok(Round { values, latency: None })
}

fn add_used(values: &mut BTreeMap<Metric, f64>, used: &Used, units: f64, seconds: f64) {
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    values.insert(Metric::CpuNs, nanoseconds(used.cpu) / units);
    values.insert(Metric::RingWorkerNs, nanoseconds(used.ring_workers) / units);
    values.insert(Metric::ContextSwitches, used.context_switches as f64 / units);
    values.insert(Metric::ProxyUse, used.cpu.as_secs_f64() / seconds);
}

fn difference(after: Used, before: Used) -> Used {
    Used {
        cpu: after.cpu.saturating_sub(before.cpu),
        ring_workers: after.ring_workers.saturating_sub(before.ring_workers),
        context_switches: after.context_switches.saturating_sub(before.context_switches),
    }
}

fn microseconds(latency: &Histogram<u64>, percentile: f64) -> f64 {
    latency.value_at_percentile(percentile) as f64 / 1000.0
}

/// The rounds of one peer with one workload.
#[derive(Debug)]
pub(super) struct Sample {
    cell: Cell,
    latency: Histogram<u64>,
}

impl Sample {
    pub(super) fn new(peer: &str) -> Self {
        let cell = Cell { peer: peer.to_owned(), ..Cell::default() };
        Self { cell, latency: histogram() }
    }

    pub(super) fn add(&mut self, outcome: Result<Round, RoundError>) {
        match outcome {
            Ok(Round { values, latency }) => {
                for (metric, value) in values {
                    self.cell.rounds.entry(metric).or_default().push(value);
                }
                if let Some(latency) = latency {
                    // Both have the same bounds.
                    let _ = self.latency.add(&latency);
                }
            }
            Err(error) => self.cell.errors.push(error.to_string()),
        }
    }

    /// The cell, and what a reader must know about it.
    pub(super) fn finish(mut self) -> (Cell, Option<String>) {
        if !self.latency.is_empty() {
            let point = |percentile| (percentile, microseconds(&self.latency, percentile));
            self.cell.latency = PERCENTILES.into_iter().map(point).collect();
            self.cell.latency_count = self.latency.len();
        }
        let failed = self.cell.errors.len();
        let note = (failed > 0).then(|| format!("{}: {failed} rounds failed", self.cell.peer));
        (self.cell, note)
    }
}
