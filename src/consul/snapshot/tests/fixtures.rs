//! A cluster of datacenters as Consul's own tests of gateways have it, in Consul's JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::consul::snapshot::Snapshot;
use crate::consul::watch::Part;

pub(crate) const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// What Consul would answer to each question.
#[derive(Clone, Debug)]
pub(crate) struct World(BTreeMap<Part, Value>);

impl World {
    /// The own datacenter dc1 with nothing but Consul.
    pub(crate) fn bare() -> Self {
        let consul = json!({"ID": "consul", "Service": "consul", "Tags": [], "Address": "",
            "Port": 8300, "Meta": {"version": "1.8.7"}, "Weights": {"Passing": 1, "Warning": 1}});
        let server = json!({"Node": {"Node": "Server-1", "Address": "172.16.0.1",
            "Datacenter": "dc1", "TaggedAddresses": {"lan": "172.16.0.1", "wan": "198.18.0.9"}},
            "Service": consul, "Checks": [check("", "critical")]});
        let node = node("Server-1", "172.16.0.1", json!([consul]), json!([check("", "passing")]));
        Self(BTreeMap::from([
            (
                Part::Roots,
                json!({"ActiveRootID": "8e:98", "TrustDomain": TRUST_DOMAIN,
                "Roots": [{"ID": "8e:98", "RootCert": "PEM", "IntermediateCerts": null}]}),
            ),
            (Part::Catalog, json!([node])),
            (Part::Critical, json!([])),
            (Part::Resolvers, json!([])),
            (Part::TerminatingGateways, json!([])),
            (Part::Gateways, json!({})),
            (Part::Datacenters, json!(["dc1"])),
            (Part::Servers, json!([server])),
            (Part::Exports, json!([])),
            (Part::Peerings, json!([])),
            (Part::Mesh, json!({})),
        ]))
    }

    /// The services foo and bar, in two versions each; gateways in dc2, dc4 and dc6, none in dc9.
    pub(crate) fn golden() -> Self {
        let mut world = Self::bare();
        for (service, last) in
            [("foo", 3), ("foo", 4), ("foo", 5), ("foo", 9), ("bar", 6), ("bar", 7), ("bar", 8)]
        {
            let status = if last == 9 { "warning" } else { "passing" };
            world.add_sidecar(service, &format!("172.16.1.{last}"), status);
            let version = if [3, 4, 6, 7].contains(&last) { "1" } else { "2" };
            let nodes = world.at(Part::Catalog).as_array_mut().unwrap();
            nodes.last_mut().unwrap()["Services"][1]["Meta"]["version"] = version.into();
        }
        world.set(
            Part::Resolvers,
            json!([{"Kind": "service-resolver", "Name": "bar", "ConnectTimeout": "10s",
                "Subsets": {"v1": {"Filter": "Service.Meta.version == 1"}}, "ModifyIndex": 92}]),
        );
        world.set(Part::Datacenters, json!(["dc1", "dc2", "dc4", "dc6", "dc9"]));
        world.set(
            Part::Gateways,
            json!({
                "dc1": [gateway("198.18.0.1", 443, "passing")],
                "dc2": [
                    gateway("198.18.1.1", 443, "passing"),
                    gateway("198.18.1.2", 443, "passing"),
                ],
                "dc4": [
                    gateway("123.us-west-2.elb.notaws.com", 443, "passing"),
                    gateway("456.us-west-2.elb.notaws.com", 443, "passing"),
                    gateway("198.38.1.1", 443, "passing"),
                ],
                "dc6": [gateway("123.us-east-1.elb.notaws.com", 443, "critical")],
            }),
        );
        world
    }

    /// Services `service-0` and so on, with so many instances each.
    pub(crate) fn many(service_count: usize, instance_count: usize) -> Self {
        let mut world = Self::golden();
        for service in 0..service_count {
            for instance in 0..instance_count {
                let address = format!("10.{}.{}.{instance}", service / 250, service % 250);
                world.add_sidecar(&format!("service-{service}"), &address, "passing");
            }
        }
        world
    }

    pub(crate) fn set(&mut self, part: Part, answer: Value) {
        self.0.insert(part, answer);
    }

    pub(crate) fn at(&mut self, part: Part) -> &mut Value {
        self.0.get_mut(&part).unwrap()
    }

    pub(crate) fn body(&self, part: Part) -> Vec<u8> {
        serde_json::to_vec(&self.0[&part]).unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for part in Part::ALL {
            snapshot.take(part, &self.body(part)).unwrap();
        }
        snapshot
    }

    pub(crate) fn add_node(&mut self, node: Value) {
        self.at(Part::Catalog).as_array_mut().unwrap().push(node);
    }

    /// A service behind a sidecar on a node of its own, with a check of this status.
    pub(crate) fn add_sidecar(&mut self, service: &str, address: &str, status: &str) {
        let sidecar = format!("{service}-sidecar-proxy");
        let services = json!([
            {"Kind": "", "ID": service, "Service": service, "Port": 8080, "Address": ""},
            {"Kind": "connect-proxy", "ID": sidecar, "Service": sidecar, "Port": 2222,
                "Address": "", "Meta": {"version": "1"},
                "Proxy": {"DestinationServiceName": service, "DestinationServiceID": service}},
        ]);
        let checks = json!([check("", "passing"), check(&sidecar, status)]);
        let name = format!("{service}-{}", address.rsplit('.').next().unwrap());
        self.add_node(node(&name, address, services, checks));
    }
}

pub(crate) fn node(name: &str, address: &str, services: Value, checks: Value) -> Value {
    json!({"ID": "", "Node": name, "Address": address, "Meta": null,
        "TaggedAddresses": {"lan": address, "wan": address}, "Services": services,
        "Checks": checks})
}

/// A check of an instance, or of the node when there is no id.
pub(crate) fn check(service_id: &str, status: &str) -> Value {
    json!({"CheckID": "any", "Status": status, "Output": "", "ServiceID": service_id})
}

/// A gateway of another datacenter, by its WAN address.
pub(crate) fn gateway(wan: &str, port: i64, status: &str) -> Value {
    json!({
        "Node": {"Node": "gateway", "Address": "10.30.1.1", "Datacenter": "remote",
            "TaggedAddresses": {"wan": "10.30.1.2"}},
        "Service": {"Kind": "mesh-gateway", "ID": "mesh-gateway", "Service": "mesh-gateway",
            "Address": "10.30.1.1", "Port": 8443, "TaggedAddresses": {
                "lan": {"Address": "10.30.1.1", "Port": 8443},
                "wan_ipv4": {"Address": "10.30.1.1", "Port": 8443},
                "wan": {"Address": wan, "Port": port}}},
        "Checks": [check("mesh-gateway", status)],
    })
}
