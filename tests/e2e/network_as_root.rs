//! Failures of the network, in a network namespace of the test's own.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

use crate::support::gateway::{Gateway, Plan, route};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, expect, expect_end};
use crate::support::{Engine, SOON, process};

on_both_engines!(local_ports_run_out, an_unreachable_endpoint_fails_at_once,);

const NAME: &str = "api.example";
const INTERNAL_ERROR: [u8; 7] = [21, 3, 1, 0, 2, 2, 80];
const PORT_COUNT: usize = 100;

/// Moves this thread, and the processes it starts, into a network namespace of their own.
fn enter_own_network() {
    assert!(process::is_root(), "this test needs root; leave it out with --skip as_root");
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
}

fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status().unwrap();
    assert!(status.success(), "{program} {words:?}: {status}");
}

/// A connection from a port outside of the range that runs out.
fn connect_from(port: u16, gateway: &Gateway) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], port)).into()).unwrap();
    socket.connect(&gateway.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn local_ports_run_out(engine: Engine) {
    enter_own_network();
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "50001 50100").unwrap();
    let backend = Backend::new();
    let gateway = Plan::new(engine, route(NAME, &[backend.address], "")).start();
    let wire = Hello::to(NAME).wire();
    let mut live = Vec::new();
    let mut refused = 0;
    for port in (20_000..).take(PORT_COUNT + 20) {
        let mut client = connect_from(port, &gateway);
        client.write_all(&wire).unwrap();
        if live.len() < PORT_COUNT {
            live.push((client, backend.accept_expecting(&wire)));
        } else {
            expect_end(&mut client, &INTERNAL_ERROR);
            refused += 1;
        }
    }
    // The last one refused is a session until its client has closed, too.
    let stats = gateway.wait_for("refusals, and only those that live are left", |stats| {
        stats.refused("out_of_resources") == refused && stats.get("sessions") == PORT_COUNT as u64
    });
    assert_eq!(stats.refused_in_all(), refused);
    // The backends close first, so that none of the gateway's ports has to wait.
    for (mut client, mut upstream) in live {
        upstream.write_all(b"answer").unwrap();
        drop(upstream);
        expect_end(&mut client, b"answer");
    }
    gateway.wait_until_quiet();
    let mut client = connect_from(30_000, &gateway);
    client.write_all(&wire).unwrap();
    let mut upstream = backend.accept_expecting(&wire);
    upstream.write_all(b"again").unwrap();
    expect(&mut client, b"again");
}

fn an_unreachable_endpoint_fails_at_once(engine: Engine) {
    enter_own_network();
    run("ip", &["route", "add", "unreachable", "192.0.2.0/24"]);
    let backend = Backend::new();
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 443));
    let gateway = Plan::new(engine, route(NAME, &[nowhere, backend.address], "")).start();
    let wire = Hello::to(NAME).wire();
    for _ in 0..10 {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        backend.accept_expecting(&wire).write_all(b"answer").unwrap();
        expect_end(&mut client, b"answer");
    }
    let stats = gateway.wait_until_quiet();
    let failed = stats.get("dials_failed");
    assert!(failed > 0 && stats.get("dials_retried") == failed, "{stats:#?}");
    assert_eq!((stats.get("dials_timed_out"), stats.refused_in_all()), (0, 0));
}
