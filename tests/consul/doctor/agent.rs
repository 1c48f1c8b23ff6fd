//! The agent: away, behind a load balancer, with parts switched off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::json;

use super::report::Report;
use crate::support::client_agent::ClientAgent;
use crate::support::datacenter::Plan;
use crate::support::hosts::free_host;

#[test]
fn an_agent_that_is_away_is_the_one_thing_that_is_told() {
    let mut datacenter = Plan::new("dc1").start();
    datacenter.terminate();
    let report = Report::of_consul(&datacenter, &[]);
    let remedy = report.must_fail("agent", "nobody listens there");
    assert!(remedy.contains("start the agent"), "{remedy}");
    report.must("wan", "not_applicable", "cannot be asked");

    datacenter.start();
    let report = Report::of_consul(&datacenter, &[]);
    report.must_pass(&["agent", "local agent", "version", "connect", "grpc", "central config"]);
    report.must_pass(&["datacenter names"]);
    report.must("version", "pass", "1.8.7");
    report.must("token", "not_applicable", "ACLs are off");
}

#[test]
fn what_is_switched_off_is_found_and_switched_on() {
    let mut datacenter = Plan::new("dc1")
        .with("connect", json!({ "enabled": false }))
        .with("ports", json!({ "grpc": -1, "dns": -1 }))
        .with("enable_central_service_config", false.into())
        .start();
    let report = Report::of_consul(&datacenter, &[]);
    let connect = report.must_fail("connect", "Connect is off in \"dc1\"");
    let grpc = report.must("grpc", "warn", "off at this agent");
    let central = report.must_fail("central config", "off at this agent");
    // Where there are sidecars, they wait for what gRPC would bring them.
    datacenter.put_sidecar("web", "web-1", SocketAddr::from(([127, 0, 0, 1], 21_000)));
    Report::of_consul(&datacenter, &[]).must_fail("grpc", "proxies that are registered: 1");

    for (name, remedy, typed, key, value) in [
        ("connect", connect, "connect { enabled = true }", "connect", json!({ "enabled": true })),
        ("grpc", grpc, "ports { grpc = 8502 }", "ports", json!({ "grpc": 8502, "dns": -1 })),
        (
            "central config",
            central,
            "enable_central_service_config = true",
            "enable_central_service_config",
            true.into(),
        ),
    ] {
        assert!(remedy.contains(typed), "{remedy}");
        assert!(!Report::of_consul(&datacenter, &[]).passes(name), "{name} passes too early");
        datacenter.terminate();
        datacenter.set(key, value);
        datacenter.start();
        super::report::wait_for_pass(name, || Report::of_consul(&datacenter, &[]));
    }
}

#[test]
fn a_load_balancer_is_no_local_agent() {
    let datacenter = Plan::new("dc1").start();
    let [a, b] = [(); 2].map(|()| ClientAgent::start(&datacenter));
    let balancer = balance([a.host(), b.host()]);
    let report = Report::of(&["consul", "--http-addr", &balancer.to_string()]);
    let remedy = report.must_fail("local agent", "several agents answer");
    assert!(remedy.contains("--http-addr"), "{remedy}");
    Report::of(&["consul", "--http-addr", &a.url()]).must_pass(&["local agent"]);
}

/// Brings each connection to another agent than the one before.
fn balance(agents: [Ipv4Addr; 2]) -> SocketAddr {
    let listener = TcpListener::bind((free_host(), 8500)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (stream, agent) in listener.incoming().map_while(Result::ok).zip(agents.iter().cycle())
        {
            let there = TcpStream::connect((*agent, 8500)).unwrap();
            copy(stream.try_clone().unwrap(), there.try_clone().unwrap());
            copy(there, stream);
        }
    });
    address
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Either side may go away at any time.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
