//! Configuration entries, and the roots of the certificate authority.

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
