//! A gateway: the real binary, as a process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::datacenter::Datacenter;
use crate::support::directory::Directory;
use crate::support::hosts::free_host;
use crate::support::process::Process;
use crate::support::until;

const BINARY: &str = env!("CARGO_BIN_EXE_sluice");

/// Both engines, by their names on the command line.
pub const ENGINES: [&str; 2] = ["io_uring", "epoll"];

/// A gateway to be started; more than once, at the same addresses, when it is cloned.
#[derive(Clone)]
pub struct Launch {
    engine: &'static str,
    host: Ipv4Addr,
    wan: SocketAddr,
    words: Vec<String>,
}

/// A running gateway. Killed when dropped.
pub struct Sluice {
    pub engine: &'static str,
    /// Where sidecars of its datacenter dial it.
    pub lan: SocketAddr,
    /// Where other datacenters do.
    pub wan: SocketAddr,
    process: Option<Process>,
    directory: Directory,
}

impl Launch {
    /// A gateway of a datacenter, which says neither who it is nor what it accepts on.
    pub fn new(datacenter: &Datacenter, engine: &'static str) -> Self {
        let (host, wan) = (free_host(), SocketAddr::from((free_host(), 8444)));
        let launch = Self { engine, host, wan, words: Vec::new() };
        launch
            .flag("--http-addr", datacenter.url())
            .flag("--engine", engine)
            .flag("--workers", 1)
            .flag("--admin-bind", SocketAddr::from((host, 19_000)))
            .flag("--drain-delay", "0")
            .flag("--drain-timeout", "1s")
            .flag("--drain-spread", "0")
    }

    /// One that registers itself under an id, with an address for each side.
    pub fn registered(datacenter: &Datacenter, engine: &'static str, id: &str) -> Self {
        let launch = Self::new(datacenter, engine);
        let (lan, wan) = (launch.lan(), launch.wan);
        launch
            .word("--register")
            .flag("--proxy-id", id)
            .flag("--address", lan)
            .flag("--wan-address", wan)
    }

    /// One whose registration, under an id, is the affair of others.
    pub fn defined(datacenter: &Datacenter, engine: &'static str, id: &str) -> Self {
        let launch = Self::new(datacenter, engine);
        let (lan, wan) = (launch.lan(), launch.wan);
        launch.flag("--proxy-id", id).flag("--bind", lan).flag("--bind", wan)
    }

    pub fn lan(&self) -> SocketAddr {
        SocketAddr::from((self.host, 8443))
    }

    pub fn wan(&self) -> SocketAddr {
        self.wan
    }

    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    pub fn flag(self, flag: &str, value: impl ToString) -> Self {
        self.word(flag).word(&value.to_string())
    }

    /// Starts it, and waits until it has routes.
    pub fn start(self) -> Sluice {
        let directory = Directory::new();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut words = vec!["run"];
        words.extend(self.words.iter().map(String::as_str));
        let process = Process::start(Path::new(BINARY), &words, log);
        let (lan, Self { engine, wan, .. }) = (self.lan(), self);
        let mut sluice = Sluice { engine, lan, wan, process: Some(process), directory };
        until("a gateway is ready", || {
            assert!(sluice.is_running(), "it ended at its start:\n{}", sluice.log());
            sluice.try_get("/ready").filter(|(status, _)| *status == 200).map(drop)
        });
        sluice
    }
}

/// A gateway for each engine, which register themselves.
pub fn both_engines(datacenter: &Datacenter) -> [Sluice; 2] {
    ENGINES
        .map(|engine| Launch::registered(datacenter, engine, &format!("gateway-{engine}")).start())
}

impl Sluice {
    /// All that it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// SIGKILL: it tells nobody.
    pub fn kill(&mut self) {
        self.process.take().expect("it does not run");
    }

    /// SIGSTOP: connections still go to it, and nothing comes back.
    pub fn pause(&self) {
        self.process.as_ref().expect("it does not run").signal(Signal::SIGSTOP);
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) {
        let process = self.process.take().expect("it does not run");
        process.signal(Signal::SIGTERM);
        process.wait();
    }

    /// A counter of its workers' together.
    pub fn count(&self, name: &str) -> u64 {
        let totals = &self.get("/stats")["totals"];
        totals[name].as_u64().unwrap_or_else(|| panic!("no '{name}' in {totals:#}"))
    }

    /// Connections refused for a reason.
    pub fn refused(&self, reason: &str) -> u64 {
        let refused = &self.get("/stats")["totals"]["refused"];
        refused[reason].as_u64().unwrap_or_else(|| panic!("no '{reason}' in {refused:#}"))
    }

    /// Connections refused for any reason.
    pub fn refused_in_all(&self) -> u64 {
        let refused = &self.get("/stats")["totals"]["refused"];
        refused.as_object().unwrap().values().filter_map(Value::as_u64).sum()
    }

    /// How often it dialed a cluster, by its name.
    pub fn dials_of(&self, cluster: &str) -> u64 {
        let (_, page) = self.try_get("/metrics").unwrap_or_else(|| panic!("no answer"));
        let series = format!("sluice_cluster_dials_total{{cluster=\"{cluster}\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// What its admin server answers.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.page(path)).unwrap()
    }

    /// The same as text.
    pub fn page(&self, path: &str) -> String {
        let answer = self.try_get(path);
        let (status, body) = answer.unwrap_or_else(|| panic!("no answer\n{}", self.log()));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// `sluice routes`: whether it exits with 0, and what it prints.
    pub fn routes(&self, words: &[&str]) -> (bool, String) {
        let admin = self.admin().to_string();
        let mut command = Command::new(BINARY);
        command.args(["routes", "--admin", &admin]).args(words);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.lan.ip(), 19_000)
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin()).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: gateway\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Sluice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the gateway at {} ({}):\n{}", self.lan, self.engine, self.log());
        }
    }
}
