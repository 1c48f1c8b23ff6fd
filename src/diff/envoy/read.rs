//! What listeners, clusters and endpoints mean together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::dump::{self, Assignment, Dump, Filter, FilterChain, Statuses};
use crate::diff::facts::{Cluster, Discovery, Endpoint, Facts, Leads, Strange};

/// Envoy's defaults, where a cluster says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PANIC_THRESHOLD_PERCENT: f64 = 50.0;
const CONNECTIONS_MAX: u32 = 1024;

/// What of a match says which names are meant, and what says only that there must be TLS.
const SERVER_NAMES: &str = "server_names";
const TRANSPORT: &str = "transport_protocol";

/// What an Envoy routes by.
pub(super) fn facts(dump: &Dump, statuses: &Statuses) -> Facts {
    let mut assignments: BTreeMap<&str, &Assignment> = BTreeMap::new();
    let of_statuses: Vec<Assignment> = statuses.assignments().collect();
    for assignment in dump.assignments().chain(&of_statuses) {
        assignments.insert(&assignment.cluster_name, assignment);
    }
    let cluster = |(cluster, is_static): (&dump::Cluster, bool)| {
        let assignment = assignments.get(cluster.name.as_str()).copied();
        (cluster.name.clone(), (of_cluster(cluster, assignment), is_static))
    };
    let clusters = dump.clusters().map(cluster).collect();
    let mut reader = Reader { clusters, facts: Facts::default() };
    // A name that some chain is for does not get to one that takes all.
    let chains = dump
        .listeners()
        .flat_map(|listener| listener.filter_chains.iter().chain(&listener.default_filter_chain));
    let (of_names, of_all): (Vec<_>, Vec<_>) = chains.partition(|chain| !names(chain).is_empty());
    for chain in of_names.into_iter().chain(of_all) {
        reader.chain(chain);
    }
    reader.facts.strange.sort();
    reader.facts.strange.dedup();
    reader.facts
}

struct Reader {
    /// By name; and whether Envoy was started with it.
    clusters: BTreeMap<String, (Cluster, bool)>,
    facts: Facts,
}

/// Where a filter chain sends connections.
enum Goal<'a> {
    /// To the cluster that is called what the server name is.
    ServerName,
    Cluster(&'a str),
}

impl Reader {
    fn chain(&mut self, chain: &FilterChain) {
        let names = names(chain);
        match goal(chain) {
            Err(what) => self.strange(names, what),
            Ok(Goal::Cluster(_)) if names.is_empty() => {
                self.strange(names, "a chain that takes any name".to_owned());
            }
            Ok(Goal::Cluster(cluster)) => {
                for name in names {
                    self.route(&name, cluster, false);
                }
            }
            // With names it is the same for these.
            Ok(Goal::ServerName) if !names.is_empty() => {
                for name in names {
                    self.route(&name, &name, false);
                }
            }
            Ok(Goal::ServerName) => {
                let all: Vec<String> = self.clusters.keys().cloned().collect();
                for name in all {
                    self.route(&name, &name, true);
                }
            }
        }
    }

    /// Takes a route in. A gateway has the same chains at each of its addresses.
    fn route(&mut self, spelling: &str, cluster: &str, by_catch_all: bool) {
        let Some((found, is_static)) = self.clusters.get(cluster) else {
            let what = format!("a chain to the cluster {cluster:?}, which it does not have");
            return self.strange(BTreeSet::from([spelling.to_owned()]), what);
        };
        let leads = Leads::To(Cluster {
            spelling: spelling.to_owned(),
            is_of_bootstrap: by_catch_all && *is_static,
            ..found.clone()
        });
        let name = spelling.to_ascii_lowercase();
        let is_other = match self.facts.routes.get(&name) {
            Some(Leads::To(there)) => !by_catch_all && there.name != found.name,
            _ => {
                self.facts.routes.insert(name, leads);
                false
            }
        };
        if is_other {
            let what = "chains to different clusters".to_owned();
            self.strange(BTreeSet::from([spelling.to_owned()]), what);
        }
    }

    fn strange(&mut self, names: BTreeSet<String>, what: String) {
        self.facts.strange.push(Strange { names, what });
    }
}

