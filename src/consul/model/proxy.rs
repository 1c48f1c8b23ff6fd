//! What a registration says of a proxy. Only a sidecar's destination decides about routes; the
//! rest is for the filters of subsets.

use serde::Deserialize;

use super::or_default;

/// What a proxy stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Proxy {
    /// The service that a sidecar receives connections for.
    #[serde(deserialize_with = "or_default")]
    pub destination_service_name: String,
    /// The instance of it.
    #[serde(rename = "DestinationServiceID", deserialize_with = "or_default")]
    pub destination_service_id: String,
    /// Where that instance is, seen from the sidecar.
    #[serde(deserialize_with = "or_default")]
    pub local_service_address: String,
    /// Its port there.
    #[serde(deserialize_with = "or_default")]
    pub local_service_port: i64,
    /// What it forwards connections of its service to.
    #[serde(deserialize_with = "or_default")]
    pub upstreams: Vec<Upstream>,
    /// How it reaches other datacenters.
    #[serde(deserialize_with = "or_default")]
    pub mesh_gateway: MeshGateway,
    /// What it serves without mTLS.
    #[serde(deserialize_with = "or_default")]
    pub expose: Expose,
    /// Its options, as far as they are needed.
    #[serde(deserialize_with = "or_default")]
    pub config: ProxyConfig,
}

/// Options of a proxy, merged by Consul with those of service-defaults and proxy-defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ProxyConfig {
    /// What its service speaks: a text such as `tcp` or `http`. Anything else can be written.
    pub protocol: serde_json::Value,
}

impl ProxyConfig {
    /// Whether its service speaks HTTP (Consul's `IsProtocolHTTPLike`).
    #[must_use]
    pub fn is_http(&self) -> bool {
        let protocol = self.protocol.as_str().unwrap_or_default().to_ascii_lowercase();
        matches!(protocol.as_str(), "http" | "http2" | "grpc")
    }
}

/// What a sidecar forwards connections of its service to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Upstream {
    /// `service` or `prepared_query`.
    #[serde(deserialize_with = "or_default")]
    pub destination_type: String,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub destination_namespace: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub destination_name: String,
    /// Its datacenter; empty for the own one.
    #[serde(deserialize_with = "or_default")]
    pub datacenter: String,
    /// Where the sidecar listens for it.
    #[serde(deserialize_with = "or_default")]
    pub local_bind_address: String,
    /// The port there.
    #[serde(deserialize_with = "or_default")]
    pub local_bind_port: i64,
    /// How it is reached in another datacenter.
    #[serde(deserialize_with = "or_default")]
    pub mesh_gateway: MeshGateway,
}

/// How a sidecar reaches other datacenters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MeshGateway {
    /// `local`, `remote`, `none`, or empty: not said here.
    #[serde(deserialize_with = "or_default")]
    pub mode: String,
}

/// What a sidecar serves without mTLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Expose {
    /// Whether the agent's HTTP checks are.
    #[serde(deserialize_with = "or_default")]
    pub checks: bool,
    /// Paths that are.
    #[serde(deserialize_with = "or_default")]
    pub paths: Vec<ExposedPath>,
}

/// A path that is served without mTLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExposedPath {
    /// Where the sidecar listens for it.
    #[serde(deserialize_with = "or_default")]
    pub listener_port: i64,
    /// The path.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// The service's port for it.
    #[serde(deserialize_with = "or_default")]
    pub local_path_port: i64,
    /// `http` or `http2`.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
    /// Whether a check asked for it.
    #[serde(deserialize_with = "or_default")]
    pub parsed_from_check: bool,
}
