//! The gateway serves a registration that others made, in a file of the agent's.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::hosts::free_host;
use crate::support::program::{ENGINES, Launch, Program};
use crate::support::scene::register_service;
use crate::support::steady_traffic::SteadyTraffic;
use crate::support::until;

const ID: &str = "gateway-of-others";
const CHECK: &str = "sluice:gateway-of-others";
const FILE: &str = "gateway.json";
const PORT: u16 = 8443;

/// A definition whose listener is not at its address, as behind a load balancer.
fn defined(bind: Ipv4Addr, connect_timeout_ms: u32) -> Value {
    json!({
        "kind": "mesh-gateway", "id": ID, "name": "mesh-gateway",
        "address": "192.0.2.7", "port": 443,
        "tagged_addresses": { "wan": { "address": "192.0.2.8", "port": 443 } },
        "proxy": { "config": {
            "connect_timeout_ms": connect_timeout_ms,
            "envoy_gateway_no_default_bind": true,
            "envoy_gateway_bind_addresses": {
                "main": { "address": bind.to_string(), "port": PORT },
                "more": { "address": bind.to_string(), "port": PORT + 1 },
            },
        }},
    })
}

fn launch(engine: &str, datacenter: &Datacenter) -> Launch {
    Launch::new(engine, &datacenter.url()).flag("--proxy-id", ID)
}

fn wait_for_check(datacenter: &Datacenter, status: &str) {
    until(&format!("the check is {status}"), || {
        (datacenter.agent_check(CHECK)?.0 == status).then_some(())
    });
}

#[test]
fn it_accepts_where_the_definition_says_and_reloads_leave_it_alone() {
    let datacenter = Plan::new("dc1").start();
    let echo = register_service(&datacenter);
    for engine in ENGINES {
        let bind = free_host();
        let path = datacenter.write_service(FILE, &defined(bind, 3000));
        datacenter.reload();
        let (file, before) = (fs::read(&path).unwrap(), datacenter.service(ID));
        let mut gateway = launch(engine, &datacenter).start_ready();
        wait_for_check(&datacenter, "passing");
        let traffic: Vec<SteadyTraffic> = [PORT, PORT + 1]
            .map(|port| SteadyTraffic::start(&echo, SocketAddr::from((bind, port))))
            .into();
        for _ in 0..3 {
            datacenter.reload();
            assert_eq!(datacenter.agent_check(CHECK).unwrap().0, "passing");
            assert_eq!(datacenter.service(ID), before);
        }
        // Others may change what they defined, and it stays theirs.
        datacenter.write_service(FILE, &defined(bind, 4000));
        datacenter.reload();
        assert_eq!(datacenter.agent_check(CHECK).unwrap().0, "passing");
        let changed = datacenter.service(ID).unwrap();
        assert_eq!(changed["Proxy"]["Config"]["connect_timeout_ms"], 4000);
        fs::write(&path, &file).unwrap();
        datacenter.reload();
        traffic.iter().for_each(|traffic| traffic.must_flow("through reloads"));
        for through in traffic {
            assert!(through.end() > 0);
        }
        gateway.signal(Signal::SIGINT);
        wait_for_check(&datacenter, "critical");
        gateway.signal(Signal::SIGINT);
        assert_eq!(gateway.wait_exit(), Some(0), "{}", gateway.text());
        assert_eq!(datacenter.service(ID), before);
        assert_eq!(fs::read(&path).unwrap(), file);
    }
}

#[test]
fn without_consul_it_accepts_where_its_state_says() {
    let mut datacenter = Plan::new("dc1").start();
    let echo = register_service(&datacenter);
    let bind = free_host();
    datacenter.write_service(FILE, &defined(bind, 3000));
    datacenter.reload();
    let folder = datacenter.path().join("state");
    let mut gateway = launch(ENGINES[0], &datacenter).path("--state-dir", &folder).start_ready();
    until("its state is saved", || folder.join("sluice.state").exists().then_some(()));
    datacenter.kill();
    gateway.kill();
    gateway.start_again();
    gateway.wait_ready();
    let line = gateway.wait_line("accepting on the addresses that were kept on disk");
    assert_eq!(line.level, "WARN");
    let traffic = SteadyTraffic::start(&echo, (bind, PORT).into());
    datacenter.start();
    wait_for_check(&datacenter, "passing");
    traffic.must_flow("when Consul is back");
    traffic.end();
}

#[test]
fn without_consul_and_state_it_waits_and_can_be_told_to_end() {
    let mut datacenter = Plan::new("dc1").start();
    let echo = register_service(&datacenter);
    let bind = free_host();
    datacenter.write_service(FILE, &defined(bind, 3000));
    datacenter.kill();
    let waiting = |engine: &str| -> Program {
        let mut gateway = launch(engine, &datacenter).start();
        let line = gateway.wait_line("waiting for it, because it says what to accept on");
        assert_eq!(line.level, "WARN");
        assert!(line.text.contains("nobody listens there"), "{}", line.text);
        gateway
    };
    let mut told_to_end = waiting(ENGINES[0]);
    told_to_end.signal(Signal::SIGTERM);
    assert_eq!(told_to_end.wait_exit(), Some(0), "{}", told_to_end.text());

    let mut gateway = waiting(ENGINES[1]);
    datacenter.start();
    gateway.wait_ready();
    echo.visit((bind, PORT).into()).unwrap();
    let lines = gateway.log();
    let waits = lines.iter().filter(|line| line.text.contains("waiting for it"));
    assert_eq!(waits.count(), 1, "{lines:#?}");
    wait_for_check(&datacenter, "passing");
}