/// Where a chain leads; or what is in it that no mesh gateway of Consul's has without TLS of its
/// own.
fn goal(chain: &FilterChain) -> Result<Goal<'_>, String> {
    if let Some(by) = chain
        .filter_chain_match
        .iter()
        .find(|(key, value)| !is_plain(key.as_str(), value))
        .map(|(key, _)| key)
    {
        return Err(format!("a chain that connections are matched with by {by}"));
    }
    let ends_tls = chain.transport_socket.as_ref().is_some_and(|socket| !socket.name.is_empty());
    let is_http = chain.filters.iter().any(|filter| filter.is("http_connection_manager"));
    if ends_tls || is_http {
        let what = "a chain that ends TLS in the gateway, as for HTTP over cluster peering";
        return Err(what.to_owned());
    }
    let mut goal = None;
    for filter in &chain.filters {
        if filter.is("sni_cluster") {
            goal = Some(Goal::ServerName);
        } else if filter.is("tcp_proxy") {
            let told = [&filter.typed_config, &filter.config];
            let cluster = told.iter().find_map(|config| config.get("cluster")?.as_str());
            match (&goal, cluster) {
                (Some(_), _) => {}
                (None, Some(cluster)) => goal = Some(Goal::Cluster(cluster)),
                (None, None) => return Err("a chain to several clusters".to_owned()),
            }
        } else {
            return Err(format!("a chain with the filter {}", filter.name));
        }
    }
    goal.ok_or_else(|| "a chain without a cluster".to_owned())
}

/// Whether a part of a match is one that Consul writes for mesh gateways.
fn is_plain(key: &str, value: &Value) -> bool {
    key == SERVER_NAMES || (key == TRANSPORT && value == "tls")
}

impl Filter {
    /// Whether it is of a kind: by the type of its configuration, or by its name.
    fn is(&self, kind: &str) -> bool {
        let of_type = self.typed_config.get("@type").and_then(Value::as_str).unwrap_or_default();
        let of_type = of_type.contains(&format!(".{kind}."));
        of_type || self.name.rsplit('.').next() == Some(kind)
    }
}

/// The names that a chain is for.
fn names(chain: &FilterChain) -> BTreeSet<String> {
    let names = chain.filter_chain_match.get(SERVER_NAMES).and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn of_cluster(cluster: &dump::Cluster, assignment: Option<&Assignment>) -> Cluster {
    let discovery = discovery(cluster);
    let of_hosts = matches!(discovery, Discovery::StrictDns | Discovery::LogicalDns);
    // Of host names Envoy tells the addresses; what they are is in the cluster itself.
    let assignment = match of_hosts {
        true => Some(&cluster.load_assignment),
        false => assignment,
    };
    let threshold = cluster.common_lb_config.healthy_panic_threshold.as_ref();
    let mut read = Cluster {
        name: cluster.name.clone(),
        discovery,
        connect_timeout: Some(
            cluster.connect_timeout.as_deref().and_then(duration).unwrap_or(CONNECT_TIMEOUT),
        ),
        policy: Some(policy(cluster.lb_policy.as_deref().unwrap_or("ROUND_ROBIN"))),
        panic_threshold_percent: Some(threshold.map_or(PANIC_THRESHOLD_PERCENT, |it| it.value)),
        connections_max: connections_max(cluster),
        ..Cluster::default()
    };
    for locality in assignment.into_iter().flat_map(|assignment| &assignment.endpoints) {
        for endpoint in &locality.lb_endpoints {
            let Some(place) = &endpoint.endpoint.address.socket_address else { continue };
            let health = endpoint.health_status.as_deref().unwrap_or("UNKNOWN");
            let said = Endpoint {
                weight: endpoint.load_balancing_weight.unwrap_or(1),
                is_healthy: matches!(health, "UNKNOWN" | "HEALTHY"),
                priority: locality.priority,
            };
            let (host, port) = (place.address.clone(), place.port_value);
            match host.parse::<IpAddr>() {
                Ok(ip) => {
                    // Of one address twice Envoy takes the first.
                    let address = SocketAddr::new(ip, port).to_string();
                    read.endpoints.entry(address).or_insert(said);
                }
                Err(_) => {
                    read.hosts.entry((host, port)).or_insert(said);
                }
            }
        }
    }
    read
}

fn discovery(cluster: &dump::Cluster) -> Discovery {
    if let Some(custom) = &cluster.cluster_type {
        return Discovery::Other(custom.name.clone());
    }
    match cluster.discovery.as_deref() {
        None | Some("STATIC" | "EDS") => Discovery::Listed,
        Some("STRICT_DNS") => Discovery::StrictDns,
        Some("LOGICAL_DNS") => Discovery::LogicalDns,
        Some(other) => Discovery::Other(other.to_owned()),
    }
}

/// Envoy's word for a policy, or ours where we have the same.
fn policy(name: &str) -> String {
    match name {
        "LEAST_REQUEST" => crate::route::Policy::LeastConnections.name().to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

/// The largest number is how Envoy is told that there is no limit.
fn connections_max(cluster: &dump::Cluster) -> Option<u32> {
    let mut thresholds = cluster.circuit_breakers.thresholds.iter();
    let of_all = thresholds.find(|it| it.priority.as_deref().is_none_or(|it| it == "DEFAULT"));
    let limit = of_all.and_then(|it| it.max_connections).unwrap_or(CONNECTIONS_MAX);
    Some(limit).filter(|limit| *limit != u32::MAX)
}

/// A duration in protobuf's JSON: seconds with an `s`.
fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
