//! The gateway under test: the real binary, as a process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::directory::Directory;
use super::{Engine, SOON, eventually, process};

/// How a gateway is to be started.
pub struct Plan {
    engine: &'static str,
    flags: Vec<String>,
    launcher: Vec<String>,
    routes: String,
    user: Option<u32>,
    address: Option<SocketAddr>,
}

impl Plan {
    /// A gateway on an engine, with a text for its routes file.
    pub fn new(engine: Engine, routes: impl Into<String>) -> Self {
        Self {
            engine: engine.name(),
            flags: Vec::new(),
            launcher: Vec::new(),
            routes: routes.into(),
            user: None,
            address: None,
        }
    }

    /// With `--engine auto`.
    pub fn automatic(mut self) -> Self {
        self.engine = "auto";
        self
    }

    /// With a flag and its value.
    pub fn flag(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Through a program that replaces itself with the gateway, as setpriv(1) does.
    pub fn launched_by(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// As another user, which takes root.
    pub fn run_as(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// At an address that was in use before.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.wait_until_ready();
        gateway
    }

    /// Starts it without waiting.
    pub fn spawn(self) -> Gateway {
        let directory = Directory::new();
        let routes = directory.path().join("routes.toml");
        fs::write(&routes, &self.routes).unwrap();
        let log = directory.path().join("log");
        let address = self.address.unwrap_or_else(free_address);
        let admin = free_address();
        // A test that is killed takes its gateways with it.
        let mut words = vec!["setpriv".to_owned(), "--pdeathsig=KILL".to_owned()];
        if let Some(user) = self.user {
            words.extend([format!("--reuid={user}"), format!("--regid={user}")]);
            words.push("--clear-groups".to_owned());
        }
        words.push("--".to_owned());
        words.extend(self.launcher);
        let binary = binary(self.user.is_some().then(|| directory.path()));
        words.push(binary.to_str().unwrap().to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("run").arg("--routes").arg(&routes);
        command.args(["--bind", &address.to_string(), "--admin-bind", &admin.to_string()]);
        command.args(["--engine", self.engine]).args(&self.flags);
        let output = fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        Gateway { child, address, admin, log, _directory: directory }
    }
}

/// A running gateway. Killed and waited for when dropped.
pub struct Gateway {
    child: Child,
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// Where it answers HTTP.
    pub admin: SocketAddr,
    log: PathBuf,
    _directory: Directory,
}

impl Gateway {
    /// A gateway that sends each of the names to an address.
    pub fn start(engine: Engine, routes: &[(&str, SocketAddr)]) -> Self {
        Plan::new(engine, routes_text(routes)).start()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// All that it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it ends, and says how.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let status = eventually(|| self.child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("the gateway did not exit\n{}", self.log()))
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The status of GET /ready; nothing if nobody answers.
    pub fn readiness(&self) -> Option<u16> {
        get(self.admin, "/ready").ok().map(|(status, _)| status)
    }

    /// What it counts, summed over its workers.
    pub fn stats(&self) -> Stats {
        let (status, body) = get(self.admin, "/stats")
            .unwrap_or_else(|error| panic!("GET /stats: {error}\n{}", self.log()));
        assert_eq!(status, 200, "{body}");
        Stats::parse(&body)
    }

    /// Waits until its counters are as they should be.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut(&Stats) -> bool) -> Stats {
        let mut last = None;
        let found = eventually(|| {
            let stats = self.stats();
            let found = holds(&stats).then(|| stats.clone());
            last = Some(stats);
            found
        });
        found.unwrap_or_else(|| panic!("never: {what}; last {last:#?}\n{}", self.log()))
    }

    /// Waits until no session, pipe or hello buffer is in use.
    pub fn wait_until_quiet(&self) -> Stats {
        self.wait_for("quiet", |stats| {
            ["sessions", "pipes_lent", "buffers_lent"].iter().all(|name| stats.get(name) == 0)
        })
    }

    /// A connection to it.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, SOON).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + SOON;
        while self.readiness() != Some(200) {
            if let Some(status) = self.exited() {
                panic!("the gateway ended at its start: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the gateway is never ready\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the gateway at {}:\n{}", self.address, self.log());
        }
    }
}

/// What a gateway counts, summed over its workers.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The engine in use.
    pub engine: String,
    counts: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
}

impl Stats {
    /// A counter or gauge.
    pub fn get(&self, name: &str) -> u64 {
        *self.counts.get(name).unwrap_or_else(|| panic!("no '{name}' in {self:#?}"))
    }

    /// Connections refused for a reason.
    pub fn refused(&self, reason: &str) -> u64 {
        *self.refused.get(reason).unwrap_or_else(|| panic!("no reason '{reason}' in {self:#?}"))
    }

    /// Connections refused for whatever reason.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    fn parse(body: &str) -> Self {
        let root: serde_json::Value = serde_json::from_str(body).unwrap();
        let engine = root["engine"].as_str().unwrap_or_default().to_owned();
        let mut stats = Self { engine, ..Self::default() };
        for worker in root["workers"].as_array().unwrap() {
            stats.add(worker, false);
        }
        stats
    }

    fn add(&mut self, value: &serde_json::Value, is_refused: bool) {
        for (name, value) in value.as_object().into_iter().flatten() {
            if let Some(number) = value.as_u64() {
                let counts = if is_refused { &mut self.refused } else { &mut self.counts };
                *counts.entry(name.clone()).or_default() += number;
            } else {
                self.add(value, name == "refused");
            }
        }
    }
}

/// A routes file that sends each of the names to an address.
pub fn routes_text(routes: &[(&str, SocketAddr)]) -> String {
    routes.iter().map(|&(name, to)| route(name, &[to], "")).collect()
}

/// One route of a routes file, with more lines for it.
pub fn route(name: &str, endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|to| format!("\"{to}\"")).collect();
    format!("[[route]]\nsni = \"{name}\"\nendpoints = [{}]\n{more}\n", endpoints.join(", "))
}

