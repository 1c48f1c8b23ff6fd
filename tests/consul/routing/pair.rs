//! Two gateways for a datacenter: sessions use both, and one is enough.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Failure};
use crate::support::mesh::sluice::{Sluice, both_engines};
use crate::support::until;

/// Sessions that are counted, through each gateway of dc1.
const COUNT: u64 = 60;
/// Those who dial at once while a gateway is killed.
const CALLERS: usize = 4;

/// A service in dc2, behind two gateways of each datacenter.
struct Lab {
    near: [Sluice; 2],
    far: [Sluice; 2],
    caller: Caller,
    target: Target,
    _datacenters: [Datacenter; 2],
    _backend: Backend,
}

impl Lab {
    fn start() -> Self {
        let [first, second] = joined();
        let target = second.target("web");
        let backend = Backend::with_identity(&second.identity("web"), 1);
        second.put_sidecar("web", "web-1", backend.address);
        let caller = Caller::new(&first.identity("client"));
        let (near, far) = (both_engines(&first), both_engines(&second));
        near.iter().for_each(|near| knows(near, &target, &far));
        Self { near, far, caller, target, _datacenters: [first, second], _backend: backend }
    }

    fn accepted(&self) -> [u64; 2] {
        [0, 1].map(|index: usize| self.far[index].count("accepted"))
    }
}

/// Waits until a gateway knows that both of the other datacenter are well.
fn knows(near: &Sluice, target: &Target, far: &[Sluice; 2]) {
    until("both gateways of dc2 are well", || {
        let route = near.get(&format!("/routes?sni={}", target.server_name));
        let endpoints = route["endpoints"].as_array()?;
        let is_well = |far: &Sluice| {
            let mut endpoints = endpoints.iter();
            endpoints.any(|at| at["address"] == far.wan.to_string() && at["healthy"] == true)
        };
        far.iter().all(is_well).then_some(())
    });
}

/// The picture for people has each datacenter once, and the gateways of the other.
fn is_drawn(near: &Sluice, far: &[Sluice; 2]) {
    let told = near.get("/dashboard.json");
    let places = told["places"].as_array().unwrap();
    let names: Vec<_> = places.iter().map(|place| (&place["name"], &place["is_here"])).collect();
    assert_eq!(names, [(&"dc1".into(), &true.into()), (&"dc2".into(), &false.into())], "{told}");
    let gateways = places[1]["gateways"].as_array().unwrap();
    let is_there = |at: &Sluice| gateways.iter().any(|told| told["address"] == at.wan.to_string());
    assert!(far.iter().all(is_there), "{told}");
    assert_eq!(places[1]["refused"], serde_json::Value::Null);
}

/// Those who dial without pause.
#[derive(Default)]
struct Load {
    ends: AtomicBool,
    /// Sessions that came and went well.
    served: AtomicU32,
}

/// A session that failed.
#[derive(Debug)]
struct Failed {
    began: Instant,
    /// Whether bytes had come back: then nobody may send its hello to another gateway.
    was_answered: bool,
    #[allow(dead_code, reason = "shown where it is not expected")]
    error: String,
}

impl Load {
    fn run(&self, caller: &Caller, gateway: SocketAddr, target: &Target) -> Vec<Failed> {
        let mut failures = Vec::new();
        while !self.ends.load(Ordering::Relaxed) {
            let began = Instant::now();
            match session(caller, gateway, target) {
                Ok(()) => drop(self.served.fetch_add(1, Ordering::Relaxed)),
                Err((was_answered, error)) => failures.push(Failed { began, was_answered, error }),
            }
        }
        failures
    }

    /// Waits until so many more were served.
    fn goes_on(&self, count: u32) {
        let reached = self.served.load(Ordering::Relaxed) + count;
        until("sessions go on", || (self.served.load(Ordering::Relaxed) >= reached).then_some(()));
    }
}

/// Ends the load also when the test fails, which would wait for it for ever.
struct Ending<'a>(&'a Load);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}

/// One session; or whether it was answered, and what went wrong.
fn session(caller: &Caller, gateway: SocketAddr, target: &Target) -> Result<(), (bool, String)> {
    let opened = caller.open(gateway, target);
    let mut session = opened.map_err(|failure| {
        let was_answered = matches!(failure, Failure::Broken { received_bytes: 1.., .. });
        (was_answered, failure.to_string())
    })?;
    session.try_exchange(2048).map_err(|error| (true, error.to_string()))
}

#[test]
fn sessions_use_both_gateways_and_one_that_is_killed_is_not_missed() {
    let mut lab = Lab::start();
    for gateway in &lab.near {
        is_drawn(gateway, &lab.far);
        let before = lab.accepted();
        for _ in 0..COUNT {
            lab.caller.reach(gateway.lan, &lab.target).unwrap();
        }
        let after = lab.accepted();
        let shares = [0, 1].map(|index: usize| after[index] - before[index]);
        println!("figure: sessions by gateway: {}: {shares:?}", gateway.engine);
        assert!(shares.iter().all(|&share| share >= COUNT / 5), "{shares:?}");
    }

    let load = Load::default();
    let (caller, target, near) = (&lab.caller, &lab.target, &lab.near);
    let victim = &mut lab.far[0];
    let (killed, failures) = thread::scope(|scope| {
        let ending = Ending(&load);
        let run = |index: usize| {
            let (load, gateway) = (&load, near[index % near.len()].lan);
            scope.spawn(move || load.run(caller, gateway, target))
        };
        let callers: Vec<_> = (0..CALLERS).map(run).collect();
        load.goes_on(40);
        victim.kill();
        let killed = Instant::now();
        load.goes_on(200);
        drop(ending);
        let failures = callers.into_iter().flat_map(|caller| caller.join().unwrap());
        (killed, failures.collect::<Vec<Failed>>())
    });
    let served = load.served.load(Ordering::Relaxed);
    println!("figure: {served} sessions, and {} cut with the gateway", failures.len());
    // What was relayed by the gateway that died cannot be saved; nothing else may fail.
    let is_lost = |failed: &Failed| failed.was_answered && failed.began < killed;
    assert!(failures.iter().all(is_lost), "{failures:#?}");
    assert!(failures.len() <= CALLERS, "{failures:#?}");
    for gateway in near {
        assert!(gateway.count("dials_retried") > 0, "{}: nobody met the dead one", gateway.engine);
    }
}
