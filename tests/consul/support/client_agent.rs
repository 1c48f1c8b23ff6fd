//! A client agent: what runs beside a gateway, while the servers are elsewhere.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::datacenter::Datacenter;
use super::directory::Directory;
use super::hosts::free_host;
use super::http::{Answer, Endpoint, ask};
use super::server::Server;

/// An agent that joins a datacenter's server. Ended and removed when dropped.
pub struct ClientAgent {
    process: Server,
}

impl ClientAgent {
    /// Starts one, and waits until its datacenter answers through it.
    pub fn start(datacenter: &Datacenter) -> Self {
        let host = free_host();
        let [_, high, middle, low] = host.octets();
        let config = json!({
            "datacenter": datacenter.name, "node_name": format!("edge-{high}-{middle}-{low}"),
            // A machine keeps its identity when the agent's data is lost: by default it is made
            // of the machine's own, which all agents of a test share.
            "node_id": format!("00000000-0000-0000-0000-{high:04x}{middle:04x}{low:04x}"),
            "retry_join": [datacenter.host().to_string()], "retry_interval": "1s",
            "ports": { "dns": -1 }, "disable_update_check": true,
        });
        let mut agent = Self { process: Server::new(host, Directory::new(), config) };
        agent.start_again();
        agent
    }

    /// Starts it again after its end, and waits until its datacenter answers through it.
    pub fn start_again(&mut self) {
        self.process.start();
        let endpoint = Endpoint::Tcp(self.host());
        self.process.until("the agent has joined", || {
            let answer = ask(&endpoint, "GET", "/v1/catalog/nodes", None, "")?;
            (answer.status == 200).then_some(())
        });
    }

    pub fn host(&self) -> Ipv4Addr {
        self.process.host
    }

    /// As `CONSUL_HTTP_ADDR` has it.
    pub fn url(&self) -> String {
        format!("http://{}:8500", self.host())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Removes its data; it must not run.
    pub fn forget(&self) {
        self.process.forget();
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Reads something.
    pub fn get(&self, path: &str) -> Answer {
        ask(&Endpoint::Tcp(self.host()), "GET", path, None, "").expect("nobody answers")
    }

    /// What it says of a service; `None` if it has none of that id.
    pub fn service(&self, id: &str) -> Option<Value> {
        let answer = self.get(&format!("/v1/agent/service/{id}"));
        (answer.status == 200).then(|| answer.json())
    }
}
