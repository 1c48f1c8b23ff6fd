//! What a table says of each name, Envoy's or ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::control::resolver::Host;

/// Where names lead, by name in lower case: exact, or `*.suffix`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) routes: BTreeMap<String, Leads>,
    /// What is configured otherwise than a mesh gateway's: there is nothing like it here.
    pub(super) strange: Vec<Strange>,
}

/// Something that only an Envoy can do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Strange {
    /// The names that it is for; none: all of them.
    pub(super) names: BTreeSet<String>,
    /// What it is.
    pub(super) what: String,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leads {
    /// Nowhere, and the reason has this name.
    Refused(String),
    To(Cluster),
}

/// A cluster with its endpoints. What is `None` is not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cluster {
    pub(super) name: String,
    /// The name that leads to it, as it is written.
    pub(super) spelling: String,
    /// Whether only the catch-all chain leads to it, and Envoy's own bootstrap brought it.
    pub(super) is_of_bootstrap: bool,
    pub(super) discovery: Discovery,
    pub(super) connect_timeout: Option<Duration>,
    /// As we call it where we have it, too.
    pub(super) policy: Option<String>,
    pub(super) panic_threshold_percent: Option<f64>,
    /// How many connections there may be; `None`: no such limit.
    pub(super) connections_max: Option<u32>,
    /// By address and port.
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    /// Host names to be resolved.
    pub(super) hosts: BTreeMap<Host, Endpoint>,
}

/// How an Envoy comes by endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Discovery {
    /// They are listed.
    #[default]
    Listed,
    /// Host names are, and all addresses of all of them count.
    StrictDns,
    /// One host name is, and one address of it counts at a time.
    LogicalDns,
    /// In another way.
    Other(String),
}

/// What is said of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) weight: u32,
    pub(super) is_healthy: bool,
    /// Endpoints of a lower one are used before it.
    pub(super) priority: u32,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = if self.is_healthy { "healthy" } else { "unhealthy" };
        write!(f, "weight {} {health}", self.weight)?;
        match self.priority {
            0 => Ok(()),
            priority => write!(f, ", priority {priority}"),
        }
    }
}

impl Facts {
    /// The host names that are to be resolved.
    pub(super) fn hosts(&self) -> BTreeSet<Host> {
        self.clusters().flat_map(|cluster| cluster.hosts.keys().cloned()).collect()
    }

    /// The clusters of the names that lead somewhere.
    pub(super) fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.routes.values().filter_map(|leads| match leads {
            Leads::To(cluster) => Some(cluster),
            Leads::Refused(_) => None,
        })
    }
}
