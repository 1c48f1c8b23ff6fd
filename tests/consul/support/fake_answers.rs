//! What an agent that can be made to answer falsely answers rightly.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use sluice::consul::watch::Part;

/// The trust domain of the answers.
pub const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The answers of a datacenter dc1 with one server, these services behind sidecars at an
/// address, and one gateway of dc2.
pub fn answers(services: &[&str], at: SocketAddr) -> BTreeMap<Part, Value> {
    let consul = json!({ "ID": "consul", "Service": "consul", "Port": 8300 });
    let server = json!({ "Node": "s1", "Address": "127.0.0.1", "Datacenter": "dc1" });
    let gateway = json!({
        "Node": { "Node": "g1", "Address": "127.0.0.2", "Datacenter": "dc2" },
        "Service": {
            "Kind": "mesh-gateway", "ID": "g1", "Service": "mesh-gateway", "Port": at.port(),
            "TaggedAddresses": { "wan": { "Address": at.ip().to_string(), "Port": at.port() } },
        },
        "Checks": [],
    });
    BTreeMap::from([
        (Part::Roots, roots(TRUST_DOMAIN)),
        (Part::Catalog, catalog(services, at)),
        (Part::Critical, json!([])),
        (Part::Resolvers, json!([])),
        (Part::TerminatingGateways, json!([])),
        (Part::Gateways, json!({ "dc2": [gateway] })),
        (Part::Datacenters, json!(["dc1", "dc2"])),
        (Part::Servers, json!([{ "Node": server, "Service": consul, "Checks": [] }])),
        (Part::Exports, json!([])),
        (Part::Peerings, json!([])),
        (Part::Mesh, json!({})),
    ])
}

/// The roots of a trust domain.
pub fn roots(trust_domain: &str) -> Value {
    json!({ "ActiveRootID": "1", "TrustDomain": trust_domain, "Roots": [{ "ID": "1" }] })
}

/// All nodes, with these services behind sidecars at an address.
pub fn catalog(services: &[&str], at: SocketAddr) -> Value {
    let consul = json!({ "ID": "consul", "Service": "consul", "Port": 8300 });
    let sidecar = |service: &&str| {
        json!({
            "Kind": "connect-proxy", "ID": format!("{service}-proxy"),
            "Service": format!("{service}-proxy"), "Address": at.ip().to_string(),
            "Port": at.port(), "Proxy": { "DestinationServiceName": service },
        })
    };
    let sidecars: Vec<Value> = services.iter().map(sidecar).collect();
    json!([
        { "Node": "s1", "Address": "127.0.0.1", "Services": [consul], "Checks": [] },
        { "Node": "n1", "Address": "127.0.0.3", "Services": sidecars, "Checks": [] },
    ])
}