/// An address of loopback that nobody listens at. Its network belongs to this process, and its
/// ports are below those that the system hands out, so that it stays free until it is used.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let pid = std::process::id();
    let host = Ipv4Addr::new(127, 64 | (pid >> 16) as u8, (pid >> 8) as u8, pid as u8);
    loop {
        let address = SocketAddr::from((host, NEXT.fetch_add(1, Ordering::Relaxed)));
        // Asked without a listener: a process that another thread starts meanwhile would have a
        // copy of it until its exec, and the address would be in use.
        if TcpStream::connect(address).is_err() {
            return address;
        }
    }
}

/// The binary: `SLUICE_E2E_BINARY`, or the one built with the tests. Copied to a directory, if
/// one is given, because another user may be unable to reach it where it is.
fn binary(copied_to: Option<&Path>) -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_sluice"));
    let binary = std::env::var_os("SLUICE_E2E_BINARY").map_or_else(built, PathBuf::from);
    let Some(directory) = copied_to else { return binary };
    let copy = directory.join("sluice");
    fs::copy(&binary, &copy).unwrap();
    copy
}

/// One HTTP request; the status and the body.
fn get(admin: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let malformed = || std::io::Error::other(format!("malformed answer: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(malformed)?, body.to_owned()))
}

/// What a gateway holds when it is at rest, to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    descriptors: usize,
    resident_bytes: u64,
}

impl Baseline {
    /// As it is now.
    pub fn of(gateway: &Gateway) -> Self {
        gateway.wait_until_quiet();
        Self {
            descriptors: process::descriptors_except_pipes(gateway.pid()),
            resident_bytes: process::resident_bytes(gateway.pid()),
        }
    }

    /// Asserts that the gateway came back to it, but for so much memory, and for idle pipes.
    pub fn assert_restored(self, gateway: &Gateway, more_bytes: u64) {
        let stats = gateway.wait_until_quiet();
        let pid = gateway.pid();
        let now = eventually(|| {
            let now = process::descriptors_except_pipes(pid);
            (now <= self.descriptors).then_some(now)
        });
        assert!(now.is_some(), "descriptors left: {:#?}", process::descriptors(pid));
        let pipe_ends =
            process::descriptors(pid).iter().filter(|to| to.starts_with("pipe:")).count() as u64;
        let spare = 2 * (stats.get("pipes_idle") + 4);
        assert!(pipe_ends <= spare, "{pipe_ends} ends of pipes, {spare} at most expected");
        let grown = process::resident_bytes(pid).saturating_sub(self.resident_bytes);
        assert!(grown <= more_bytes, "memory grew by {grown} bytes, {more_bytes} allowed");
    }
}
