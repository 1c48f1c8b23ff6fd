//! What is read of answers that only the doctor asks for. Go leaves out what is empty or writes
//! `null` for it; unknown fields are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `/v1/agent/self`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AgentSelf {
    pub(super) config: AgentConfig,
    pub(super) debug_config: DebugConfig,
    pub(super) member: Member,
}

/// What an agent is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AgentConfig {
    pub(super) datacenter: String,
    pub(super) node_name: String,
    pub(super) version: String,
}

/// How it is configured. What is not there, this version does not say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct DebugConfig {
    pub(super) primary_datacenter: String,
    #[serde(rename = "GRPCPort")]
    pub(super) grpc_port: Option<i64>,
    /// Since 1.14.
    #[serde(rename = "GRPCTLSPort")]
    pub(super) grpc_tls_port: Option<i64>,
    pub(super) enable_central_service_config: Option<bool>,
    pub(super) server_mode: bool,
    /// Of servers, since 1.8.
    #[serde(rename = "ConnectMeshGatewayWANFederationEnabled")]
    pub(super) federates_through_gateways: bool,
}

/// A member of a gossip pool: an element of `/v1/agent/members`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Member {
    /// In the WAN pool `NODE.DATACENTER`.
    pub(super) name: String,
    pub(super) addr: String,
    pub(super) status: i64,
    pub(super) tags: BTreeMap<String, String>,
}

impl Member {
    /// serf's `StatusAlive`.
    pub(super) const ALIVE: i64 = 1;
    /// serf's `StatusLeft`: it said farewell.
    pub(super) const LEFT: i64 = 3;

    pub(super) fn datacenter(&self) -> &str {
        self.tags.get("dc").map_or("", String::as_str)
    }

    /// The name of the node. A node has no dot in its name in a WAN pool.
    pub(super) fn node(&self) -> &str {
        self.name.split_once('.').map_or(&self.name, |(node, _)| node)
    }

    pub(super) const fn is_alive(&self) -> bool {
        self.status == Self::ALIVE
    }
}

/// A datacenter with the servers of it that are in the WAN pool: an element of
/// `/v1/coordinate/datacenters`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct WanDatacenter {
    pub(super) datacenter: String,
    pub(super) coordinates: Option<Vec<WanServer>>,
}

/// A server in the WAN pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct WanServer {
    pub(super) node: String,
}

/// A check of an agent: a value of `/v1/agent/checks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AgentCheck {
    pub(super) node: String,
    #[serde(rename = "CheckID")]
    pub(super) id: String,
    pub(super) status: String,
    pub(super) output: String,
    /// Empty for a check of the node.
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
}

/// A service of an agent: a value of `/v1/agent/services`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AgentService {
    pub(super) kind: String,
    pub(super) meta: Option<BTreeMap<String, String>>,
}
