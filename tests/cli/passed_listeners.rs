//! Listeners that a service manager has opened and passes on.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::support::*;

/// Listens so often on an address, and goes on as the gateway with these as descriptors from 3 on.
const PASS: &str = "
import fcntl, os, signal, socket, sys
# A gateway that was to be refused and serves is ended by this.
signal.alarm(60)
address, count = sys.argv[1].rsplit(':', 1), int(sys.argv[2])
passed = []
for _ in range(count):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((address[0], int(address[1])))
    listener.listen(100)
    passed.append(fcntl.fcntl(listener, fcntl.F_DUPFD, 100))
for number, descriptor in enumerate(passed, 3):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES='sluice')
os.execv(sys.argv[3], sys.argv[3:])
";

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn passing(address: SocketAddr, count: u16) -> Command {
    let mut command = Command::new("python3");
    let words = [address.to_string(), count.to_string(), env!("CARGO_BIN_EXE_sluice").to_owned()];
    command.args(["-c", PASS]).args(words);
    command
}

#[test]
fn every_worker_serves_the_listener_passed_for_it() {
    let folder = Folder::new();
    let address = free_address();
    for engine in ["io_uring", "epoll"] {
        if engine == "io_uring" && sluice::kernel::uring::probe().is_err() {
            continue;
        }
        let flags = ["--bind", &address.to_string(), "--workers", "2", "--engine", engine];
        let gateway =
            Gateway::start_with(passing(address, 2), &folder, &route_to(backend()), &flags);
        assert_eq!(gateway.address, address);
        for _ in 0..60 {
            Session::open(address).echo(b"through a listener that was passed on");
        }
        let (_, stats) = gateway.get("/stats").unwrap();
        assert_eq!(stats["totals"]["routed"], 60);
        for worker in stats["workers"].as_array().unwrap() {
            assert!(worker["routed"].as_u64().unwrap() > 0, "{engine}: a worker got none: {stats}");
        }
    }
}

fn refusal(command: &mut Command, bind: SocketAddr, workers: &str) -> String {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let Output { status, stderr, .. } = command
        .args(["run", "--routes", &routes, "--bind", &bind.to_string()])
        .args(["--admin-bind", "off", "--workers", workers])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), status.signal()), (Some(78), None), "{said}");
    said
}

#[test]
fn what_no_worker_would_serve_is_refused() {
    let (address, other) = (free_address(), free_address());
    let few = refusal(&mut passing(address, 1), address, "2");
    assert!(few.contains(&format!("ListenStream={address} 2 times")), "{few}");
    assert!(few.contains("ReusePort=yes") && few.contains("--workers 1"), "{few}");
    let many = refusal(&mut passing(address, 3), address, "2");
    assert!(many.contains("passed 3 listeners"), "{many}");
    let unasked = refusal(&mut passing(address, 1), other, "1");
    assert!(unasked.contains(&address.to_string()) && unasked.contains("--bind"), "{unasked}");
}

#[test]
fn systemds_own_way_of_passing_is_understood() {
    const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
    if std::fs::metadata(ACTIVATE).is_err() {
        println!("left out: {ACTIVATE} is not here");
        return;
    }
    let folder = Folder::new();
    let address = free_address();
    let mut command = Command::new(ACTIVATE);
    command.args(["-l", &address.to_string(), env!("CARGO_BIN_EXE_sluice")]);
    // It starts the gateway when somebody connects.
    let first = std::thread::spawn(move || {
        let mut session = None;
        until("systemd listens", || {
            session = std::net::TcpStream::connect(address).ok();
            session.is_some()
        });
        Session::begin(session.unwrap()).echo(b"who connected first");
    });
    let flags = ["--bind", &address.to_string(), "--workers", "1"];
    let gateway = Gateway::start_with(command, &folder, &route_to(backend()), &flags);
    first.join().unwrap();
    Session::open(address).echo(b"and who came later");
    assert_eq!(gateway.get("/stats").unwrap().1["totals"]["routed"], 2);
}
