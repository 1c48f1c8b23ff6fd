//! A datacenter: one real server agent, and what tests do to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::acl::MASTER;
use super::directory::Directory;
use super::hosts::free_host;
use super::http::{Answer, Endpoint, ask};
use super::server::Server;
use super::{SOON, tls, until};

/// What gossip is encrypted with (`consul keygen`).
const GOSSIP_KEY: &str = "dGhlIGdvc3NpcCBrZXkgb2YgdGhlc2UgdGVzdHMgMzI=";

/// A datacenter to be started.
pub struct Plan {
    name: String,
    host: Ipv4Addr,
    directory: Directory,
    config: Value,
    has_acls: bool,
    has_https: bool,
}

/// A running datacenter. Ended and removed when dropped.
pub struct Datacenter {
    /// Its name.
    pub name: String,
    node: String,
    server: Server,
    has_acls: bool,
    has_https: bool,
}

impl Plan {
    /// A datacenter of one server, which keeps its data.
    pub fn new(name: &str) -> Self {
        let config = json!({
            "datacenter": name, "node_name": format!("{name}-s1"),
            "server": true, "bootstrap_expect": 1, "performance": { "raft_multiplier": 1 },
            "connect": { "enabled": true }, "enable_central_service_config": true,
            "ports": { "grpc": 8502, "dns": -1 }, "disable_update_check": true,
        });
        let (host, directory) = (free_host(), Directory::new());
        Self { name: name.to_owned(), host, directory, config, has_acls: false, has_https: false }
    }

    /// Joins another datacenter over WAN, which is its primary.
    pub fn joined_to(mut self, primary: &Datacenter) -> Self {
        self.config["primary_datacenter"] = primary.name.as_str().into();
        self.config["retry_join_wan"] = json!([primary.host().to_string()]);
        self.config["retry_interval_wan"] = "1s".into();
        self
    }

    /// Denies what no token allows. The test's own requests show one that may everything.
    pub fn with_acls(mut self) -> Self {
        self.has_acls = true;
        self.config["acl"] = json!({
            "enabled": true, "default_policy": "deny",
            "tokens": { "master": MASTER, "agent": MASTER, "replication": MASTER },
        });
        self
    }

    /// What tokens may is asked again at once: by default it is known for 30 s.
    pub fn with_short_cache(mut self) -> Self {
        for key in ["token_ttl", "policy_ttl", "role_ttl"] {
            self.config["acl"][key] = "0s".into();
        }
        self
    }

    /// Also listens on a unix socket.
    pub fn with_socket(mut self) -> Self {
        let path = self.directory.path().join("http.sock");
        let addresses = format!("{} unix://{}", self.host, path.display());
        self.config["addresses"] = json!({ "http": addresses });
        self
    }

    /// Speaks https only.
    pub fn with_https(mut self) -> Self {
        tls::make(self.directory.path(), &self.name, &self.host.to_string());
        self.config["ports"]["http"] = (-1).into();
        self.config["ports"]["https"] = 8501.into();
        self.has_https = true;
        self.with_certificate()
    }

    /// Its servers and those of other datacenters reach each other through mesh gateways alone:
    /// the address that they tell others is one where nobody is. `primary`: the first datacenter,
    /// and where its gateways are.
    pub fn behind_gateways(mut self, primary: Option<(&Datacenter, &[SocketAddr])>) -> Self {
        let node = self.config["node_name"].as_str().unwrap().to_owned();
        let first = primary.map(|(first, _)| first.path());
        tls::make_for_node(self.directory.path(), &self.name, &node, first);
        self.config["connect"]["enable_mesh_gateway_wan_federation"] = true.into();
        self.config["encrypt"] = GOSSIP_KEY.into();
        self.config["advertise_addr_wan"] = free_host().to_string().into();
        for key in ["verify_incoming_rpc", "verify_outgoing", "verify_server_hostname"] {
            self.config[key] = true.into();
        }
        let primary_name = primary.map_or(&self.name, |(first, _)| &first.name);
        self.config["primary_datacenter"] = primary_name.as_str().into();
        if let Some((_, gateways)) = primary {
            let gateways: Vec<String> = gateways.iter().map(ToString::to_string).collect();
            self.config["primary_gateways"] = json!(gateways);
            self.config["primary_gateways_interval"] = "1s".into();
            self.config["retry_interval_wan"] = "1s".into();
        }
        self.with_certificate()
    }

    /// Shows the certificate that was made for it.
    fn with_certificate(mut self) -> Self {
        let path = self.directory.path();
        let file = |name: String| Value::from(path.join(name).to_str().unwrap());
        self.config["ca_file"] = file(tls::CA.to_owned());
        self.config["cert_file"] = file(format!("{}-server-consul-0.pem", self.name));
        self.config["key_file"] = file(format!("{}-server-consul-0-key.pem", self.name));
        self
    }

