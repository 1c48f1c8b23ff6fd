//! What happens when something runs out, or when the process stands still.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::ends::{Session, transfer};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, expect, expect_end};
use crate::support::{Engine, Gateway, process};

on_both_engines!(
    alone: accepting_pauses_without_descriptors_and_recovers,
    a_stopped_process_loses_nothing,
);

const NAME: &str = "api.example";
const INTERNAL_ERROR: [u8; 7] = [21, 3, 1, 0, 2, 2, 80];

fn accepting_pauses_without_descriptors_and_recovers(engine: Engine) {
    let Session { gateway, backend, mut client, mut upstream } = Session::new(engine);
    let pid = gateway.pid();
    // Whatever number was free below the highest: none is now.
    limit_descriptors(pid, 3);
    let wire = Hello::to(NAME).wire();
    let mut waiting: Vec<TcpStream> = (0..30).map(|_| gateway.connect()).collect();
    for client in &mut waiting {
        client.write_all(&wire).unwrap();
    }
    gateway_pauses(pid);
    // The session that stands goes on: a direction that needs a pipe, and gets none, copies.
    transfer(&mut client, &mut upstream, 1, 3 << 20);
    transfer(&mut upstream, &mut client, 2, 3 << 20);
    limit_descriptors(pid, 4096);
    let refused = told_why(&waiting[..]);
    assert!(refused.len() <= 10, "{} of 30 refused, not left to wait", refused.len());
    let served = waiting.into_iter().enumerate().filter(|(index, _)| !refused.contains(index));
    serve(&gateway, &backend, served.map(|(_, client)| client).collect(), &wire);
    drop((client, upstream));
    let stats = gateway.wait_until_quiet();
    assert!(stats.get("accept_paused") > 0, "{stats:#?}");
    assert_eq!(stats.refused("out_of_resources"), refused.len() as u64);
    assert_eq!((stats.refused_in_all(), stats.get("reset")), (refused.len() as u64, 0));
}

/// Those who were accepted nevertheless, and told that there is nothing to dial with: an accept
/// that stands in a ring goes by the limit of the time when it was asked for.
fn told_why(clients: &[TcpStream]) -> Vec<usize> {
    let is_told = |client: &TcpStream| {
        client.set_nonblocking(true).unwrap();
        let mut alert = [0; 7];
        let told = client.peek(&mut alert).is_ok();
        client.set_nonblocking(false).unwrap();
        assert!(!told || alert == INTERNAL_ERROR, "{alert:?}");
        told
    };
    (0..clients.len()).filter(|&index| is_told(&clients[index])).collect()
}

/// Sees that a process which cannot accept does not spin on it.
fn gateway_pauses(pid: u32) {
    let before = process::processor_time(pid);
    std::thread::sleep(Duration::from_secs(1));
    let spent = process::processor_time(pid) - before;
    assert!(spent <= Duration::from_millis(100), "{spent:?} in a second without descriptors");
}

fn limit_descriptors(pid: u32, soft: usize) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]);
    let status = command.status().unwrap();
    assert!(status.success(), "prlimit: {status}");
}

fn a_stopped_process_loses_nothing(engine: Engine) {
    let Session { gateway, backend, mut client, mut upstream } =
        Session::with_flags(engine, &[("--hello-timeout", "5s"), ("--idle-timeout", "10s")]);
    transfer(&mut client, &mut upstream, 1, 1 << 20);
    gateway.signal(Signal::SIGSTOP);
    let wire = Hello::to(NAME).wire();
    let mut waiting: Vec<TcpStream> = (0..200).map(|_| gateway.connect()).collect();
    for client in &mut waiting {
        client.write_all(&wire).unwrap();
    }
    client.write_all(b"while it stands still").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    gateway.signal(Signal::SIGCONT);
    expect(&mut upstream, b"while it stands still");
    serve(&gateway, &backend, waiting, &wire);
    transfer(&mut upstream, &mut client, 2, 1 << 20);
    drop((client, upstream));
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("accepted"), stats.get("routed")), (201, 201), "{stats:#?}");
    assert_eq!((stats.refused_in_all(), stats.get("idle_closed")), (0, 0), "{stats:#?}");
}

/// Serves those who wait, and waits until only the session that was there before is left.
fn serve(gateway: &Gateway, backend: &Backend, clients: Vec<TcpStream>, wire: &[u8]) {
    for _ in 0..clients.len() {
        let mut upstream = backend.accept_expecting(wire);
        upstream.write_all(b"answer").unwrap();
    }
    for mut client in clients {
        expect_end(&mut client, b"answer");
    }
    gateway.wait_for("only one session left", |stats| stats.get("sessions") == 1);
}
