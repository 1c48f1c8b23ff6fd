//! Nodes, services and checks: elements of `/v1/internal/ui/nodes`, `/v1/health/service/NAME`
//! and `/v1/internal/federation-states/mesh-gateways`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::Check;
use super::or_default;
use super::proxy::Proxy;

/// A node. In `/v1/internal/ui/nodes` it carries its services and all checks of both; as a part
/// of a [`CheckServiceNode`] it carries neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Node {
    /// A UUID; empty for external nodes.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// Its name.
    #[serde(rename = "Node", deserialize_with = "or_default")]
    pub name: String,
    /// Its address: an IP address, or a host name for external services.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// Empty in `/v1/internal/ui/nodes`: it is the one asked for.
    #[serde(deserialize_with = "or_default")]
    pub datacenter: String,
    /// Further addresses. Only `wan` is ever dialed.
    #[serde(deserialize_with = "or_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// What its operator says of it.
    #[serde(deserialize_with = "or_default")]
    pub meta: BTreeMap<String, String>,
    /// The peer it was imported from; empty for all others (Consul 1.13).
    #[serde(deserialize_with = "or_default")]
    pub peer_name: String,
    /// What is registered on it.
    #[serde(deserialize_with = "or_default")]
    pub services: Vec<Service>,
    /// Its checks and those of its services.
    #[serde(deserialize_with = "or_default")]
    pub checks: Vec<Check>,
}

/// An instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Service {
    /// What it is.
    #[serde(deserialize_with = "or_default")]
    pub kind: Kind,
    /// Its identity on its node.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// The name of the service.
    #[serde(rename = "Service", deserialize_with = "or_default")]
    pub name: String,
    /// Words that it is found by.
    #[serde(deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// What its operator says of it.
    #[serde(deserialize_with = "or_default")]
    pub meta: BTreeMap<String, String>,
    /// Its address; empty: that of its node.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// Its port. Consul does not promise that it is one.
    #[serde(deserialize_with = "or_default")]
    pub port: i64,
    /// A Unix socket in place of address and port (Consul 1.10).
    #[serde(deserialize_with = "or_default")]
    pub socket_path: String,
    /// Further addresses. Only `wan` is ever dialed.
    #[serde(deserialize_with = "or_default")]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Its share of connections.
    pub weights: Option<Weights>,
    /// Whether others may change its tags.
    #[serde(deserialize_with = "or_default")]
    pub enable_tag_override: bool,
    /// What it is a proxy for.
    #[serde(deserialize_with = "or_default")]
    pub proxy: Proxy,
    /// Whether it speaks mTLS by itself.
    #[serde(deserialize_with = "or_default")]
    pub connect: Connect,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its partition; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub partition: String,
    /// The peer it was imported from; empty for all others (Consul 1.13).
    #[serde(deserialize_with = "or_default")]
    pub peer_name: String,
}

/// What an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Kind {
    /// A service like any other.
    #[default]
    #[serde(rename = "")]
    Typical,
    /// A sidecar.
    #[serde(rename = "connect-proxy")]
    ConnectProxy,
    /// A gateway between datacenters.
    #[serde(rename = "mesh-gateway")]
    MeshGateway,
    /// A gateway to services outside of the mesh.
    #[serde(rename = "terminating-gateway")]
    TerminatingGateway,
    /// A gateway for clients outside of the mesh.
    #[serde(rename = "ingress-gateway")]
    IngressGateway,
    /// A kind of later versions.
    #[serde(other)]
    Other,
}

impl Kind {
    /// As Consul writes it; `unknown` for what is not known here.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Typical => "",
            Self::ConnectProxy => "connect-proxy",
            Self::MeshGateway => "mesh-gateway",
            Self::TerminatingGateway => "terminating-gateway",
            Self::IngressGateway => "ingress-gateway",
            Self::Other => "unknown",
        }
    }
}

/// An address of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ServiceAddress {
    /// An IP address or a host name.
    #[serde(deserialize_with = "or_default")]
    pub address: String,
    /// 0: the port of the service.
    #[serde(deserialize_with = "or_default")]
    pub port: i64,
}

/// The weights of an instance, by its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Weights {
    /// While all its checks pass.
    pub passing: i64,
    /// While one of them warns.
    pub warning: i64,
}

/// Consul's own (`structs.ServiceDefinition.NodeService`).
impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// What a service knows of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Connect {
    /// It speaks mTLS by itself, without a sidecar.
    #[serde(deserialize_with = "or_default")]
    pub native: bool,
    /// How its peer wants it to be asked for, if it was imported (Consul 1.13).
    #[serde(deserialize_with = "or_default")]
    pub peer_meta: PeerMeta,
}

/// What a peer says of a service that it exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PeerMeta {
    /// The server names that lead to it; the first one counts.
    #[serde(rename = "SNI", deserialize_with = "or_default")]
    pub server_names: Vec<String>,
}

/// An instance with its node and the checks of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CheckServiceNode {
    /// Its node.
    #[serde(deserialize_with = "or_default")]
    pub node: Node,
    /// The instance.
    #[serde(deserialize_with = "or_default")]
    pub service: Service,
    /// All checks that count for it.
    #[serde(deserialize_with = "or_default")]
    pub checks: Vec<Check>,
}
