//! What Consul makes of an upstream: its discovery chain.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::consul::agent::{Client, segment};
use crate::consul::model::MeshGateway;
use crate::doctor::ask::{Asked, post};

/// `/v1/discovery-chain/NAME`, as far as it is needed.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    chain: Chain,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Chain {
    start_node: String,
    nodes: BTreeMap<String, Node>,
    targets: BTreeMap<String, Target>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    resolver: Option<Resolver>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Resolver {
    target: String,
}

/// Where connections can end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Target {
    pub(super) service: String,
    pub(super) datacenter: String,
    pub(super) mesh_gateway: MeshGateway,
    /// The name that the sidecar asks for.
    #[serde(rename = "SNI")]
    pub(super) sni: String,
}

/// The targets of an upstream; the one of a chain that begins with a resolver comes first, what
/// it fails over to behind it. `mode` is what the sidecar's own registration says; empty: nothing.
pub(super) async fn targets(
    client: &Client,
    service: &str,
    datacenter: &str,
    mode: &str,
) -> Asked<Vec<Target>> {
    let path = format!("/v1/discovery-chain/{}", segment(service));
    let body = match mode {
        "" => json!({}),
        mode => json!({ "OverrideMeshGateway": { "Mode": mode } }),
    };
    let answer: Answer = post(client, &path, &[("compile-dc", datacenter)], &body).await?;
    Ok(answer.chain.in_order())
}

impl Chain {
    fn in_order(mut self) -> Vec<Target> {
        let start = self.nodes.get(&self.start_node).and_then(|node| node.resolver.as_ref());
        let first = start.and_then(|resolver| self.targets.remove(&resolver.target));
        first.into_iter().chain(self.targets.into_values()).collect()
    }
}
