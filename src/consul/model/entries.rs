//! Configuration entries, and the roots of the certificate authority.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::or_default;

/// `/v1/connect/ca/roots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Roots {
    /// The trust domain of this cluster of datacenters.
    #[serde(deserialize_with = "or_default")]
    pub trust_domain: String,
}

/// An element of `/v1/config/service-resolver`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Resolver {
    /// The service it is for.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// How long connecting may take: a text such as `8s`, or nanoseconds; see
    /// [`duration::read`](super::duration::read).
    pub connect_timeout: serde_json::Value,
    /// The subset that the service's own name stands for; empty: all instances.
    #[serde(deserialize_with = "or_default")]
    pub default_subset: String,
    /// The subsets, by name.
    #[serde(deserialize_with = "or_default")]
    pub subsets: BTreeMap<String, ServiceSubset>,
    /// Where it leads instead. Who dials follows that.
    #[serde(deserialize_with = "or_default")]
    pub redirect: Redirect,
    /// How an instance is chosen (Consul 1.9).
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancer,
}

/// Some of the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ServiceSubset {
    /// Which ones, see [`Filter`](crate::consul::filter::Filter); empty: all.
    #[serde(deserialize_with = "or_default")]
    pub filter: String,
    /// Whether a warning takes an instance out, as a critical check does.
    #[serde(deserialize_with = "or_default")]
    pub only_passing: bool,
}

/// Another service, or another place for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Redirect {
    /// The service.
    #[serde(deserialize_with = "or_default")]
    pub service: String,
    /// The subset of it.
    #[serde(deserialize_with = "or_default")]
    pub service_subset: String,
    /// The datacenter.
    #[serde(deserialize_with = "or_default")]
    pub datacenter: String,
    /// The peer.
    #[serde(deserialize_with = "or_default")]
    pub peer: String,
}

/// How an instance is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LoadBalancer {
    /// Empty: not said.
    #[serde(deserialize_with = "or_default")]
    pub policy: String,
}

/// An element of `/v1/config/terminating-gateway`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TerminatingGateway {
    /// The service name of the gateway's instances.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// What it leads to.
    #[serde(deserialize_with = "or_default")]
    pub services: Vec<LinkedService>,
}

/// A service behind a terminating gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LinkedService {
    /// Its name, or `*` for all of its namespace.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
}
