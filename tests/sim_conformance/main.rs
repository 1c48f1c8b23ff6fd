//! The simulated kernel does what Linux does: random scripts run on it and on real loopback
//! sockets and pipes, with the same results, states and edges after every step.

#![allow(unsafe_code, reason = "system calls without a safe wrapper")]

mod backpressure;
mod real;
mod script;

use script::{Pair, Script};

const SCRIPT_COUNT: u64 = 10_000;

/// `SLUICE_SEED=n` runs one script alone.
#[test]
fn random_scripts_have_the_same_results() {
    let one = std::env::var("SLUICE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let seeds = one.map_or(0..SCRIPT_COUNT, |seed| seed..seed + 1);
    let listener = real::listener();
    for seed in seeds {
        let script = Script::new(seed);
        if let Err(difference) = Pair::new(&script, &listener).run() {
            panic!("SLUICE_SEED={seed}: {difference}\n{script}");
        }
    }
}
