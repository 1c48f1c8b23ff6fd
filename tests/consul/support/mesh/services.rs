//! What is registered of services that are sidecars, natives and gateways.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};

impl Datacenter {
    /// Registers a sidecar of a service, with a check that passes; says when that was done.
    pub fn put_sidecar(&self, service: &str, id: &str, at: SocketAddr) -> Instant {
        self.put_sidecar_with(service, id, at, json!({}))
    }

    /// The same with more fields.
    pub fn put_sidecar_with(
        &self,
        service: &str,
        id: &str,
        at: SocketAddr,
        more: Value,
    ) -> Instant {
        let mut definition = json!({
            "Kind": "connect-proxy", "Name": format!("{service}-sidecar-proxy"), "ID": id,
            "Address": at.ip().to_string(), "Port": at.port(),
            "Proxy": { "DestinationServiceName": service },
            "Check": { "TTL": "1h", "Status": "passing" },
        });
        for (key, value) in more.as_object().unwrap() {
            definition[key] = value.clone();
        }
        self.register(&definition);
        Instant::now()
    }

    /// Registers a mesh gateway of others, dialed at an address by other datacenters; says when
    /// that was done.
    pub fn put_gateway(&self, id: &str, lan: SocketAddr, wan: SocketAddr) -> Instant {
        self.register(&json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": id,
            "Address": lan.ip().to_string(), "Port": lan.port(),
            "TaggedAddresses": {
                "lan": { "Address": lan.ip().to_string(), "Port": lan.port() },
                "wan": { "Address": wan.ip().to_string(), "Port": wan.port() },
            },
        }));
        Instant::now()
    }
}

impl Plan {
    /// Not a server, but the agent of another node of a datacenter.
    pub fn client_of(self, server: &Datacenter, node: &str) -> Self {
        self.with("server", false.into())
            .with("bootstrap_expect", 0.into())
            .with("node_name", node.into())
            .with("retry_join", json!([server.host().to_string()]))
    }
}
