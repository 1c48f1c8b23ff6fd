//! What a body must be to be taken. Consul answers a token without rights with 200 and an empty
//! list: what cannot be whole is refused here, and what was in force stays.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::consul::model::{CheckServiceNode, Mesh, Node, Roots};
use crate::consul::watch::Part;
use crate::route::Name;
use crate::route::model::NameError;

/// Why an answer is not taken. One sentence for the operator.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// It is not what Consul sends.
    #[error(
        "the answer for {} is not what Consul sends ({source}): check that the agent's address \
         leads to a Consul agent, and that no proxy in between cuts answers short", part.path()
    )]
    Malformed {
        /// The question.
        part: Part,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No trust domain.
    #[error(
        "Consul names no trust domain: its certificate authority is not ready, or Connect is off; \
         set connect.enabled on the servers"
    )]
    NoTrustDomain,
    /// A trust domain that no name can be made of.
    #[error("Consul names {name:?} as its trust domain, and no server name can end with it: {why}")]
    TrustDomain {
        /// What it names.
        name: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// No node at all.
    #[error(
        "the catalog came without a node, and the agent's own is always there: the token lacks \
         node:read; give it node_prefix \"\" {{ policy = \"read\" }}"
    )]
    NoNodes,
    /// Not even the servers.
    #[error(
        "the catalog came without the service `consul`, which is always there: the token lacks \
         service:read; give it service_prefix \"\" {{ policy = \"read\" }}"
    )]
    NoConsulService,
    /// No servers.
    #[error(
        "Consul names no server of its own: the token lacks node:read or service:read; give it \
         node_prefix \"\" {{ policy = \"read\" }} and service_prefix \"\" {{ policy = \"read\" }}"
    )]
    NoServers,
    /// Servers of no datacenter, or of several.
    #[error(
        "Consul does not say which datacenter its servers are of ({}): their nodes name {}",
        Part::Servers.path(), if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )]
    NoOwnDatacenter {
        /// What they say.
        names: Vec<String>,
    },
    /// No datacenter at all.
    #[error(
        "Consul names no datacenter, not even its own: the agent has not found a server yet; \
         see `consul members`"
    )]
    NoDatacenters,
}

pub(super) fn roots(body: &[u8]) -> Result<Roots, AnswerError> {
    let roots: Roots = parse(Part::Roots, body)?;
    if roots.trust_domain.is_empty() {
        return Err(AnswerError::NoTrustDomain);
    }
    match Name::parse(&roots.trust_domain) {
        Ok(_) => Ok(roots),
        Err(why) => Err(AnswerError::TrustDomain { name: roots.trust_domain, why }),
    }
}

pub(super) fn catalog(body: &[u8]) -> Result<Vec<Node>, AnswerError> {
    let nodes: Vec<Node> = list(Part::Catalog, body)?;
    // What peers export comes along where there are peers.
    let own = || nodes.iter().filter(|node| node.peer_name.is_empty());
    if own().next().is_none() {
        return Err(AnswerError::NoNodes);
    }
    let mut services = own().flat_map(|node| &node.services);
    if !services.any(|service| service.name == "consul") {
        return Err(AnswerError::NoConsulService);
    }
    Ok(nodes)
}

pub(super) fn gateways(
    body: &[u8],
) -> Result<BTreeMap<String, Vec<CheckServiceNode>>, AnswerError> {
    let states: Option<BTreeMap<String, Option<Vec<CheckServiceNode>>>> =
        parse(Part::Gateways, body)?;
    let states = states.unwrap_or_default().into_iter();
    Ok(states.map(|(name, gateways)| (name, gateways.unwrap_or_default())).collect())
}

pub(super) fn datacenters(body: &[u8]) -> Result<Vec<String>, AnswerError> {
    let mut names: Vec<String> = list(Part::Datacenters, body)?;
    if names.is_empty() {
        return Err(AnswerError::NoDatacenters);
    }
    // They come by distance, which changes with every measurement.
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

pub(super) fn servers(body: &[u8]) -> Result<Vec<CheckServiceNode>, AnswerError> {
    let servers: Vec<CheckServiceNode> = list(Part::Servers, body)?;
    if servers.is_empty() {
        return Err(AnswerError::NoServers);
    }
    let mut names: Vec<String> = servers
        .iter()
        .map(|server| server.node.datacenter.clone())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [_] => Ok(servers),
        _ => Err(AnswerError::NoOwnDatacenter { names }),
    }
}

pub(super) fn mesh(body: &[u8]) -> Result<Mesh, AnswerError> {
    parse::<Option<Mesh>>(Part::Mesh, body).map(Option::unwrap_or_default)
}

/// A list, which Go writes as `null` when it is empty.
pub(super) fn list<T: DeserializeOwned>(part: Part, body: &[u8]) -> Result<Vec<T>, AnswerError> {
    parse::<Option<Vec<T>>>(part, body).map(Option::unwrap_or_default)
}

fn parse<T: DeserializeOwned>(part: Part, body: &[u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(body).map_err(|source| AnswerError::Malformed { part, source })
}
