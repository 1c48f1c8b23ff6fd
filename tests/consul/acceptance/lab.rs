//! Two datacenters with a gateway each, and who dials and is dialed.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::envoy::{Dialer, healthy_count};
use crate::support::federation::wait_joined;
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::sluice::{ENGINES, Launch, Sluice};
use crate::support::until;

/// Where a sidecar listens for its upstream.
pub const UPSTREAM_PORT: u16 = 5000;

/// Two datacenters, which are called as in Consul's tests, and their gateways.
pub struct Lab {
    pub primary: Datacenter,
    pub secondary: Datacenter,
    pub gateway_primary: Sluice,
    pub gateway_secondary: Sluice,
    backends: Vec<Backend>,
}

impl Lab {
    pub fn start() -> Self {
        Self::of(|plan| plan)
    }

    /// With more in the configuration of both datacenters.
    pub fn of(with: impl Fn(Plan) -> Plan) -> Self {
        let primary = with(Plan::new("primary")).start();
        let secondary = with(Plan::new("secondary")).joined_to(&primary).start();
        wait_joined(&[&primary, &secondary]);
        let start = |datacenter: &Datacenter, engine| {
            Launch::registered(datacenter, engine, "mesh-gateway").start()
        };
        let gateway_primary = start(&primary, ENGINES[0]);
        let gateway_secondary = start(&secondary, ENGINES[1]);
        Self { primary, secondary, gateway_primary, gateway_secondary, backends: Vec::new() }
    }

    /// Runs an instance of a service in a datacenter, which answers with a number.
    pub fn put_instance(&mut self, is_primary: bool, service: &str, tag: u64, more: &Value) {
        let datacenter = if is_primary { &self.primary } else { &self.secondary };
        let backend = Backend::with_identity(&datacenter.identity(service), tag);
        datacenter
            .register(&json!({ "Name": service, "ID": format!("{service}-{tag}"), "Port": 80 }));
        let id = format!("{service}-{tag}-proxy");
        datacenter.put_sidecar_with(service, &id, backend.address, more.clone());
        self.backends.push(backend);
    }

    /// Where the instance is that was put at this turn.
    pub fn address(&self, turn: usize) -> SocketAddr {
        self.backends[turn].address
    }

    /// Registers the sidecar of `s1` in the primary, with one upstream, and starts its Envoy.
    /// Returns where that listens for the upstream.
    pub fn dial(&self, upstream: &Value) -> (Dialer, SocketAddr) {
        let at = SocketAddr::from((free_host(), UPSTREAM_PORT));
        let mut upstream = upstream.clone();
        upstream["LocalBindAddress"] = at.ip().to_string().into();
        upstream["LocalBindPort"] = at.port().into();
        self.primary.register(&json!({
            "Kind": "connect-proxy", "Name": "s1-sidecar-proxy", "ID": "s1-sidecar-proxy",
            "Address": at.ip().to_string(), "Port": 21_000,
            "Proxy": { "DestinationServiceName": "s1", "Upstreams": [upstream] },
        }));
        (Dialer::start(&self.primary, "s1-sidecar-proxy", "s1-sidecar-proxy"), at)
    }

    /// Writes a configuration entry, and waits until both datacenters have it.
    pub fn config_entry(&self, entry: &Value) {
        self.primary.config_entry(entry);
        let (kind, name) = (entry["Kind"].as_str().unwrap(), entry["Name"].as_str().unwrap());
        until("the entry is replicated", || {
            let path = format!("/v1/config/{kind}/{name}");
            (self.secondary.get(&path).status == 200).then_some(())
        });
    }

    /// Waits until the gateways know whom the sidecars of the primary need them for: the gateway
    /// there the other datacenter, and that one's so many instances under a name.
    pub fn wait_routed(&self, name: &str, count: usize) {
        wait_healthy(&self.gateway_primary, "secondary", 1);
        wait_healthy(&self.gateway_secondary, name, count);
    }

    /// Connections that the gateways have made: that of the primary to the other datacenter, and
    /// that one's to whatever is named so.
    pub fn connections(&self, name: &str) -> [u64; 2] {
        [
            connection_count(&self.gateway_primary, "secondary"),
            connection_count(&self.gateway_secondary, name),
        ]
    }
}

/// Waits until clusters whose names begin so have so many endpoints that are well.
pub fn wait_healthy(gateway: &Sluice, cluster: &str, count: usize) {
    until(&format!("{count} healthy of {cluster}"), || {
        (healthy_count(&gateway.get("/clusters?format=json"), cluster) == count).then_some(())
    });
}

/// `upstream_cx_total` of the clusters whose names begin so.
pub fn connection_count(gateway: &Sluice, cluster: &str) -> u64 {
    let page = gateway.page("/stats?format=text");
    let prefix = format!("cluster.{cluster}.");
    let counts = page.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.starts_with(&prefix) && name.ends_with(".upstream_cx_total");
        is_it.then(|| value.parse::<u64>().unwrap())
    });
    counts.sum()
}
