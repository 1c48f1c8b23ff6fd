//! All that is asked of Consul, before anything is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::wire::{AgentCheck, AgentSelf, AgentService, Member, WanDatacenter};
use crate::consul::agent::{Address, AgentSettings, Client, segment};
use crate::consul::model::{CheckServiceNode, Node, Roots};
use crate::consul::register;
use crate::consul::rights::{self, Right};
use crate::doctor::ask::{Asked, get, post};
use crate::limits::{DOCTOR_AGENT_LOOKS, DOCTOR_DATACENTERS_AT_ONCE};

/// The gateway that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) service: String,
    pub(super) id: String,
}

/// What Consul said.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) subject: Subject,
    /// The agent's address, as it was given.
    pub(super) agent: String,
    /// Empty without one.
    pub(super) leader: Asked<String>,
    pub(super) agent_self: Asked<AgentSelf>,
    pub(super) place: Place,
    /// What is registered with the agent, by id.
    pub(super) services: Asked<BTreeMap<String, AgentService>>,
    pub(super) checks: Asked<BTreeMap<String, AgentCheck>>,
    pub(super) datacenters: Asked<Vec<String>>,
    /// Empty if the agent is no server.
    pub(super) wan_members: Asked<Vec<Member>>,
    pub(super) wan_datacenters: Asked<Vec<WanDatacenter>>,
    /// The instances of the gateway's service in the catalog.
    pub(super) instances: Asked<Vec<CheckServiceNode>>,
    /// The gateways of each datacenter in the federation states.
    pub(super) states: Asked<BTreeMap<String, Option<Vec<CheckServiceNode>>>>,
    /// The own datacenter, which answers without its name.
    pub(super) own: There,
    /// The other ones, by name.
    pub(super) others: BTreeMap<String, There>,
}

/// What a datacenter said.
#[derive(Debug)]
pub(super) struct There {
    pub(super) servers: Asked<Vec<CheckServiceNode>>,
    pub(super) roots: Asked<Roots>,
    /// Mesh gateways of the name that the subject has.
    pub(super) gateways: Asked<Vec<CheckServiceNode>>,
    pub(super) rights: Asked<Vec<Right>>,
}

/// Where the agent is.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The nodes whose agents answered, one after another.
    pub(super) nodes: BTreeSet<String>,
    /// The address of the node, as its agent or the catalog says.
    pub(super) node_address: Option<IpAddr>,
    /// The addresses that are dialed; empty for a unix socket.
    pub(super) dialed: Vec<IpAddr>,
}

impl Facts {
    /// The name of the own datacenter, as its servers or its agent say; one alone is the own.
    pub(super) fn datacenter(&self) -> Option<&str> {
        let servers = self.own.servers.iter().flatten();
        let of_servers = servers.map(|it| it.node.datacenter.as_str());
        let of_agent = self.agent_self.iter().map(|it| it.config.datacenter.as_str());
        let sole = match self.datacenters.as_deref() {
            Ok([sole]) => Some(sole.as_str()),
            _ => None,
        };
        of_servers.chain(of_agent).chain(sole).find(|name| !name.is_empty())
    }

    /// Whether Consul shows this token nothing: even the servers, which are always there, are
    /// hidden from it. What is not seen then is not missing.
    pub(super) fn is_hidden(&self) -> bool {
        self.own.servers.as_ref().is_ok_and(Vec::is_empty)
    }

    /// Every datacenter that answered or should have, with its name; the own one first.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = (&str, &There)> {
        let own = (self.datacenter().unwrap_or("this datacenter"), &self.own);
        std::iter::once(own).chain(self.others.iter().map(|(name, there)| (name.as_str(), there)))
    }
}

/// Asks for everything.
pub(super) async fn gather(client: &Client, settings: &AgentSettings, subject: Subject) -> Facts {
    let agent_self = get(client, "/v1/agent/self", &[]).await;
    let checks = get(client, "/v1/agent/checks", &[]).await;
    let place = place(client, settings, &agent_self, &checks).await;
    let own = ask_datacenter(client.clone(), subject.clone(), None).await;
    let datacenters: Asked<Vec<String>> = get(client, "/v1/catalog/datacenters", &[]).await;
    let instances = format!("/v1/health/service/{}", segment(&subject.service));
    let mut facts = Facts {
        agent: client.address().to_string(),
        leader: get(client, "/v1/status/leader", &[]).await,
        agent_self,
        place,
        services: get(client, "/v1/agent/services", &[]).await,
        checks,
        datacenters,
        wan_members: get(client, "/v1/agent/members", &[("wan", "1")]).await,
        wan_datacenters: get(client, "/v1/coordinate/datacenters", &[]).await,
        instances: get(client, &instances, &[]).await,
        states: get(client, "/v1/internal/federation-states/mesh-gateways", &[]).await,
        own,
        others: BTreeMap::new(),
        subject,
    };
    facts.others = others(client, &facts).await;
    facts
}

