//! What a service manager hears: this test plays systemd on a socket of its own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::support::*;

struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(folder: &Folder) -> Self {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, path }
    }

    /// A command that starts the gateway with the words that follow, as systemd does.
    fn command(&self, watchdog: Option<Duration>) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sluice")]);
        shell.env("NOTIFY_SOCKET", &self.path);
        if let Some(watchdog) = watchdog {
            shell.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        shell
    }

    /// The next message, if one comes in time.
    fn next(&self) -> Option<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(std::str::from_utf8(&message[..length]).unwrap().to_owned())
    }

    /// Waits for a message with this line, and returns it with all that came before it.
    fn hear(&self, what: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let message = self.next().unwrap_or_else(|| panic!("never {what}: {before:?}"));
            if message.lines().any(|line| line == what || line.starts_with(what)) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a line.
fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    message.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {message:?}"))
}

#[test]
fn the_service_manager_hears_of_readiness_life_and_end() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    // Idle workers turn once a second by themselves; the manager waits for less.
    let shell = manager.command(Some(Duration::from_millis(400)));
    let flags = ["--drain-delay", "2s", "--workers", "2"];
    let mut gateway = Gateway::start_with(shell, &folder, ROUTE, &flags);
    let (ready, _) = manager.hear("READY=1");
    assert!(value(&ready, "STATUS").contains("on 2 workers"), "{ready}");
    let begun = Instant::now();
    (0..10).for_each(|_| drop(manager.hear("WATCHDOG=1")));
    assert!(begun.elapsed() < Duration::from_secs(8), "it beats by the manager's clock");
    gateway.signal(Signal::SIGTERM);
    let (stopping, _) = manager.hear("STOPPING=1");
    assert_eq!(value(&stopping, "STATUS"), "Draining 0 sessions");
    manager.hear("WATCHDOG=1");
    manager.hear("EXTEND_TIMEOUT_USEC=");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_reload_is_over_when_the_new_routes_are_in_force() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let gateway = Gateway::start_with(manager.command(None), &folder, ROUTE, &[]);
    manager.hear("READY=1");
    let reload = |text: &str| {
        let before_us = sluice::sys::process::monotonic_us();
        folder.routes(text);
        gateway.signal(Signal::SIGHUP);
        let (reloading, _) = manager.hear("RELOADING=1");
        let at_us: u64 = value(&reloading, "MONOTONIC_USEC").parse().unwrap();
        assert!((before_us..=sluice::sys::process::monotonic_us()).contains(&at_us));
        let (ready, between) = manager.hear("READY=1");
        assert_eq!(between, [""; 0]);
        let (_, found) = gateway.get(&format!("/routes?sni={NAME}")).unwrap();
        (value(&ready, "STATUS").to_owned(), found["endpoints"][0]["address"].clone())
    };
    let (status, leads_to) = reload(&ROUTE.replace(":9", ":8"));
    assert_eq!(leads_to, "127.0.0.1:8");
    assert!(!status.contains("wrong"), "{status}");
    let (status, leads_to) = reload("[[route]]\nsni = \"half");
    assert_eq!(leads_to, "127.0.0.1:8");
    assert!(status.contains("Serving") && status.contains("file is wrong"), "{status}");
    let (status, leads_to) = reload(&ROUTE.replace(":9", ":7"));
    assert_eq!(leads_to, "127.0.0.1:7");
    assert!(!status.contains("wrong"), "{status}");
}

#[test]
fn a_reload_says_what_of_the_configuration_was_not_taken() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let file = as_text(&folder.path().join("sluice.toml"));
    fs::write(&file, "pipes = 8\n").unwrap();
    let flags = ["--config", &file];
    let gateway = Gateway::start_with(manager.command(None), &folder, ROUTE, &flags);
    manager.hear("READY=1");
    let status_with = |text: &str| {
        fs::write(&file, text).unwrap();
        gateway.signal(Signal::SIGHUP);
        manager.hear("RELOADING=1");
        value(&manager.hear("READY=1").0, "STATUS").to_owned()
    };
    let status = status_with("pipes = 9\nrefuse = \"reset\"\n");
    assert!(status.ends_with("; needs a restart: pipes"), "{status}");
    let status = status_with("pipes = \n");
    assert!(status.ends_with("; the configuration is wrong, and the one before it is kept"));
    let status = status_with("pipes = 8\n");
    assert!(status.starts_with("Serving with ") && !status.contains(';'), "{status}");
}

#[test]
fn without_a_table_it_is_not_ready_and_says_what_it_waits_for() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let gateway = manager
        .command(None)
        .args(["run", "--register", "--bind", "127.0.0.1:0", "--admin-bind", "off"])
        .args(["--http-addr", "127.0.0.1:1", "--drain-delay", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut gateway = Killed(gateway);
    let (starting, before) = manager.hear("STATUS=");
    assert!(starting.contains("Consul has not answered") && before.is_empty(), "{starting}");
    // It is to be waited for, again and again.
    let (_, before) = manager.hear("EXTEND_TIMEOUT_USEC=30000000");
    assert_eq!(before, [""; 0]);
    let (_, before) = manager.hear("EXTEND_TIMEOUT_USEC=30000000");
    assert_eq!(before, [""; 0]);
    kill(Pid::from_raw(gateway.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    let (_, before) = manager.hear("STOPPING=1");
    assert!(!before.iter().any(|message| message.contains("READY=1")), "{before:?}");
    assert_eq!(gateway.0.wait().unwrap().code(), Some(0));
}

/// A thread of another process that does not run, while the others do. Its process does not end
/// before this is dropped: a thread that is traced is waited for by who traces it.
struct StoppedThread(Pid);

impl StoppedThread {
    fn new(thread: Pid) -> Self {
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None).is_err() {
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
        }
    }
}

#[test]
fn a_worker_that_stands_still_ends_the_signs_of_life_and_then_the_gateway() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let shell = manager.command(Some(Duration::from_millis(400)));
    let mut gateway = Gateway::start_with(shell, &folder, ROUTE, &["--workers", "2"]);
    manager.hear("WATCHDOG=1");
    let tasks = format!("/proc/{}/task", gateway.child.id());
    let threads: BTreeSet<i32> = fs::read_dir(tasks)
        .unwrap()
        .map(|task| task.unwrap().path())
        .filter(|task| fs::read_to_string(task.join("comm")).unwrap() == "sluice-1\n")
        .map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(threads.len(), 1);
    // Of all threads, this one stops.
    let stopped = StoppedThread::new(Pid::from_raw(*threads.first().unwrap()));
    // What was sent before it stopped.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.next().is_some() {}
    manager.socket.set_nonblocking(false).unwrap();
    // One beat may be of turns made before.
    let line = gateway.wait_for_line("stood still");
    assert!(line.contains("worker 1"), "{line}");
    manager.socket.set_nonblocking(true).unwrap();
    let beats = std::iter::from_fn(|| manager.next()).filter(|m| m.contains("WATCHDOG=1")).count();
    assert!(beats <= 1, "{beats} signs of life of a gateway that stands still");
    drop(stopped);
    assert_eq!(gateway.wait().code(), Some(81));
}
