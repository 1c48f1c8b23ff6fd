//! What the system around the binary gives, takes and asks for.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use sluice::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_TIMEOUT};

use crate::support::*;

/// A user that has no rings but those of its test: locked memory is counted by user.
const LONELY: &str = "--reuid=64242";

/// The binary as one of few privileges, with so much memory that may be locked.
pub fn with_locked_memory(folder: &Folder, bytes: u32) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--memlock={bytes}"));
    if nix::unistd::geteuid().is_root() {
        // Where it is built, another user may not reach it.
        let copy = folder.path().join("sluice");
        if !copy.exists() {
            fs::copy(env!("CARGO_BIN_EXE_sluice"), &copy).unwrap();
        }
        command.args(["setpriv", LONELY, "--clear-groups", "--bounding-set=-all", "--"]);
        command.arg(copy);
    } else {
        command.arg(env!("CARGO_BIN_EXE_sluice"));
    }
    command
}

/// Room for one ring of the smallest size, and not for two.
const ONE_RING_BYTES: u32 = 48 * 1024;

#[test]
fn a_ring_refused_to_the_last_worker_has_all_of_them_go_on_with_epoll() {
    let folder = Folder::new();
    let flags = ["--workers", "4"];
    let backend = backend();
    let routes = route_to(backend);
    let none = Gateway::start_with(with_locked_memory(&folder, 4096), &folder, &routes, &flags);
    if none.get("/stats").unwrap().1["engine"] == "io_uring" {
        // This kernel does not count rings.
        return;
    }
    drop(none);
    let command = with_locked_memory(&folder, ONE_RING_BYTES);
    let gateway = Gateway::start_with(command, &folder, &routes, &flags);
    for _ in 0..20 {
        Session::open(gateway.address).echo(b"by epoll");
    }
    let (_, stats) = gateway.get("/stats").unwrap();
    assert_eq!((&stats["engine"], &stats["totals"]["routed"]), (&"epoll".into(), &20.into()));
    let why = stats["engine_fallback"].as_str().unwrap();
    assert!(why.contains("ulimit -l"), "{why}");
    if nix::unistd::geteuid().is_root() {
        assert!(why.contains("of 4 workers could have a ring"), "{why}");
    }
    let told: Vec<_> = gateway.passed.iter().filter(|line| line.contains("ulimit -l")).collect();
    assert_eq!(told.len(), 1, "{told:?}");

    let bind = ["run", "--bind", "127.0.0.1:0", "--admin-bind", "off", "--workers", "4"];
    let mut command = with_locked_memory(&folder, ONE_RING_BYTES);
    let file = folder.routes(&routes);
    let output =
        command.args(bind).args(["--routes", &file, "--engine", "io_uring"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(80), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--engine io_uring") && said.contains("ulimit -l"), "{said}");
}

#[test]
fn an_idle_gateway_is_small() {
    let folder = Folder::new();
    for engine in ["io_uring", "epoll"] {
        let flags = ["--workers", "2", "--engine", engine];
        if engine == "io_uring" && sluice::kernel::uring::probe().is_err() {
            continue;
        }
        let gateway = Gateway::start(&folder, ROUTE, &flags);
        let status = fs::read_to_string(format!("/proc/{}/status", gateway.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        println!("FIGURE {engine}: {kib} KiB of its own with 2 workers, idle");
        assert!(kib < 4096, "{engine}: {line}");
    }
}

#[test]
fn admin_connections_are_bounded_in_time_and_size() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    let connect = || {
        let stream = TcpStream::connect(gateway.admin).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let answer = |mut stream: TcpStream| {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let mut long = connect();
    long.write_all(b"GET /ready HTTP/1.1\r\nX: ").unwrap();
    let _ = long.write_all(&[b'x'; 4 * ADMIN_HEAD_BYTES_MAX]);
    let told = answer(long);
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 431"), "{told}");

    let mut endless = connect();
    endless
        .write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        .unwrap();
    let told = answer(endless);
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("connection: close"), "{told}");

    // All places are taken by who says nothing, or too little: the next has to wait, not for ever.
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..ADMIN_CONNECTIONS_MAX).map(|_| connect()).collect();
    silent.iter_mut().step_by(2).for_each(|stream| stream.write_all(b"GET /re").unwrap());
    assert_eq!(gateway.ready(), Some(200));
    assert!(begun.elapsed() >= ADMIN_TIMEOUT / 2, "places are limited");
    for stream in silent {
        assert_eq!(answer(stream), "", "closed without a word");
    }
}
