//! What listeners, clusters and endpoints mean together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::message::{
    Assignment, BalancedEndpoint, Cluster, Filter, FilterChain, Listener, SocketAddress,
};

/// Envoy's, where a cluster says none.
const PANIC_THRESHOLD_PERCENT: f64 = 50.0;
/// Forwards to the cluster that is called what the server name is.
pub const BY_SERVER_NAME: &str = "envoy.filters.network.sni_cluster";
const TCP_PROXY: &str = "envoy.tcp_proxy";

/// Where everything leads that a proxy accepts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// By server name, exact or `*.suffix`, as it is written: what a gateway routes.
    pub routes: BTreeMap<String, Destination>,
    /// By the name of the listener: what a sidecar forwards, whatever comes.
    pub upstreams: BTreeMap<String, Destination>,
}

/// A cluster and its endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    pub cluster: String,
    pub discovery: Discovery,
    pub connect_timeout: Duration,
    pub policy: &'static str,
    pub panic_threshold_percent: f64,
    /// What is sent as the server name; empty: no TLS is begun here.
    pub server_name: String,
    pub endpoints: Vec<Endpoint>,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// They are in the cluster.
    Static,
    /// As are host names, and all addresses of all of them count.
    StrictDns,
    /// As is one host name, and one address of it counts at a time.
    LogicalDns,
    /// They are told one by one.
    Eds,
}

impl Discovery {
    pub fn of(cluster: &Cluster) -> Self {
        match cluster.discovery {
            0 => Self::Static,
            1 => Self::StrictDns,
            2 => Self::LogicalDns,
            3 => Self::Eds,
            other => panic!("{}: nobody knows the type {other}", cluster.name),
        }
    }
}

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it is written: an IP address or a host name.
    pub host: String,
    pub port: u32,
    pub weight: u32,
    pub is_healthy: bool,
}

impl Endpoint {
    fn of(balanced: &BalancedEndpoint) -> Self {
        let address = balanced.endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
        let address = address.and_then(|address| address.socket.clone());
        let SocketAddress { host, port } = address.expect("an endpoint without an address");
        let is_healthy = matches!(balanced.health, 0 | 1);
        Self { host, port, weight: balanced.weight.unwrap_or(1), is_healthy }
    }

    /// `address:port`, as Rust writes it.
    pub fn text(&self) -> String {
        match (self.host.parse::<IpAddr>(), u16::try_from(self.port)) {
            (Ok(ip), Ok(port)) => SocketAddr::new(ip, port).to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Picture {
    pub(super) fn new(
        clusters: &[Cluster],
        assignments: &[Assignment],
        listeners: &[Listener],
    ) -> Self {
        let all = Destinations { clusters, assignments };
        let mut picture = Self::default();
        for listener in listeners {
            for chain in &listener.chains {
                picture.add(listener, chain, &all);
            }
        }
        picture
    }

    fn add(&mut self, listener: &Listener, chain: &FilterChain, all: &Destinations<'_>) {
        let server_names =
            chain.when.as_ref().map(|when| when.server_names.clone()).unwrap_or_default();
        if chain.filters.iter().any(|filter| filter.name == BY_SERVER_NAME) {
            let every = all.clusters.iter().map(|cluster| &cluster.name);
            let named: Vec<&String> = match server_names.as_slice() {
                [] => every.collect(),
                names => names.iter().collect(),
            };
            return named.into_iter().for_each(|name| self.route(name, all.find(name)));
        }
        // A public listener speaks HTTP, or leads to the application itself.
        let Some(cluster) = chain.filters.iter().find_map(forwarded_to) else { return };
        if server_names.is_empty() {
            self.upstreams.insert(listener.name.clone(), all.find(cluster));
        }
        for name in &server_names {
            self.route(name, all.find(cluster));
        }
    }

    /// A gateway has the same chains at each of its addresses.
    fn route(&mut self, name: &str, to: Destination) {
        let there = self.routes.entry(name.to_owned()).or_insert_with(|| to.clone());
        assert_eq!(*there, to, "{name} leads to two places");
    }
}

/// The cluster that connections are forwarded to, if any. A chain that only has them refused names
/// one without a name.
pub fn forwarded_to(filter: &Filter) -> Option<&str> {
    let config = filter.config.as_ref().filter(|_| filter.name == TCP_PROXY)?;
    config.fields.get("cluster")?.text.as_deref().filter(|name| !name.is_empty())
}

struct Destinations<'a> {
    clusters: &'a [Cluster],
    assignments: &'a [Assignment],
}

impl Destinations<'_> {
    fn find(&self, name: &str) -> Destination {
        let mut named = self.clusters.iter().filter(|cluster| cluster.name == name);
        let cluster = named.next().unwrap_or_else(|| panic!("there is no cluster {name}"));
        assert!(named.next().is_none(), "two clusters are called {name}");
        let discovery = Discovery::of(cluster);
        let assignment = match discovery {
            Discovery::Eds => self.assignments.iter().find(|found| found.cluster == name),
            Discovery::Static | Discovery::StrictDns | Discovery::LogicalDns => {
                cluster.assignment.as_ref()
            }
        };
        let localities = assignment.into_iter().flat_map(|assignment| &assignment.localities);
        let threshold = cluster.common.and_then(|common| common.healthy_panic_threshold);
        Destination {
            cluster: name.to_owned(),
            discovery,
            connect_timeout: duration(cluster.connect_timeout.unwrap_or_default()),
            policy: policy(cluster.policy),
            panic_threshold_percent: threshold
                .map_or(PANIC_THRESHOLD_PERCENT, |percent| percent.value),
            server_name: cluster
                .tls
                .as_ref()
                .map_or_else(String::new, |tls| tls.server_name.clone()),
            endpoints: localities
                .flat_map(|locality| &locality.endpoints)
                .map(Endpoint::of)
                .collect(),
        }
    }
}

fn duration(duration: super::message::Duration) -> Duration {
    Duration::new(duration.seconds.try_into().unwrap(), duration.nanos.try_into().unwrap())
}

fn policy(policy: i32) -> &'static str {
    match policy {
        0 => "round_robin",
        1 => "least_request",
        2 => "ring_hash",
        3 => "random",
        5 => "maglev",
        other => panic!("nobody knows the policy {other}"),
    }
}