/// Asks the other datacenters side by side.
async fn others(client: &Client, facts: &Facts) -> BTreeMap<String, There> {
    // Without it, the own one would be taken for another.
    let Some(own) = facts.datacenter() else { return BTreeMap::new() };
    let names = facts.datacenters.as_ref().map_or(&[][..], Vec::as_slice);
    let free = Arc::new(Semaphore::new(DOCTOR_DATACENTERS_AT_ONCE));
    let mut asking = JoinSet::new();
    for name in names.iter().filter(|name| *name != own).cloned() {
        let (client, subject, free) = (client.clone(), facts.subject.clone(), Arc::clone(&free));
        asking.spawn_local(async move {
            // The semaphore is never closed.
            let _place = free.acquire().await;
            let there = ask_datacenter(client, subject, Some(name.clone())).await;
            (name, there)
        });
    }
    let mut others = BTreeMap::new();
    while let Some(answered) = asking.join_next().await {
        others.extend(answered.ok());
    }
    others
}

async fn ask_datacenter(client: Client, subject: Subject, name: Option<String>) -> There {
    let named = name.as_deref().map(|name| [("dc", name)]);
    let query = named.as_ref().map_or(&[][..], |named| &named[..]);
    let gateways = format!("/v1/health/service/{}", segment(&subject.service));
    There {
        servers: get(&client, "/v1/health/service/consul", query).await,
        roots: get(&client, "/v1/connect/ca/roots", query).await,
        gateways: get(&client, &gateways, query).await,
        rights: post(&client, rights::PATH, query, &rights::needed(Some(&subject.service))).await,
    }
}

/// Looks for the agent, and whether there are several behind its address.
async fn place(
    client: &Client,
    settings: &AgentSettings,
    agent_self: &Asked<AgentSelf>,
    checks: &Asked<BTreeMap<String, AgentCheck>>,
) -> Place {
    let mut place = Place { dialed: dialed(&settings.address), ..Place::default() };
    let Some(node) = node_of(agent_self, checks) else { return place };
    let told = agent_self.as_ref().ok().and_then(|told| told.member.addr.parse().ok());
    place.node_address = match told {
        Some(address) => Some(address),
        None => node_address(client, &node).await,
    };
    place.nodes.insert(node);
    for _ in 1..DOCTOR_AGENT_LOOKS {
        // A connection of its own each time: it is these that are spread.
        let Ok(client) = Client::new(settings) else { break };
        let agent_self = get(&client, "/v1/agent/self", &[]).await;
        let checks = match agent_self {
            Ok(_) => Ok(BTreeMap::new()),
            Err(_) => get(&client, "/v1/agent/checks", &[]).await,
        };
        place.nodes.extend(node_of(&agent_self, &checks));
    }
    place
}

/// The node of an agent. A token that may not read the agent may read its checks.
fn node_of(
    agent_self: &Asked<AgentSelf>,
    checks: &Asked<BTreeMap<String, AgentCheck>>,
) -> Option<String> {
    let told = agent_self.as_ref().ok().map(|told| told.config.node_name.clone());
    let of_checks = || checks.as_ref().ok()?.values().map(|check| check.node.clone()).next();
    told.or_else(of_checks).filter(|node| !node.is_empty())
}

async fn node_address(client: &Client, node: &str) -> Option<IpAddr> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Found {
        node: Node,
    }
    let path = format!("/v1/catalog/node/{}", segment(node));
    let found: Found = get(client, &path, &[]).await.ok()?;
    found.node.address.parse().ok()
}

fn dialed(address: &Address) -> Vec<IpAddr> {
    let Address::Url(url) = address else { return Vec::new() };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let found = (host, 0).to_socket_addrs();
    found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// Whether this host has an address. Asked of Linux, which has all of 127.0.0.0/8.
pub(super) fn is_here(address: IpAddr) -> bool {
    register::Address::new(address.to_string(), 0).is_bindable()
}
