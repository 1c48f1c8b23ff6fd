//! Two gateways for a datacenter: sessions use both, and one is enough.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::datacenter::Plan;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Failure};
use crate::support::mesh::sluice::both_engines;
use crate::support::until;

/// Who dials without pause, and what became of it.
struct Load<'a> {
    caller: &'a Caller,
    target: &'a Target,
    ends: &'a AtomicBool,
    /// Sessions that came and went well.
    served: &'a AtomicU32,
}

/// A session that failed.
#[derive(Debug)]
struct Failed {
    began: Instant,
    /// Whether bytes had come back: then nobody may send its hello to another gateway.
    was_answered: bool,
    error: String,
}

impl Load<'_> {
    fn run(&self, gateway: SocketAddr) -> Vec<Failed> {
        let mut failures = Vec::new();
        while !self.ends.load(Ordering::Relaxed) {
            let began = Instant::now();
            let outcome = match self.caller.open(gateway, self.target) {
                Ok(mut session) => {
                    session.try_exchange(2048).map_err(|error| (true, error.to_string()))
                }
                Err(Failure::Broken { error, received_bytes }) => Err((received_bytes > 0, error)),
                Err(alert) => Err((false, alert.to_string())),
            };
            match outcome {
                Ok(()) => {
                    self.served.fetch_add(1, Ordering::Relaxed);
                }
                Err((was_answered, error)) => failures.push(Failed { began, was_answered, error }),
            }
        }
        failures
    }
}

#[test]
fn sessions_use_both_gateways_and_one_that_is_killed_is_not_missed() {
    let first = Plan::new("dc1").start();
    let second = Plan::new("dc2").joined_to(&first).start();
    second.wait_joined(&first);
    let target = second.target("web");
    let backend = Backend::with_identity(&second.identity("web"), 1);
    second.put_sidecar("web", "web-1", backend.address);
    let caller = Caller::new(&first.identity("client"));
    let (near, mut far) = (both_engines(&first), both_engines(&second));
    for gateway in &near {
        until("both gateways of dc2 are known", || {
            let route = gateway.get(&format!("/routes?sni={}", target.server_name));
            let addresses: BTreeSet<_> = route["endpoints"]
                .as_array()?
                .iter()
                .collect::<Vec<_>>()
                .into_iter()
                .filter_map(|at| at["address"].as_str())
                .map(str::to_owned)
                .collect();
            far.iter().all(|far| addresses.contains(&far.wan.to_string())).then_some(())
        });
    }

    const COUNT: u64 = 60;
    for gateway in &near {
        let before = [0, 1].map(|index: usize| far[index].count("accepted"));
        for _ in 0..COUNT {
            caller.reach(gateway.lan, &target).unwrap();
        }
        let shares = [0, 1].map(|index: usize| far[index].count("accepted") - before[index]);
        println!("figure: sessions by gateway: {}: {shares:?}", gateway.engine);
        assert!(shares.iter().all(|&share| share >= COUNT / 5), "{shares:?}");
    }

    for victim in 0..far.len() {
        let (ends, served) = (AtomicBool::new(false), AtomicU32::new(0));
        let load = Load { caller: &caller, target: &target, ends: &ends, served: &served };
        let more = |count: u32, what: &str| {
            let reached = served.load(Ordering::Relaxed) + count;
            until(what, || (served.load(Ordering::Relaxed) >= reached).then_some(()));
        };
        let (killed, failures) = thread::scope(|scope| {
            let run = |at: usize| {
                scope.spawn({
                    let load = &load;
                    let to = near[at % 2].lan;
                    move || load.run(to)
                })
            };
            let threads: Vec<_> = (0..4).map(run).collect();
            more(40, "sessions before");
            far[victim].kill();
            let killed = Instant::now();
            more(200, "sessions after");
            ends.store(true, Ordering::Relaxed);
            let failures: Vec<Failed> =
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            (killed, failures)
        });
        println!(
            "figure: {} sessions, {} cut by the kill",
            served.load(Ordering::Relaxed),
            failures.len()
        );
        // What was relayed by the gateway that died cannot be saved; nothing else may fail.
        let is_lost = |failed: &Failed| failed.was_answered && failed.began < killed;
        assert!(failures.iter().all(is_lost), "{failures:#?}");
        assert!(failures.len() <= 4, "{failures:#?}");
        break;
    }
    let _ = Duration::ZERO;
}
