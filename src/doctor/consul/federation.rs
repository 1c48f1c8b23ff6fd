//! Judges how the datacenters hang together: their names, the WAN pool, the primary.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, There};
use super::servers::{JOIN_REMEDY, REACH_REMEDY, federate_through_gateways};
use super::wire::Member;
use super::{Check, NAMES, PRIMARY, WAN, hidden};
use crate::consul::model::{CheckServiceNode, Status};

/// A server is known in its datacenter; one in the WAN pool that is not is of another datacenter
/// of the same name, which Consul joins without a word.
pub(super) fn names(facts: &Facts) -> Vec<Check> {
    let members = facts.wan_members.as_ref().map_or(&[][..], Vec::as_slice);
    let mut strangers = Vec::new();
    let mut compared_count = 0_usize;
    for (datacenter, there) in facts.everywhere() {
        let Some(known) = known_servers(there) else { continue };
        compared_count = compared_count.saturating_add(1);
        let found: Vec<&str> = if members.is_empty() {
            nodes_in_wan(facts, datacenter).filter(|node| !known.has_name(node)).collect()
        } else {
            let alive = members.iter().filter(|it| it.is_alive() && it.datacenter() == datacenter);
            alive.filter(|member| !known.has(member)).map(Member::node).collect()
        };
        strangers.extend(found.into_iter().map(|node| (datacenter, node)));
    }
    if strangers.is_empty() {
        return vec![match compared_count {
            0 => hidden(NAMES),
            1 => Check::pass(NAMES, "all servers of this name are of one datacenter"),
            count => Check::pass(NAMES, format!("{count} datacenters, each with its own name")),
        }];
    }
    let remedy = "give one of the two another name: `consul leave` on all its agents, datacenter = \
                  \"NAME\" in their configuration, and a start with empty data directories; a \
                  server that is gone for good leaves by `consul force-leave NODE.DATACENTER`";
    let told = |(datacenter, node): (&str, &str)| {
        let found = format!(
            "the server {node:?} says that it is of {datacenter:?}, whose servers do not know it: \
             two datacenters have this name"
        );
        // Coordinates do not say who is alive: it may have left.
        if members.is_empty() {
            return Check::warn(NAMES, found, remedy);
        }
        Check::fail(NAMES, found, remedy)
    };
    strangers.into_iter().map(told).collect()
}

/// The servers of a datacenter, as its catalog has them.
struct Known {
    names: BTreeSet<String>,
    ids: BTreeSet<String>,
}

impl Known {
    fn has_name(&self, node: &str) -> bool {
        self.names.contains(&node.to_ascii_lowercase())
    }

    /// Two servers of one name differ in their ids.
    fn has(&self, member: &Member) -> bool {
        match member.tags.get("id").filter(|id| !id.is_empty() && !self.ids.is_empty()) {
            Some(id) => self.ids.contains(id),
            None => self.has_name(member.node()),
        }
    }
}

/// `None` if none is shown: a datacenter always has one.
fn known_servers(there: &There) -> Option<Known> {
    let servers = there.servers.as_ref().ok().filter(|servers| !servers.is_empty())?;
    let names = servers.iter().map(|it| it.node.name.to_ascii_lowercase()).collect();
    let ids = servers.iter().map(|it| it.node.id.clone()).filter(|id| !id.is_empty());
    Some(Known { names, ids: ids.collect() })
}

fn nodes_in_wan<'a>(facts: &'a Facts, datacenter: &'a str) -> impl Iterator<Item = &'a str> {
    let listed = facts.wan_datacenters.iter().flatten();
    let servers = listed.filter(move |it| it.datacenter == datacenter);
    servers.flat_map(|it| it.coordinates.iter().flatten()).map(|server| server.node.as_str())
}

pub(super) fn wan(facts: &Facts) -> Vec<Check> {
    let names = match &facts.datacenters {
        Ok(names) => names,
        Err(error) => return vec![Check::fail(WAN, error.to_string(), "see the agent's log")],
    };
    let mut wrong: Vec<Check> = primary_not_joined(facts, names).into_iter().collect();
    for (datacenter, there) in facts.everywhere() {
        wrong.extend(servers_not_alive(facts, datacenter, there));
    }
    if !wrong.is_empty() {
        return wrong;
    }
    if facts.is_hidden() {
        return vec![hidden(WAN)];
    }
    vec![if names.len() > 1 {
        let count = names.len();
        Check::pass(WAN, format!("{count} datacenters are joined, and their servers are alive"))
    } else {
        Check::warn(
            WAN,
            "Consul knows of one datacenter only: there is none to be a gateway to",
            join_remedy(facts, "another datacenter"),
        )
    }]
}

fn primary_not_joined(facts: &Facts, names: &[String]) -> Option<Check> {
    let primary = configured_primary(facts)?;
    if names.iter().any(|name| name.eq_ignore_ascii_case(primary)) {
        return None;
    }
    let found = format!(
        "the primary datacenter is {primary:?}, but it is not WAN joined: Consul knows only {}",
        listed(names)
    );
    Some(Check::fail(WAN, found, join_remedy(facts, &format!("{primary:?}"))))
}

