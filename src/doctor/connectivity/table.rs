//! What there is to dial: as a gateway that runs has it, or as Consul does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;

use crate::control::resolver::Host;
use crate::doctor::known::Known;
use crate::route::{Pattern, Routes, Target};

/// What there is to dial.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Who has it, for a sentence.
    pub(super) from: String,
    pub(super) route_count: usize,
    pub(super) places: BTreeMap<SocketAddr, Place>,
    /// The routes that lead to a cluster without an endpoint.
    pub(super) empty: Vec<String>,
    /// The host names without an address, and why. A gateway does not say.
    pub(super) unresolved: BTreeMap<Host, String>,
}

/// An address, and what it is dialed for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The routes that lead there.
    pub(super) routes: BTreeSet<String>,
    /// Whether it is a gateway of another datacenter: those have all names that end so.
    pub(super) is_gateway: bool,
    /// Whether Consul says that it works, of one route at least.
    pub(super) is_healthy: bool,
}

impl Table {
    pub(super) fn of(known: Known) -> Self {
        let from = known.to_string();
        let table = match known {
            Known::Gateway { answer, .. } => Self::of_gateway(&answer),
            Known::Agent { routes, unresolved, .. } => {
                Self { unresolved, ..Self::of_routes(&routes) }
            }
        };
        Self { from, ..table }
    }

    /// Reads what a gateway answers for `/routes`.
    pub(super) fn of_gateway(answer: &Value) -> Self {
        let mut table = Self::default();
        let list = |of: &Value, name: &str| {
            of.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        for route in list(answer, "routes") {
            let Some(pattern) = route.get("route").and_then(Value::as_str) else { continue };
            if route.get("refused").is_some() {
                continue;
            }
            let endpoints = list(&route, "endpoints").into_iter().filter_map(|endpoint| {
                let address = endpoint.get("address")?.as_str()?.parse().ok()?;
                Some((address, endpoint.get("healthy") != Some(&Value::Bool(false))))
            });
            table.add(pattern, pattern.starts_with("*."), endpoints);
        }
        table.classify();
        table
    }

    fn of_routes(routes: &Routes) -> Self {
        let mut table = Self::default();
        for route in &routes.routes {
            let Target::Cluster(index) = route.target else { continue };
            let cluster = routes.clusters.get(index);
            let endpoints = cluster.into_iter().flat_map(|cluster| &cluster.endpoints);
            let endpoints = endpoints.map(|endpoint| (endpoint.address, endpoint.healthy));
            let is_suffix = matches!(route.pattern, Pattern::Suffix(_));
            table.add(&route.pattern.to_string(), is_suffix, endpoints);
        }
        table.classify();
        table
    }

    fn add(
        &mut self,
        route: &str,
        is_suffix: bool,
        endpoints: impl Iterator<Item = (SocketAddr, bool)>,
    ) {
        self.route_count = self.route_count.saturating_add(1);
        let mut is_empty = true;
        for (address, is_healthy) in endpoints {
            is_empty = false;
            let place = self.places.entry(address).or_default();
            place.routes.insert(route.to_owned());
            place.is_gateway |= is_suffix;
            place.is_healthy |= is_healthy;
        }
        if is_empty {
            self.empty.push(route.to_owned());
        }
    }

    /// The gateways of a datacenter have a name of their own beside the suffix, which says no
    /// more.
    fn classify(&mut self) {
        for place in self.places.values_mut().filter(|place| place.is_gateway) {
            let suffixes: BTreeSet<String> = place
                .routes
                .iter()
                .filter_map(|it| Some(it.strip_prefix("*.")?.to_owned()))
                .collect();
            place.routes.retain(|route| !suffixes.contains(route));
        }
    }
}
