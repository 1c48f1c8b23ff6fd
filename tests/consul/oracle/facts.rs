//! What a table says of each name, in words: Consul's for an Envoy, and ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sluice::consul::snapshot::ConsulTable;
use sluice::route::{Cluster, Policy, Target};

use crate::support::ads::{Destination, Discovery, Picture};

/// What is said, by name: lower-cased, and with `td` for the trust domain.
#[derive(Debug, Default)]
pub struct Facts(BTreeMap<String, Leads>);

/// Where a name leads.
#[derive(Debug)]
struct Leads {
    /// The name as it is written.
    spelling: String,
    is_one_host: bool,
    connect_timeout: Duration,
    policy: &'static str,
    panic_threshold_percent: f64,
    /// By address and port.
    endpoints: BTreeMap<String, Vec<String>>,
}

impl Facts {
    /// What Consul tells an Envoy.
    pub fn of_consul(picture: &Picture, trust_domain: &str) -> Self {
        let mut facts = Self::default();
        for (name, destination) in &picture.routes {
            let spelling = name.replace(trust_domain, "td");
            facts.0.insert(spelling.to_ascii_lowercase(), leads(spelling, destination));
        }
        facts
    }

    /// What is routed here.
    pub fn of_sluice(table: &ConsulTable, trust_domain: &str) -> Self {
        // Hosts get addresses that nothing else has, and are told by them.
        let mut hosts = BTreeMap::new();
        let routes = table.resolve(|name, port| {
            let count = u16::try_from(hosts.len()).unwrap();
            let address = SocketAddr::from(([0xfd0f, 0, 0, 0, 0, 0, 0, count], port));
            hosts.insert(address, format!("{name}:{port}"));
            vec![address]
        });
        let mut facts = Self::default();
        for route in &routes.routes {
            let Target::Cluster(index) = route.target else { continue };
            let spelling = route.pattern.to_string().replace(trust_domain, "td");
            let leads = our_leads(spelling.clone(), &routes.clusters[index], &hosts);
            facts.0.insert(spelling, leads);
        }
        facts
    }

    /// How many names lead somewhere.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A line for everything in which Consul's facts are not ours.
    pub fn differences(consuls: &Self, ours: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let names: BTreeSet<&String> = consuls.0.keys().chain(ours.0.keys()).collect();
        for name in names {
            match (consuls.0.get(name), ours.0.get(name)) {
                (Some(consuls), Some(ours)) => consuls.compare(name, ours, &mut lines),
                (Some(_), None) => lines.push(line(name, "route", "something", "nothing")),
                (None, _) => lines.push(line(name, "route", "nothing", "something")),
            }
        }
        lines
    }
}

impl Leads {
    fn compare(&self, name: &str, ours: &Self, lines: &mut Vec<String>) {
        let name = if self.is_one_host { format!("{name} (one host)") } else { name.to_owned() };
        let mut check = |aspect: &str, consuls: String, ours: String| {
            if consuls != ours {
                lines.push(line(&name, aspect, &consuls, &ours));
            }
        };
        check("spelling", self.spelling.clone(), ours.spelling.clone());
        let timeout = |of: &Self| format!("{:?}", of.connect_timeout);
        check("timeout", timeout(self), timeout(ours));
        check("policy", self.policy.to_owned(), ours.policy.to_owned());
        let threshold = |of: &Self| format!("{} %", of.panic_threshold_percent);
        check("panic threshold", threshold(self), threshold(ours));
        let addresses: BTreeSet<&String> =
            self.endpoints.keys().chain(ours.endpoints.keys()).collect();
        for address in addresses {
            let text = |of: &Self| match of.endpoints.get(address) {
                Some(said) => said.join(" and "),
                None => "nothing".to_owned(),
            };
            check(&format!("endpoint {address}"), text(self), text(ours));
        }
    }
}

fn line(name: &str, aspect: &str, consuls: &str, ours: &str) -> String {
    format!("{name}, {aspect}: Consul {consuls}; here {ours}")
}

fn leads(spelling: String, destination: &Destination) -> Leads {
    let mut endpoints: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for endpoint in &destination.endpoints {
        let health = health(endpoint.is_healthy);
        let is_address = endpoint.text().parse::<SocketAddr>().is_ok();
        // An Envoy takes nothing else from those who tell it endpoints one by one.
        let is_refused = destination.discovery == Discovery::Eds && !is_address;
        let why = if is_refused { ", but no address" } else { "" };
        let said = format!("weight {} {health}{why}", endpoint.weight);
        endpoints.entry(endpoint.text()).or_default().push(said);
    }
    Leads {
        spelling,
        is_one_host: destination.discovery == Discovery::LogicalDns,
        connect_timeout: destination.connect_timeout,
        policy: destination.policy,
        panic_threshold_percent: destination.panic_threshold_percent,
        endpoints,
    }
}

fn our_leads(spelling: String, cluster: &Cluster, hosts: &BTreeMap<SocketAddr, String>) -> Leads {
    let mut endpoints: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        let address = &endpoint.address;
        let text = hosts.get(address).cloned().unwrap_or_else(|| address.to_string());
        let said = format!("weight {} {}", endpoint.weight, health(endpoint.healthy));
        endpoints.entry(text).or_default().push(said);
    }
    Leads {
        spelling,
        is_one_host: false,
        connect_timeout: cluster.connect_timeout,
        policy: match cluster.policy {
            Policy::LeastConnections => "least_connections",
            Policy::RoundRobin => "round_robin",
            Policy::Random => "random",
        },
        panic_threshold_percent: cluster.panic_threshold_percent.into(),
        endpoints,
    }
}

fn health(is_healthy: bool) -> &'static str {
    if is_healthy { "healthy" } else { "unhealthy" }
}
