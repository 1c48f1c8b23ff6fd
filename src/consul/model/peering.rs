//! Clusters that are peers: `/v1/exported-services`, `/v1/peerings`, `/v1/config/mesh/mesh`
//! (`api/exported_services.go`, `api/peering.go` and `api/config_entry_mesh.go` of Consul 1.17).

use serde::Deserialize;

use super::or_default;

/// A service that others may use, and who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExportedService {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub service: String,
    /// Its namespace; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its partition; empty where there are none.
    #[serde(deserialize_with = "or_default")]
    pub partition: String,
    /// Who may use it.
    #[serde(deserialize_with = "or_default")]
    pub consumers: Consumers,
}

/// Who may use a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Consumers {
    /// Peers, by the names that they have here.
    #[serde(deserialize_with = "or_default")]
    pub peers: Vec<String>,
}

/// A cluster that is a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Peering {
    /// The name that it has here.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// `ACTIVE`, `TERMINATED` and so on.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// The server name that its servers are asked for by; empty if they dial.
    #[serde(deserialize_with = "or_default")]
    pub peer_server_name: String,
    /// Where they are, as they say: `ADDRESS:PORT`.
    #[serde(deserialize_with = "or_default")]
    pub peer_server_addresses: Vec<String>,
    /// Where they are, as somebody typed; these count where there are any.
    #[serde(deserialize_with = "or_default")]
    pub manual_server_addresses: Vec<String>,
}

/// The mesh entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mesh {
    /// What it says of peers.
    #[serde(deserialize_with = "or_default")]
    pub peering: MeshPeering,
}

/// What the mesh entry says of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MeshPeering {
    /// Whether servers reach those of peers through gateways.
    #[serde(deserialize_with = "or_default")]
    pub peer_through_mesh_gateways: bool,
}
