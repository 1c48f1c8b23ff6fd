//! Whole workers in a simulated world: real tables, real hellos, and everything that can go
//! wrong. A seed determines a run; what fails is printed with its seed and can be run again:
//!
//! * `SLUICE_SIM_SEED=n`: this seed alone, with a trace of what happened.
//! * `SLUICE_SIM_SEEDS=n`: so many seeds, from 0 on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of it is test, also what stands outside of the test functions"
)]

#[allow(dead_code, reason = "shared with the parser's tests, which need more of it")]
#[path = "../hello/build.rs"]
mod build;
mod end;
mod judge;
mod plan;
mod routes;
mod run;
mod stream;
mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use sluice::kernel::sim::{Fault, Faults};

use run::Run;
use trace::Trace;

/// A fault that strikes in fewer seeds than this is not tested.
const SEEDS_PERCENT_MIN: u64 = 1;

/// What all seeds came to.
#[derive(Default)]
struct Tally {
    seeds: u64,
    fired: Vec<(u64, u64)>,
    seen: Vec<(&'static str, u64)>,
}

impl Tally {
    fn add(&mut self, faults: &Faults, seen: &[(&'static str, u64)]) {
        self.seeds += 1;
        self.fired.resize(Fault::ALL.len(), (0, 0));
        for (sum, fault) in self.fired.iter_mut().zip(Fault::ALL) {
            let count = faults.fired(fault);
            *sum = (sum.0 + count, sum.1 + u64::from(count > 0));
        }
        self.seen.resize(seen.len(), ("", 0));
        for (sum, (name, count)) in self.seen.iter_mut().zip(seen) {
            *sum = (name, sum.1 + count);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.fired.resize(Fault::ALL.len(), (0, 0));
        for (sum, more) in self.fired.iter_mut().zip(&other.fired) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
        self.seen.resize(self.seen.len().max(other.seen.len()), ("", 0));
        for (sum, more) in self.seen.iter_mut().zip(&other.seen) {
            *sum = (more.0, sum.1 + more.1);
        }
    }
}

#[test]
fn every_seed_keeps_what_was_promised() {
    if let Some(seed) = number("SLUICE_SIM_SEED") {
        let problem = one(seed, Trace::on()).1;
        assert!(problem.is_none(), "{}", problem.unwrap_or_default());
        return;
    }
    // A debug build is slower by far, and is for whoever changes something here.
    let seed_count =
        number("SLUICE_SIM_SEEDS").unwrap_or(if cfg!(debug_assertions) { 2_000 } else { 20_000 });
    let began = Instant::now();
    let tally = all(seed_count);
    print(&tally, began);
    for (fault, (count, seeds)) in Fault::ALL.iter().zip(&tally.fired) {
        assert!(
            seeds * 100 >= tally.seeds * SEEDS_PERCENT_MIN,
            "{fault:?} struck in {seeds} of {} seeds, {count} times",
            tally.seeds
        );
    }
}

/// Runs seeds on all cores, until one fails.
fn all(seed_count: u64) -> Tally {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seed_count || failed.load(Relaxed) {
                return Ok(tally);
            }
            let (run, problem) = one(seed, Trace::off());
            if problem.is_some() {
                failed.store(true, Relaxed);
                return Err(seed);
            }
            if let Some(run) = run {
                tally.add(&run.world.faults(), &run.seen());
            }
        }
    };
    let results: Vec<Result<Tally, u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut sum = Tally::default();
    for result in results {
        match result {
            Ok(tally) => sum.merge(&tally),
            Err(seed) => {
                // Once more, with what happened: it is the same every time.
                let problem = one(seed, Trace::on()).1;
                panic!("{}", problem.unwrap_or_else(|| format!("seed {seed} failed only once")));
            }
        }
    }
    sum
}

/// Runs one seed; returns what went wrong, if anything did.
fn one(seed: u64, trace: Trace) -> (Option<Run>, Option<String>) {
    let mut run = Run::new(seed, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run.run_to_the_end();
        if run.problems.is_empty() {
            judge::judge(&mut run);
        }
    }));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        run.problems.push(format!("panicked: {}", text.unwrap_or_default()));
    }
    if run.problems.is_empty() {
        return (Some(run), None);
    }
    let mut report = format!("seed {seed} failed:\n  {}\n", run.problems.join("\n  "));
    report += &format!("{:#?}\n{}\n", run.plan.settings, run.trace.last(400));
    report += &format!("  {}\n", run.problems.join("\n  "));
    report += &format!("again: SLUICE_SIM_SEED={seed} cargo test --test simulation\n");
    // Half of it may be borrowed by what panicked.
    std::mem::forget(run);
    (None, Some(report))
}

fn print(tally: &Tally, began: Instant) {
    println!("{} seeds in {:.1} s", tally.seeds, began.elapsed().as_secs_f32());
    for (fault, (count, seeds)) in Fault::ALL.iter().zip(&tally.fired) {
        println!("{:<20}{count:>12} times in {seeds:>6} seeds", format!("{fault:?}"));
    }
    for (name, count) in &tally.seen {
        println!("{name:<20}{count:>12}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
