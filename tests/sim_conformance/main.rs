//! The simulated kernel does what Linux does: random scripts run on it and on real loopback
//! sockets and pipes, with the same results, states and edges after every step.

#![allow(unsafe_code, reason = "system calls without a safe wrapper")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of it is test, also what stands outside of the test functions"
)]

mod backpressure;
mod pair;
mod real;
mod script;

use pair::{Coverage, Pair};
use script::Script;

const SCRIPT_COUNT: u64 = 10_000;

/// What the scripts are known to reach: one that does not is not compared with anything.
const MUST_HAPPEN: [&str; 30] = [
    "Close done",
    "Discard ECONNRESET",
    "Discard ENOTCONN",
    "Discard did",
    "Discard end",
    "Discard later",
    "Fill ECONNRESET",
    "Fill ENOTCONN",
    "Fill EPIPE",
    "Fill did",
    "Fill end",
    "Fill later",
    "Fill later, pipe full",
    "Fill later, pipe in use",
    "Flush ECONNRESET",
    "Flush EPIPE",
    "Flush did",
    "LowWater done",
    "Recv ECONNRESET",
    "Recv ENOTCONN",
    "Recv EPIPE",
    "Recv did",
    "Recv end",
    "Recv later",
    "Rewatch done",
    "Send ECONNRESET",
    "Send EPIPE",
    "Stash did",
    "Stash later",
    "Stash short",
];

/// `SLUICE_SEED=n` runs one script alone.
#[test]
fn random_scripts_have_the_same_results() {
    let one = std::env::var("SLUICE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let seeds = one.map_or(0..SCRIPT_COUNT, |seed| seed..seed + 1);
    let listener = real::listener();
    let mut coverage = Coverage::new();
    for seed in seeds {
        let script = Script::new(seed);
        if let Err(difference) = Pair::new(&script, &listener, &mut coverage).run() {
            panic!("SLUICE_SEED={seed}: {difference}\n{script}");
        }
    }
    for (what, count) in &coverage {
        println!("{what:<28}{count:>8}");
    }
    if one.is_none() {
        for what in MUST_HAPPEN {
            assert!(coverage.contains_key(what), "no script came to {what}");
        }
    }
}
