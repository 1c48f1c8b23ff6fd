//! Sidecars that use no gateway, Consul's own among them, while gateways come and go.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::json;

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::{Sluice, both_engines};
use crate::support::{SOON, until};

const TAG: u64 = 5;

/// Requests without pause, one after the other, and how many were answered.
#[derive(Default)]
struct Requests {
    ends: AtomicBool,
    answered: AtomicU32,
}

impl Requests {
    fn run(&self, ask: impl Fn() -> Result<(), String>) -> Vec<String> {
        let mut failures = Vec::new();
        while !self.ends.load(Ordering::Relaxed) {
            match ask() {
                Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                Err(failure) => failures.push(failure),
            }
        }
        failures
    }

    /// Waits until so many more are answered.
    fn go_on(&self, count: u32) {
        let reached = self.answered.load(Ordering::Relaxed) + count;
        until("requests go on", || {
            (self.answered.load(Ordering::Relaxed) >= reached).then_some(())
        });
    }
}

/// Through Consul's own sidecar, which dials the other datacenter by itself.
fn through_the_proxy(at: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut tag = [0; 8];
    stream.read_exact(&mut tag)?;
    let sent = [0x5a; 512];
    stream.write_all(&sent)?;
    let mut back = [0; 512];
    stream.read_exact(&mut back)?;
    let is_right = u64::from_le_bytes(tag) == TAG && back == sent;
    if is_right { Ok(()) } else { Err(io::Error::other("other bytes than those sent")) }
}

/// Straight to the sidecar of the service.
fn straight(caller: &Caller, to: SocketAddr, target: &Target) -> Result<(), String> {
    let mut session = caller.open(to, target).map_err(|failure| failure.to_string())?;
    session.try_exchange(512).map_err(|error| error.to_string())
}

/// Gateways of both datacenters come, serve, turn critical and go.
fn gateways_come_and_go(
    [first, second]: [&Datacenter; 2],
    caller: &Caller,
    target: &Target,
    others: &[&Requests],
) {
    let pause = || others.iter().for_each(|requests| requests.go_on(10));
    let start = || [first, second].map(both_engines);
    let [near, mut far] = start();
    let reach = |gateway: &Sluice| {
        until("the service behind its own sidecar, through two gateways", || {
            caller.reach(gateway.lan, target).is_ok_and(|tag| tag == TAG).then_some(())
        });
    };
    near.iter().for_each(reach);
    pause();
    let in_maintenance = |enable| {
        for datacenter in [first, second] {
            for gateway in &near {
                datacenter.maintenance(&format!("gateway-{}", gateway.engine), enable);
            }
            pause();
        }
    };
    in_maintenance(true);
    in_maintenance(false);
    far[0].kill();
    pause();
    far[1].terminate();
    pause();
    drop((near, far));
    pause();
    let [near, _far] = start();
    near.iter().for_each(reach);
    pause();
}

#[test]
fn sidecars_that_use_no_gateway_go_on_while_gateways_come_and_go() {
    let [first, second] = joined();
    let (program, nobody) = (Backend::plain(TAG), Backend::plain(0));
    let web = second.proxy("web", program.address, &json!([]));
    let local = SocketAddr::from((free_host(), 9191));
    let upstream = json!([{
        "DestinationName": "web", "Datacenter": "dc2",
        "LocalBindAddress": local.ip().to_string(), "LocalBindPort": local.port(),
    }]);
    let _client = first.proxy("client", nobody.address, &upstream);
    let caller = Caller::new(&first.identity("client"));
    let target = second.target("web");
    until("Consul's own sidecar reaches the other datacenter", || through_the_proxy(local).ok());

    let [by_proxy, by_caller] = [Requests::default(), Requests::default()];
    let all = [&by_proxy, &by_caller];
    thread::scope(|scope| {
        let proxied = &by_proxy;
        let ask = move || through_the_proxy(local).map_err(|error| error.to_string());
        let proxy = scope.spawn(move || proxied.run(ask));
        let direct = scope.spawn(|| by_caller.run(|| straight(&caller, web.address, &target)));
        let ended = Ending(&all);
        gateways_come_and_go([&first, &second], &caller, &target, &all);
        drop(ended);
        for (thread, what) in [(proxy, "Consul's own sidecar"), (direct, "straight")] {
            assert_eq!(thread.join().unwrap(), Vec::<String>::new(), "{what}");
        }
    });
    let counts = all.map(|requests| requests.answered.load(Ordering::Relaxed));
    println!("figure: requests beside the gateways, none failed: {counts:?}");
}

/// Ends requests also when the test fails: otherwise it would wait for them for ever.
struct Ending<'a>(&'a [&'a Requests; 2]);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|requests| requests.ends.store(true, Ordering::Relaxed));
    }
}
