//! service-resolver entries as a table uses them: what is text in them is read once, when they
//! come, and not again for every table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::consul::filter::{Filter, FilterError, Subject};
use crate::consul::model::{Redirect, Resolver, ServiceSubset, duration};
use crate::route::Policy;

use super::membership::{Instance, ServiceKey};

/// The resolvers in force. Equal to the entries that they were made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolvers {
    entries: Vec<Resolver>,
    by_service: BTreeMap<ServiceKey, Resolution>,
}

impl Resolvers {
    pub(super) fn get(&self, key: &ServiceKey) -> Option<&Resolution> {
        self.by_service.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Resolution> {
        self.by_service.values()
    }
}

impl From<Vec<Resolver>> for Resolvers {
    fn from(entries: Vec<Resolver>) -> Self {
        let key = |entry: &Resolver| ServiceKey::new(&entry.namespace, &entry.name);
        let by_service = entries.iter().map(|entry| (key(entry), Resolution::of(entry))).collect();
        Self { entries, by_service }
    }
}

impl PartialEq<Vec<Resolver>> for Resolvers {
    fn eq(&self, entries: &Vec<Resolver>) -> bool {
        self.entries == *entries
    }
}

/// What a resolver says of the instances of its service.
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    /// The service, as it is written.
    pub(super) name: String,
    /// Zero: it says none. `None`: it is no duration.
    pub(super) connect_timeout: Option<Duration>,
    /// What the service's own name stands for; empty: all instances.
    pub(super) default_subset: String,
    pub(super) subsets: BTreeMap<String, Subset>,
    pub(super) balancing: Balancing,
    /// Whether who dials is sent elsewhere.
    pub(super) is_redirected: bool,
}

impl Resolution {
    /// What the service's own name stands for, unless that is all instances.
    pub(super) fn default(&self) -> Option<&Subset> {
        self.subsets.get(&self.default_subset)
    }

    fn of(entry: &Resolver) -> Self {
        let subset = |(name, subset): (&String, &ServiceSubset)| (name.clone(), Subset::of(subset));
        Self {
            name: entry.name.clone(),
            connect_timeout: duration::read(&entry.connect_timeout),
            default_subset: entry.default_subset.clone(),
            subsets: entry.subsets.iter().map(subset).collect(),
            balancing: Balancing::of(&entry.load_balancer.policy),
            is_redirected: entry.redirect != Redirect::default(),
        }
    }
}

/// Some of the instances of a service.
#[derive(Clone, Debug)]
pub(super) struct Subset {
    /// `None`: all of them.
    filter: Result<Option<Filter>, FilterError>,
    pub(super) only_passing: bool,
}

impl Subset {
    fn of(subset: &ServiceSubset) -> Self {
        let filter = match subset.filter.as_str() {
            "" => Ok(None),
            text => Filter::parse(text).map(Some),
        };
        Self { filter, only_passing: subset.only_passing }
    }

    /// Why nobody can tell which instances are meant.
    pub(super) fn error(&self) -> Option<&FilterError> {
        self.filter.as_ref().err()
    }

    /// Whether an instance is one of them. `datacenter` is the own one, which the catalog does
    /// not repeat for every node.
    pub(super) fn has(&self, instance: &Instance<'_>, datacenter: &str) -> bool {
        let Instance { node, service, checks } = instance;
        match &self.filter {
            Ok(Some(filter)) => filter.matches(&Subject { datacenter, node, service, checks }),
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

/// How an instance is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Balancing {
    By(Policy),
    /// By what the client sends over HTTP, which a gateway does not see; Consul's Envoy gateways
    /// ignore it, too.
    Hash(String),
    Unknown(String),
}

impl Balancing {
    fn of(policy: &str) -> Self {
        match policy {
            // Envoy compares the requests of so many; a gateway has connections, and two do.
            "" | "least_request" => Self::By(Policy::LeastConnections),
            "round_robin" => Self::By(Policy::RoundRobin),
            "random" => Self::By(Policy::Random),
            "ring_hash" | "maglev" => Self::Hash(policy.to_owned()),
            _ => Self::Unknown(policy.to_owned()),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        match self {
            Self::By(policy) => *policy,
            Self::Hash(_) | Self::Unknown(_) => Policy::default(),
        }
    }
}
