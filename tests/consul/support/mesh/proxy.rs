//! Consul's own sidecar: `consul connect proxy`.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::support::datacenter::Datacenter;
use crate::support::directory::Directory;
use crate::support::hosts::free_host;
use crate::support::installed::consul;
use crate::support::process::Process;
use crate::support::until;

/// A running sidecar. Killed when dropped.
pub struct Proxy {
    /// Where it accepts mTLS.
    pub address: SocketAddr,
    _process: Process,
    _directory: Directory,
}

impl Datacenter {
    /// Registers a service with a sidecar, and runs the sidecar: in front of a program, and with
    /// what it dials for its service (`Upstreams` of Consul).
    pub fn proxy(&self, service: &str, program: SocketAddr, upstreams: &Value) -> Proxy {
        let address = SocketAddr::from((free_host(), 21_000));
        self.register(&json!({
            "Name": service, "Port": program.port(),
            "Connect": { "SidecarService": {
                "Address": address.ip().to_string(), "Port": address.port(),
                "Checks": [{ "AliasService": service }],
                "Proxy": {
                    "LocalServiceAddress": program.ip().to_string(),
                    "LocalServicePort": program.port(),
                    "Config": { "bind_address": address.ip().to_string() },
                    "Upstreams": upstreams,
                },
            }},
        }));
        let directory = Directory::new();
        let log = File::create(directory.path().join("log")).unwrap();
        let agent = format!("-http-addr={}", self.url());
        let words = ["connect", "proxy", &agent, "-sidecar-for", service];
        let mut process = Process::start(consul(), &words, log);
        until("the sidecar listens", || {
            assert!(process.is_running(), "the sidecar of {service} has ended");
            TcpStream::connect(address).ok()
        });
        Proxy { address, _process: process, _directory: directory }
    }
}