    /// Sets one more key of the agent's configuration.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Starts it and waits until it has a leader.
    pub fn start(self) -> Datacenter {
        let node = self.config["node_name"].as_str().unwrap().to_owned();
        let server = Server::new(self.host, self.directory, self.config);
        let Self { name, has_acls, has_https, .. } = self;
        let mut datacenter = Datacenter { name, node, server, has_acls, has_https };
        datacenter.start();
        datacenter
    }
}

impl Datacenter {
    /// Where it is; nothing but its server has this address.
    pub fn host(&self) -> Ipv4Addr {
        self.server.host
    }

    /// As `CONSUL_HTTP_ADDR` has it.
    pub fn url(&self) -> String {
        let host = self.host();
        if self.has_https { format!("https://{host}:8501") } else { format!("http://{host}:8500") }
    }

    /// The unix socket, if it has one.
    pub fn socket(&self) -> PathBuf {
        self.server.path("http.sock")
    }

    /// The certificate of its CA, if it speaks https.
    pub fn ca(&self) -> PathBuf {
        self.server.path(tls::CA)
    }

    /// Where its files are; `services` of it is read at start and reload.
    pub fn path(&self) -> &Path {
        self.server.directory.path()
    }

    /// What its server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.server.path("log")).unwrap_or_default()
    }

    /// Starts it again, and waits until it has a leader and has taken itself in.
    pub fn start(&mut self) {
        self.server.start();
        let endpoint = self.endpoint();
        let token = self.has_acls.then_some(MASTER);
        let path = format!("/v1/health/node/{}", self.node);
        // Without a leader, it answers after some seconds with an error: no busy loop.
        self.server.until("a leader", || {
            let answer = ask(&endpoint, "GET", &path, token, "")?;
            let serf = |check: &Value| check["CheckID"] == "serfHealth";
            (answer.status == 200 && answer.json().as_array()?.iter().any(serf)).then_some(())
        });
        self.server.until("the agent is up", || {
            let answer = ask(&endpoint, "GET", "/v1/agent/services", token, "")?;
            (answer.status == 200).then_some(())
        });
    }

    /// The process id of its agent.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.server.terminate();
    }

    /// Removes its data; it must not run.
    pub fn forget(&mut self) {
        self.server.forget();
    }

    /// Changes a key of its configuration; it must not run.
    pub fn set(&self, key: &str, value: Value) {
        self.server.set(key, value);
    }

    /// SIGSTOP: connections still go to it, and nothing comes back.
    pub fn pause(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Puts a file in place that defines a service. It is read at start and reload.
    pub fn write_service(&self, name: &str, definition: &Value) -> PathBuf {
        let path = self.path().join("services").join(name);
        fs::write(&path, json!({ "service": definition }).to_string()).unwrap();
        path
    }

    /// `consul reload`.
    pub fn reload(&self) {
        self.put("/v1/agent/reload", &Value::Null);
    }

    fn endpoint(&self) -> Endpoint {
        if self.has_https {
            return Endpoint::Tls(self.host(), tls::client(self.path()));
        }
        Endpoint::Tcp(self.host())
    }

    fn token(&self) -> Option<&'static str> {
        self.has_acls.then_some(MASTER)
    }

    /// Any request, with any token; `None` if nobody answers.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Option<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&self.endpoint(), method, path, token, &body)
    }

    /// The same over its unix socket.
    pub fn ask_by_socket(&self, path: &str) -> Answer {
        ask(&Endpoint::Unix(self.socket()), "GET", path, self.token(), "").unwrap()
    }

    /// Reads something.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, self.token(), &Value::Null).expect("nobody answers")
    }

    /// Writes something; it must succeed.
    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.write("PUT", path, body)
    }

    /// Creates something; it must succeed.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.write("POST", path, body)
    }

    /// Removes something; it must succeed.
    pub fn delete(&self, path: &str) -> Value {
        self.write("DELETE", path, &Value::Null)
    }

    fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        // A server that has just become the leader may not know that yet.
        until(&format!("{method} {path}"), || {
            let answer = self.ask(method, path, self.token(), body).expect("nobody answers");
            if answer.status == 500 && answer.body.contains("No cluster leader") {
                return None;
            }
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
            Some(answer.json())
        })
    }

    /// Waits for an answer in which something holds: by blocking queries where the path has
    /// them.
    pub fn wait<T>(&self, what: &str, path: &str, mut holds: impl FnMut(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        let mut index = None;
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let held =
                index.map_or_else(String::new, |index| format!("{separator}index={index}&wait=2s"));
            let answer = self.get(&format!("{path}{held}"));
            let body = answer.json();
            if let Some(found) = holds(&body) {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}; at last {}", answer.body);
            index = answer.index();
            if index.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}
