//! The gateway as its operator runs it: the real binary, as a process with a log of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::directory::Directory;
use super::gateway::PORT;
use super::hosts::free_host;
use super::http::{Answer, Endpoint, ask};
use super::process::Process;
use super::until;

/// The engines that data flows through.
pub const ENGINES: [&str; 2] = ["io_uring", "epoll"];
/// The port of the admin HTTP server.
const ADMIN_PORT: u16 = 19_000;

/// How a gateway is to be started: at a host of its own, with the usual ports.
#[derive(Clone)]
pub struct Launch {
    host: Ipv4Addr,
    words: Vec<String>,
    /// The program that starts it, with its words; it must become the gateway by exec(2).
    starter: Vec<String>,
}

impl Launch {
    /// A gateway on an engine, whose agent is at an address as `CONSUL_HTTP_ADDR` has it.
    pub fn new(engine: &str, agent: &str) -> Self {
        let host = free_host();
        Self::bare(host)
            .flag("--engine", engine)
            .flag("--http-addr", agent)
            .flag("--admin-bind", &Self::admin(host))
    }

    /// One without any word that Consul knows, too. Its admin server is to be at
    /// [`Launch::admin`].
    pub fn bare(host: Ipv4Addr) -> Self {
        let words = ["run", "--log", "json", "--workers", "1"].map(str::to_owned).to_vec();
        Self { host, words, starter: Vec::new() }
    }

    /// Started by another program, which becomes the gateway.
    pub fn started_by(mut self, words: &[&str]) -> Self {
        self.starter = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Where the admin server of a gateway at a host is looked for.
    pub fn admin(host: Ipv4Addr) -> String {
        format!("{host}:{ADMIN_PORT}")
    }

    /// One that registers itself under an id.
    pub fn registered(engine: &str, agent: &str, id: &str) -> Self {
        let launch = Self::new(engine, agent).word("--register").flag("--proxy-id", id);
        let address = format!("{}:{PORT}", launch.host);
        launch.flag("--address", &address)
    }

    /// With a flag and its value.
    pub fn flag(self, flag: &str, value: &str) -> Self {
        self.word(flag).word(value)
    }

    /// With a flag and the path that it names.
    pub fn path(self, flag: &str, path: &Path) -> Self {
        self.flag(flag, path.to_str().unwrap())
    }

    /// With one more word.
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// Where it is.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Starts it without waiting for anything.
    pub fn start(self) -> Program {
        let directory = Directory::new();
        let process = spawn(&self, directory.path());
        Program { process, launch: self, directory }
    }

    /// Starts it, and waits until it is ready to route.
    pub fn start_ready(self) -> Program {
        let mut program = self.start();
        program.wait_ready();
        program
    }
}

/// A running gateway. Killed and waited for when dropped.
pub struct Program {
    process: Process,
    launch: Launch,
    directory: Directory,
}

impl Program {
    /// Where it accepts connections.
    pub fn address(&self) -> SocketAddr {
        (self.launch.host, PORT).into()
    }

    /// The host that it has for itself.
    pub fn host(&self) -> Ipv4Addr {
        self.launch.host
    }

    /// Where its log is.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL: it tells nobody.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again as it was started; its log goes on.
    pub fn start_again(&mut self) {
        assert!(!self.process.is_running(), "it runs still");
        self.process = spawn(&self.launch, self.directory.path());
    }

    /// Waits for its end, and says with which code.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let status = until("the gateway ends", || self.process.ended());
        status.code()
    }

    /// Waits until it says of itself that it routes.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + super::SOON;
        while self.readiness() != Some(200) {
            let ended = self.process.ended();
            assert!(ended.is_none(), "it has ended with {ended:?}:\n{}", self.text());
            let late = Instant::now() > deadline;
            assert!(!late, "it is never ready: {:#}\n{}", self.routes(), self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The status of `/ready`; nothing if nobody answers.
    pub fn readiness(&self) -> Option<u16> {
        self.ask("/ready").map(|answer| answer.status)
    }

    /// What `/routes` says.
    pub fn routes(&self) -> Value {
        self.ask("/routes").expect("the admin server is away").json()
    }

    /// The routes in force, without where they come from.
    pub fn table(&self) -> Value {
        self.routes()["routes"].clone()
    }

    /// Waits until `/routes` is something for which `holds` has an answer.
    pub fn wait_routes<T>(&self, what: &str, mut holds: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let deadline = Instant::now() + super::SOON;
        loop {
            last = self.ask("/routes").map_or(last, |answer| answer.json());
            if let Some(found) = holds(&last) {
                return found;
            }
            let text = self.text();
            assert!(Instant::now() < deadline, "never: {what}; at last {last:#}\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a name is routed, or is not.
    pub fn wait_routed(&self, name: &str, is_routed: bool) {
        self.wait_routes(&format!("{name} routed: {is_routed}"), |routes| {
            (routed(routes, name) == is_routed).then_some(())
        });
    }

    /// What `sluice routes` prints with these words, and its exit code.
    pub fn list(&self, words: &[&str]) -> (Option<i32>, String) {
        let admin = Launch::admin(self.launch.host);
        let output = sluice(&[&["routes", "--admin", &admin], words].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// All that it wrote so far.
    pub fn text(&self) -> String {
        fs::read_to_string(log_path(self.directory.path())).unwrap_or_default()
    }

    /// The lines of its log so far, each with its level.
    pub fn log(&self) -> Vec<Line> {
        self.text().lines().map(Line::read).collect()
    }

    /// Waits for a line that has this in it.
    pub fn wait_line(&mut self, part: &str) -> Line {
        until(&format!("a line with {part:?} in\n{}", self.text()), || {
            self.log().into_iter().find(|line| line.text.contains(part))
        })
    }

    /// The most memory that it ever had, in bytes (proc(5), `VmHWM`).
    pub fn memory_peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// What the admin server answers to a request that it must not refuse.
    pub fn page(&self, method: &str, path: &str) -> String {
        let endpoint = Endpoint::At((self.launch.host, ADMIN_PORT).into());
        let answer = ask(&endpoint, method, path, None, "").expect("the admin server is away");
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    }

    fn ask(&self, path: &str) -> Option<Answer> {
        let endpoint = Endpoint::At((self.launch.host, ADMIN_PORT).into());
        ask(&endpoint, "GET", path, None, "")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the gateway at {}:\n{}", self.launch.host, self.text());
        }
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `INFO` or `WARN`, usually; empty for what was not logged but written.
    pub level: String,
    /// What it says.
    pub text: String,
}

impl Line {
    fn read(line: &str) -> Self {
        let read: Value = serde_json::from_str(line).unwrap_or_default();
        match (read["level"].as_str(), read["message"].as_str()) {
            (Some(level), Some(text)) => Self { level: level.to_owned(), text: text.to_owned() },
            _ => Self { level: String::new(), text: line.to_owned() },
        }
    }
}

/// Whether a name is among the routes, and leads somewhere.
pub fn routed(routes: &Value, name: &str) -> bool {
    let list = routes["routes"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().any(|route| route["route"] == name && route["refused"].is_null())
}

/// `sluice` with these words, to its end.
pub fn sluice(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(words).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn spawn(launch: &Launch, directory: &Path) -> Process {
    let log = File::options().create(true).append(true).open(log_path(directory)).unwrap();
    let mut words: Vec<&str> = launch.starter.iter().map(String::as_str).collect();
    words.push(env!("CARGO_BIN_EXE_sluice"));
    words.extend(launch.words.iter().map(String::as_str));
    Process::start(Path::new(words[0]), &words[1..], log)
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("gateway.log")
}
