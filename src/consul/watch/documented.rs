//! The catalog by Consul's documented API alone, for agents without `/v1/internal/ui/nodes`.
//!
//! What changes is heard of by two questions that the agent holds: `catalog/services` changes with
//! every registration, `health/state/any` with every check. What there is then comes node by node,
//! and is put together as the one answer that the rest expects. A check that changes costs one
//! question; a registration one for each node.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::Part;
use super::blocking::Query;
use super::follow::limits_of;
use crate::consul::agent::{AgentError, Answer, Client, segment};
use crate::limits::AGENT_NODES_AT_ONCE;

const SERVICES: &str = "/v1/catalog/services";
const CHECKS: &str = "/v1/health/state/any";
const NODES: &str = "/v1/catalog/nodes";

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Documented {
    services_index: Option<u64>,
    checks_index: Option<u64>,
    /// Nodes with their services, without checks.
    nodes: Vec<Map<String, Value>>,
    /// Counts the answers: their index.
    count: u64,
}

impl Documented {
    /// Answers as `internal/ui/nodes` would.
    pub(super) async fn ask(
        &mut self,
        client: &Client,
        query: &Query,
    ) -> Result<Answer, AgentError> {
        if query.held.is_some() {
            tokio::select! {
                changed = get(client, SERVICES, query, self.services_index) => drop(changed?),
                changed = get(client, CHECKS, query, self.checks_index) => drop(changed?),
            }
        } else {
            self.services_index = None;
        }
        let now = Query { held: None, ..*query };
        let services = get(client, SERVICES, &now, None).await?;
        if services.index.is_none() || services.index != self.services_index {
            self.nodes = nodes(client, &now).await?;
            self.services_index = services.index;
        }
        let checks = get(client, CHECKS, &now, None).await?;
        self.checks_index = checks.index;
        self.count = self.count.wrapping_add(1);
        let body = self.with(client, &checks)?;
        Ok(Answer::made(body, self.count))
    }

    /// The nodes, each with the checks of itself and of its services.
    fn with(&self, client: &Client, checks: &Answer) -> Result<Bytes, AgentError> {
        let mut by_node: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for check in client.read::<Vec<Value>>(CHECKS, checks)? {
            by_node.entry(text(check.get("Node"))).or_default().push(check);
        }
        let nodes = self.nodes.iter().cloned().map(|mut node| {
            let checks = by_node.remove(&text(node.get("Node"))).unwrap_or_default();
            node.insert("Checks".to_owned(), checks.into());
            Value::Object(node)
        });
        Ok(Value::Array(nodes.collect()).to_string().into())
    }
}

/// Every node with its services, some at a time.
async fn nodes(client: &Client, query: &Query) -> Result<Vec<Map<String, Value>>, AgentError> {
    let list = get(client, NODES, query, None).await?;
    let mut waiting = client.read::<Vec<Map<String, Value>>>(NODES, &list)?.into_iter();
    let (mut asking, mut nodes) = (JoinSet::new(), Vec::new());
    loop {
        while asking.len() < AGENT_NODES_AT_ONCE {
            let Some(node) = waiting.next() else { break };
            asking.spawn_local(with_services(client.clone(), *query, node));
        }
        match asking.join_next().await {
            None => break,
            Some(Ok(node)) => nodes.push(node?),
            // It was given up, and so is this.
            Some(Err(_)) => std::future::pending().await,
        }
    }
    // As they finish they come in any order, which would be news each time.
    nodes.sort_by_cached_key(|node| text(node.get("Node")));
    Ok(nodes)
}

async fn with_services(
    client: Client,
    query: Query,
    mut node: Map<String, Value>,
) -> Result<Map<String, Value>, AgentError> {
    let path = format!("/v1/catalog/node/{}", segment(&text(node.get("Node"))));
    let answer = get(&client, &path, &query, None).await?;
    let answer: Value = client.read(&path, &answer)?;
    let services = answer.get("Services").and_then(Value::as_object);
    let services: Vec<Value> = services.into_iter().flatten().map(|(_, it)| it.clone()).collect();
    // The answer of all nodes does not name the datacenter either.
    node.remove("Datacenter");
    node.insert("Services".to_owned(), services.into());
    Ok(node)
}

async fn get(
    client: &Client,
    path: &str,
    query: &Query,
    index: Option<u64>,
) -> Result<Answer, AgentError> {
    let held = query.held.zip(index).map(|((_, wait), index)| (index, wait));
    let parameters = Query { held, ..*query }.parameters();
    let asked = parameters.iter().map(|(key, value)| (*key, &**value));
    let asked: Vec<_> = asked.chain(Part::Catalog.scope(client)).collect();
    client.get(path, &asked, limits_of(query)).await
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