fn join_remedy(facts: &Facts, whom: &str) -> String {
    if federate_through_gateways(facts) == Some(true) {
        return JOIN_REMEDY.to_owned();
    }
    format!(
        "`consul join -wan ADDRESS` on a server, with the address of a server of {whom}; \
         retry_join_wan = [\"ADDRESS\"] in the configuration of the servers makes it last"
    )
}

fn servers_not_alive(facts: &Facts, datacenter: &str, there: &There) -> Vec<Check> {
    let servers = match &there.servers {
        Ok(servers) => servers,
        Err(error) => {
            let found = format!("the servers of {datacenter:?} cannot be asked: {error}");
            let remedy = format!(
                "start those of {datacenter:?}; {}; `consul members -wan` on a server says who is \
                 alive",
                reach_remedy(facts)
            );
            return vec![Check::fail(WAN, found, remedy)];
        }
    };
    let mut wrong = Vec::new();
    for server in servers.iter().filter(|server| !is_alive(server)) {
        let node = &server.node.name;
        let found = format!("the server {node:?} of {datacenter:?} is not alive");
        let remedy = format!("start it, or remove it for good with `consul force-leave {node}`");
        wrong.push(Check::fail(WAN, found, remedy));
    }
    let is_known = |member: &Member| servers.iter().any(|it| it.node.name == member.node());
    for member in facts.wan_members.iter().flatten() {
        if member.datacenter() != datacenter || member.is_alive() || member.status == Member::LEFT {
            continue;
        }
        if is_known(member) && wrong.is_empty() {
            let found = format!(
                "{:?} at {} is alive in {datacenter:?}, but cannot be reached from here over WAN",
                member.name, member.addr
            );
            wrong.push(Check::fail(WAN, found, reach_remedy(facts)));
        } else if !is_known(member) {
            let found = format!("{:?} at {} is gone without a farewell", member.name, member.addr);
            let remedy = format!("start it, or `consul force-leave {}`", member.name);
            wrong.push(Check::warn(WAN, found, remedy));
        }
    }
    wrong
}

fn reach_remedy(facts: &Facts) -> &'static str {
    if federate_through_gateways(facts) == Some(true) {
        return REACH_REMEDY;
    }
    "let the servers of both datacenters reach each other's ports 8300 (TCP) and 8302 (TCP and UDP)"
}

fn is_alive(server: &CheckServiceNode) -> bool {
    !server.checks.iter().any(|check| check.id == "serfHealth" && check.status == Status::Critical)
}

/// Datacenters that share a primary share its trust domain.
pub(super) fn primary(facts: &Facts) -> Vec<Check> {
    let mut domains: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (datacenter, there) in facts.everywhere() {
        if let Ok(roots) = &there.roots
            && !roots.trust_domain.is_empty()
        {
            domains.entry(&roots.trust_domain).or_default().push(datacenter);
        }
    }
    let count: usize = domains.values().map(Vec::len).sum();
    if count < 2 {
        return vec![Check::not_applicable(PRIMARY, "there are no two datacenters to compare")];
    }
    if domains.len() == 1 {
        return vec![Check::pass(PRIMARY, format!("{count} datacenters have one trust domain"))];
    }
    let chosen = chosen_primary(facts, &domains);
    let is_right = |datacenters: &[&str]| datacenters.contains(&chosen);
    let wrong = domains.iter().filter(|(_, datacenters)| !is_right(datacenters));
    let told = wrong.map(|(domain, datacenters)| {
        let datacenters = listed(datacenters);
        let found = format!(
            "the trust domain of {datacenters} is {domain}, and that of {chosen:?} is another: \
             they have no common primary, so no service of one trusts those of the other"
        );
        let remedy = format!(
            "set primary_datacenter = {chosen:?} in the configuration of every server of \
             {datacenters}, and restart them with empty data directories"
        );
        Check::fail(PRIMARY, found, remedy)
    });
    told.collect()
}

/// The primary that is configured, if it is among them; else one of the most.
fn chosen_primary<'a>(facts: &'a Facts, domains: &BTreeMap<&str, Vec<&'a str>>) -> &'a str {
    let names = || domains.values().flatten().copied();
    let configured = configured_primary(facts);
    let configured = configured.and_then(|primary| names().find(|name| *name == primary));
    // The first of those that are equal: the own datacenter's, which knows itself best.
    let own = facts.datacenter();
    let of_most = domains
        .values()
        .max_by_key(|names| (names.len(), own.is_some_and(|own| names.contains(&own))));
    configured.or_else(|| of_most?.first().copied()).unwrap_or_default()
}

fn configured_primary(facts: &Facts) -> Option<&str> {
    let agent = facts.agent_self.as_ref().ok()?;
    Some(agent.debug_config.primary_datacenter.as_str()).filter(|name| !name.is_empty())
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{:?}", name.as_ref())).collect();
    quoted.join(", ")
}
