//! The routes that a snapshot makes, before host names are resolved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::consul::names::SERVER_DOMAIN;
use crate::kernel::Keepalive;
use crate::limits::{CONNECT_TIMEOUT, PANIC_THRESHOLD_PERCENT};
use crate::refusal::Refusal;
use crate::route::{Address, Cluster, Endpoint, Pattern, Policy, Routes, Target};

use super::note::Note;
use super::place::Place;

/// What a table takes from elsewhere than Consul's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// For clusters whose resolver says none: `connect_timeout_ms` of Proxy.Config, or the flag.
    pub connect_timeout: Duration,
    /// See [`Cluster::panic_threshold_percent`].
    pub panic_threshold_percent: u8,
    /// Whether Consul's servers are routed to: federation of datacenters through gateways.
    pub expose_servers: bool,
    /// The agents' `domain`, which names of servers end with.
    pub server_domain: String,
    /// The partition that is served; empty: the default one.
    pub partition: String,
    /// How other datacenters are reached: `envoy_gateway_remote_tcp_*` of Proxy.Config, and
    /// `envoy_dns_discovery_type`.
    pub remote: RemoteOptions,
}

/// How gateways of other datacenters are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Keepalive of connections to them, where it is another than that of all.
    pub keepalive: Option<Keepalive>,
    /// Of a host name only the first address counts at a time, as Envoy's LOGICAL_DNS has it.
    pub one_address: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            panic_threshold_percent: PANIC_THRESHOLD_PERCENT,
            expose_servers: false,
            server_domain: SERVER_DOMAIN.to_owned(),
            remote: RemoteOptions::default(),
            partition: String::new(),
        }
    }
}

/// The routes of one snapshot. Host names in it are not resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsulTable {
    pub(super) routes: BTreeMap<Pattern, Leads>,
    /// By key.
    pub(super) clusters: BTreeMap<String, Group>,
    pub(super) panic_threshold_percent: u8,
    pub(super) remote: RemoteOptions,
    /// The addresses of the federation's gateways, but for those of host names.
    pub(super) gateways: BTreeSet<IpAddr>,
    pub(super) notes: Vec<Note>,
}

/// Where a pattern leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To the cluster of this key.
    To(String),
    Refused(Refusal),
}

/// A cluster to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) origin: Origin,
    pub(super) connect_timeout: Duration,
    pub(super) policy: Policy,
    pub(super) places: Vec<Place>,
}

/// What a cluster stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A service of the own datacenter.
    Service,
    /// Some of the instances of one.
    Subset,
    /// Another datacenter, by its name.
    Datacenter(String),
    /// Another partition than the default one, here or elsewhere.
    Partition,
    /// Servers of the own datacenter.
    Server,
    /// Something of a peer, or for one.
    Peer,
}

impl Origin {
    fn datacenter(&self) -> Option<&str> {
        match self {
            Self::Datacenter(name) => Some(name),
            Self::Service | Self::Subset | Self::Partition | Self::Server | Self::Peer => None,
        }
    }
}

impl ConsulTable {
    /// The hosts to resolve, with their ports.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<(String, u16)> {
        let places = self.clusters.values().flat_map(|group| &group.places);
        let host = |place: &Place| match &place.address {
            Address::Socket(_) => None,
            Address::Host { name, port } => Some((name.clone(), *port)),
        };
        places.filter_map(host).collect()
    }

    /// The routes, with every host replaced by all of its addresses. A host without any has no
    /// endpoint; its route stays, and refuses when it has no other.
    pub fn resolve(&self, mut lookup: impl FnMut(&str, u16) -> Vec<SocketAddr>) -> Routes {
        let mut routes = Routes { gateways: self.gateways.clone(), ..Routes::default() };
        let mut targets: HashMap<&str, Target> = HashMap::with_capacity(self.clusters.len());
        for (key, group) in &self.clusters {
            let mut endpoints = Vec::with_capacity(group.places.len());
            let is_remote = group.origin.datacenter().is_some();
            let address_count = match is_remote && self.remote.one_address {
                true => 1,
                false => usize::MAX,
            };
            for Place { address, weight, healthy } in &group.places {
                let resolved = match address {
                    Address::Socket(address) => vec![*address],
                    Address::Host { name, port } => lookup(name, *port),
                };
                let endpoint = |address| Endpoint { address, weight: *weight, healthy: *healthy };
                endpoints.extend(resolved.into_iter().take(address_count).map(endpoint));
            }
            if group.origin.datacenter().is_some() {
                let ips = endpoints.iter().map(|endpoint: &Endpoint| endpoint.address.ip());
                routes.gateways.extend(ips);
            }
            let mut cluster = Cluster::new(key, endpoints);
            cluster.connect_timeout = group.connect_timeout;
            cluster.policy = group.policy;
            cluster.panic_threshold_percent = self.panic_threshold_percent;
            cluster.keepalive = self.remote.keepalive.filter(|_| is_remote);
            targets.insert(key, routes.add_cluster(cluster));
        }
        for (pattern, leads) in &self.routes {
            let target = match leads {
                Leads::Refused(why) => Some(Target::Refuse(*why)),
                Leads::To(key) => targets.get(key.as_str()).copied(),
            };
            // Every key is there: routes and clusters are added together.
            if let Some(target) = target {
                routes.add_route(pattern.clone(), target);
            }
        }
        routes
    }

    /// What was left out, and why. Sorted; bounded.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The services of the own datacenter, by the keys of their clusters.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let is_service = |group: &Group| group.origin == Origin::Service;
        self.clusters.iter().filter(move |(_, group)| is_service(group)).map(|(key, _)| &**key)
    }

    /// The other datacenters that have gateways, by name.
    #[must_use]
    pub fn datacenters(&self) -> BTreeSet<&str> {
        self.clusters.values().filter_map(|group| group.origin.datacenter()).collect()
    }

    /// This table, and whatever an earlier one has that is not in it: what an answer that is
    /// held would remove stays, and what it adds and changes is taken.
    #[must_use]
    pub fn keeping(mut self, earlier: &Self) -> Self {
        let kept: Vec<_> = earlier
            .routes
            .iter()
            .filter_map(|(pattern, leads)| match leads {
                Leads::To(key) if !self.clusters.contains_key(key) => Some((pattern, key)),
                Leads::To(_) | Leads::Refused(_) => None,
            })
            .collect();
        self.gateways.extend(&earlier.gateways);
        for (pattern, key) in kept {
            if let Some(group) = earlier.clusters.get(key) {
                self.clusters.entry(key.clone()).or_insert_with(|| group.clone());
                self.routes.insert(pattern.clone(), Leads::To(key.clone()));
            }
        }
        self
    }
}
