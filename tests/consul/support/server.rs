//! The one server of a datacenter: its configuration, its files, its process.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::directory::Directory;
use super::installed::consul;
use super::process::Process;
use super::until;

/// A server agent with its files. Ended and removed when dropped.
pub struct Server {
    pub host: Ipv4Addr,
    /// Before the directory: fields are dropped in order, and it writes there while it runs.
    process: Option<Process>,
    pub directory: Directory,
}

impl Server {
    /// Writes its configuration, which gets its addresses and folders here.
    pub fn new(host: Ipv4Addr, directory: Directory, mut config: Value) -> Self {
        let address = host.to_string();
        for key in ["bind_addr", "advertise_addr", "advertise_addr_wan"] {
            if config[key].is_null() {
                config[key] = address.as_str().into();
            }
        }
        config["client_addr"] = address.as_str().into();
        config["data_dir"] = directory.path().join("data").to_str().unwrap().into();
        fs::write(directory.path().join("agent.json"), config.to_string()).unwrap();
        fs::create_dir(directory.path().join("services")).unwrap();
        Self { host, process: None, directory }
    }

    /// Changes a key of its configuration; it must not run.
    pub fn set(&self, key: &str, value: Value) {
        assert!(self.process.is_none(), "it runs");
        let path = self.path("agent.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        fs::write(path, config.to_string()).unwrap();
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (config, services) = (path("agent.json"), path("services"));
        let words = ["agent", "-config-file", &config, "-config-dir", &services];
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        self.process = Some(Process::start(consul(), &words, log));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// SIGKILL: nothing is told to anybody.
    pub fn kill(&mut self) {
        self.process.take().expect("it does not run");
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) {
        let process = self.process.take().expect("it does not run");
        process.signal(Signal::SIGTERM);
        process.wait();
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it does not run").id()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it does not run").signal(signal);
    }

    /// Removes what it knows. What its configuration says it knows again.
    pub fn forget(&self) {
        assert!(self.process.is_none(), "it runs");
        fs::remove_dir_all(self.path("data")).unwrap();
    }

    /// Fails with the end of its log, if it has ended.
    pub fn must_run(&mut self) {
        if self.process.as_mut().is_some_and(Process::is_running) {
            return;
        }
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        panic!("consul has ended:\n{}", tail.join("\n"));
    }

    /// Waits for something that it must be running for.
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        until(what, || {
            self.must_run();
            ask()
        })
    }
}
