//! Changes of a datacenter's catalog, made by a seed: the same ones in every run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::datacenter::Datacenter;
use crate::support::random::Random;

const SERVICES: [&str; 7] = ["web", "db", "api", "cache", "queue", "a.b", "UPPER"];
const NODE_COUNT: usize = 6;
const STATUSES: [&str; 3] = ["passing", "warning", "critical"];
/// A gateway to services outside of the mesh, and one to which nothing is ever linked.
const TERMINATING: [&str; 2] = ["exit", "Exit-2"];
const SUBSETS: [&str; 4] = ["v1", "v2", "rest", "none"];
const FILTERS: [&str; 14] = [
    "",
    "Service.Meta.version == 1",
    "Service.Meta.version == 2",
    "Service.Meta.version != 1",
    "Service.Meta.version == nothing",
    "a in Service.Tags",
    "Service.Tags is empty",
    "Checks.Status == warning",
    "Service.Kind == `connect-proxy`",
    "Service.Connect.Native == true or Node.Node == n1",
    "Node.Node matches `n[0-2]`",
    "Node.Meta.rack == r1",
    "Service.Weights.Passing == 3",
    "Node.Datacenter == dc1 and not Service.Port == 21001",
];

/// Makes changes, and knows what it left behind.
pub struct Generator {
    random: Random,
    /// Every service that is there, by node and id.
    services: BTreeMap<(usize, String), Value>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), services: BTreeMap::new() }
    }

    /// Makes a change, and says which.
    pub fn change(&mut self, datacenter: &Datacenter) -> String {
        match self.random.below(100) {
            0..40 => self.instance(datacenter),
            40..62 => self.check(datacenter),
            62..74 => self.remove(datacenter),
            74..86 => self.resolver(datacenter),
            86..92 => self.terminating_gateway(datacenter),
            92..98 => self.links(datacenter),
            _ => self.other_gateway(datacenter),
        }
    }

    /// A change of a gateway that other datacenters see.
    pub fn change_gateways(&mut self, datacenter: &Datacenter) -> String {
        if self.random.chance(30) {
            return self.remove(datacenter);
        }
        let node = self.random.below(NODE_COUNT);
        let mut service = json!({
            "Kind": "mesh-gateway", "ID": "gateway", "Service": "mesh-gateway", "Port": 8443,
        });
        self.address(&mut service, node);
        self.weights(&mut service);
        if self.random.chance(75) {
            let host = self.random.one(&["", "198.18.0.", "2001:db8::", "gateway.example"]);
            let host =
                if host.ends_with(['.', ':']) { format!("{host}{node}") } else { host.into() };
            service["TaggedAddresses"] =
                json!({"wan": {"Address": host, "Port": self.random.below(2) * 443}});
        }
        self.put(datacenter, node, &service)
    }

    /// Has Consul look at every service again, and changes nothing that decides where names lead.
    pub fn nudge(&mut self, datacenter: &Datacenter) {
        for service in SERVICES {
            let is_there = |(_, put): (_, &Value)| put["Service"] == service;
            if !self.services.iter().any(is_there) {
                let again = json!({"ID": format!("again-{service}"), "Service": service});
                self.put(datacenter, 0, &again);
            }
        }
        for ((node, _), service) in &mut self.services {
            service["EnableTagOverride"] = (!service["EnableTagOverride"].eq(&json!(true))).into();
            register(datacenter, *node, "Service", service);
        }
        // The index of an empty answer is that of the last service that went altogether.
        register(datacenter, 0, "Service", &json!({"ID": "brief", "Service": "brief"}));
        let body = json!({"Node": name(0), "ServiceID": "brief"});
        datacenter.put("/v1/catalog/deregister", &body);
    }

    /// Removes everything that was made.
    pub fn clear(datacenter: &Datacenter) {
        for node in 0..NODE_COUNT {
            datacenter.put("/v1/catalog/deregister", &json!({"Node": name(node)}));
        }
        for service in SERVICES {
            datacenter.delete(&format!("/v1/config/service-resolver/{service}"));
        }
        for gateway in TERMINATING {
            datacenter.delete(&format!("/v1/config/terminating-gateway/{gateway}"));
        }
    }

    /// An instance of a service: plain, native, or with a sidecar. One that is there is changed.
    fn instance(&mut self, datacenter: &Datacenter) -> String {
        let (service, node) = (self.random.one(&SERVICES), self.random.below(NODE_COUNT));
        let mut own = json!({"ID": service, "Service": service, "Port": 22_000 + node});
        self.fields(&mut own, node);
        let kind = self.random.below(10);
        own["Connect"] = json!({"Native": kind < 2});
        let mut text = self.put(datacenter, node, &own);
        if kind < 8 {
            let mut proxy = json!({
                "Kind": "connect-proxy", "ID": format!("{service}-proxy"),
                "Service": format!("{service}-sidecar-proxy"),
                "Port": 21_000 + self.random.below(2), "Proxy": {"DestinationServiceName": service},
            });
            self.fields(&mut proxy, node);
            text += &self.put(datacenter, node, &proxy);
        }
        text
    }

    fn fields(&mut self, service: &mut Value, node: usize) {
        self.address(service, node);
        self.weights(service);
        if self.random.chance(80) {
            service["Meta"] = json!({"version": self.random.one(&["1", "2"])});
        }
        if self.random.chance(40) {
            service["Tags"] = json!([self.random.one(&["a", "b"])]);
        }
        if self.random.chance(20) {
            // Nobody in the same datacenter dials it.
            service["TaggedAddresses"] = json!({"wan": {"Address": "198.18.9.9", "Port": 9}});
        }
    }

    fn address(&mut self, service: &mut Value, node: usize) {
        match self.random.below(4) {
            0 => service["Address"] = format!("10.1.0.{node}").into(),
            1 => service["Address"] = format!("2001:db8:1::{node}").into(),
            _ => {}
        }
    }

    fn weights(&mut self, service: &mut Value) {
        if self.random.chance(60) {
            let (passing, warning) = (self.random.one(&[1, 3, 128, 300]), self.random.below(3));
            service["Weights"] = json!({"Passing": passing, "Warning": warning});
        }
    }

    /// A check of an instance or of a node.
    fn check(&mut self, datacenter: &Datacenter) -> String {
        let Some((node, id)) = self.any() else { return String::new() };
        let of_node = self.random.chance(20);
        let check_id = match (of_node, self.random.below(3)) {
            (true, 0) => "_node_maintenance".to_owned(),
            (true, 1) => "serfHealth".to_owned(),
            (false, 0) => format!("_service_maintenance:{id}"),
            (false, 1) => format!("service:{id}"),
            _ => format!("more:{of_node}:{id}"),
        };
        if self.random.chance(25) {
            let body = json!({"Node": name(node), "CheckID": check_id});
            datacenter.put("/v1/catalog/deregister", &body);
            return format!("check removed: {body}\n");
        }
        let status = self.random.one(&STATUSES);
        let mut check = json!({"CheckID": check_id, "Name": check_id, "Status": status});
        if !of_node {
            check["ServiceID"] = id.into();
        }
        register(datacenter, node, "Check", &check)
    }

    /// An instance, its sidecar before it: without a service of its name, Consul tells an Envoy
    /// nothing of a sidecar. Now and then a whole node.
    fn remove(&mut self, datacenter: &Datacenter) -> String {
        let Some((node, id)) = self.any() else { return String::new() };
        let mut bodies = Vec::new();
        if self.random.chance(15) {
            self.services.retain(|(other, _), _| *other != node);
            bodies.push(json!({"Node": name(node)}));
        } else {
            for id in [format!("{id}-proxy"), id] {
                if self.services.remove(&(node, id.clone())).is_some() {
                    bodies.push(json!({"Node": name(node), "ServiceID": id}));
                }
            }
        }
        for body in &bodies {
            datacenter.put("/v1/catalog/deregister", body);
        }
        format!("removed: {bodies:?}\n")
    }

    fn resolver(&mut self, datacenter: &Datacenter) -> String {
        let service = self.random.one(&SERVICES);
        if self.random.chance(20) {
            datacenter.delete(&format!("/v1/config/service-resolver/{service}"));
            return format!("no resolver of {service}\n");
        }
        if self.random.chance(10) {
            // Who dials follows it: a gateway sees the name at its end.
            let redirect = json!({"Service": "elsewhere"});
            let entry = json!({"Kind": "service-resolver", "Name": service, "Redirect": redirect});
            datacenter.config_entry(&entry);
            return format!("{entry}\n");
        }
        let mut subsets = json!({});
        let mut names = Vec::new();
        for subset in SUBSETS {
            if self.random.chance(50) {
                let filter = self.random.one(&FILTERS);
                subsets[subset] = json!({"Filter": filter, "OnlyPassing": self.random.chance(40)});
                names.push(subset);
            }
        }
        let mut entry = json!({"Kind": "service-resolver", "Name": service, "Subsets": subsets});
        if !names.is_empty() && self.random.chance(40) {
            entry["DefaultSubset"] = self.random.one(&names).into();
        }
        if self.random.chance(50) {
            entry["ConnectTimeout"] = self.random.one(&["1500ms", "8s", "2m", "0s"]).into();
        }
        if self.random.chance(20) {
            entry["Failover"] = json!({"*": {"Datacenters": ["dc2"]}});
        }
        datacenter.config_entry(&entry);
        format!("{entry}\n")
    }

    fn terminating_gateway(&mut self, datacenter: &Datacenter) -> String {
        let (service, node) = (self.random.one(&TERMINATING), self.random.below(NODE_COUNT));
        let mut gateway = json!({
            "Kind": "terminating-gateway", "ID": service, "Service": service,
            "Port": 23_000 + service.len(),
        });
        self.fields(&mut gateway, node);
        self.put(datacenter, node, &gateway)
    }

    /// What terminating gateways lead to.
    fn links(&mut self, datacenter: &Datacenter) -> String {
        let gateway = self.random.one(&TERMINATING);
        if self.random.chance(25) {
            datacenter.delete(&format!("/v1/config/terminating-gateway/{gateway}"));
            return format!("no links of {gateway}\n");
        }
        let mut services: BTreeSet<&str> =
            (0..self.random.below(4)).map(|_| self.random.one(&SERVICES)).collect();
        if self.random.chance(30) {
            services.insert("*");
        }
        let services: Vec<Value> = services.iter().map(|name| json!({"Name": name})).collect();
        let entry = json!({"Kind": "terminating-gateway", "Name": gateway, "Services": services});
        datacenter.config_entry(&entry);
        format!("{entry}\n")
    }

    /// Gateways that no name leads to.
    fn other_gateway(&mut self, datacenter: &Datacenter) -> String {
        let (kind, node) =
            (self.random.one(&["mesh-gateway", "ingress-gateway"]), self.random.below(NODE_COUNT));
        let service = json!({"Kind": kind, "ID": kind, "Service": kind, "Port": 8443});
        self.put(datacenter, node, &service)
    }

    fn any(&mut self) -> Option<(usize, String)> {
        let count = self.services.len();
        let at = (count > 0).then(|| self.random.below(count))?;
        self.services.keys().nth(at).cloned()
    }

    fn put(&mut self, datacenter: &Datacenter, node: usize, service: &Value) -> String {
        let id = service["ID"].as_str().unwrap().to_owned();
        self.services.insert((node, id), service.clone());
        register(datacenter, node, "Service", service)
    }
}

fn register(datacenter: &Datacenter, node: usize, key: &str, what: &Value) -> String {
    let mut body = json!({
        "Node": name(node), "Address": format!("10.0.0.{node}"),
        "TaggedAddresses": {"wan": format!("198.18.1.{node}")},
        "NodeMeta": {"rack": format!("r{}", node % 2)},
    });
    body[key] = what.clone();
    datacenter.put("/v1/catalog/register", &body);
    format!("{body}\n")
}

fn name(node: usize) -> String {
    format!("n{node}")
}
