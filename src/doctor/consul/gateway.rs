//! Judges what Consul knows of this gateway, and of those of other datacenters.

use super::facts::{Facts, There};
use super::wire::AgentCheck;
use super::{Check, REGISTRATION, STATES};
use crate::consul::agent::AgentError;
use crate::consul::model::{CheckServiceNode, Kind};

/// Whether the agent has the registration, passes its checks, and has brought it to the catalog.
pub(super) fn registration(facts: &Facts) -> Check {
    let (service, id) = (&facts.subject.service, &facts.subject.id);
    let remedy = "`sluice run --register` makes it; --service and --proxy-id say under which name";
    let services = match &facts.services {
        Ok(services) => services,
        Err(error) => return unread(REGISTRATION, error),
    };
    let Some(found) = services.get(id) else {
        let found = format!("the agent has no service with the id {id:?}");
        return Check::fail(REGISTRATION, found, remedy);
    };
    if found.kind != Kind::MeshGateway.as_str() {
        let kind = if found.kind.is_empty() { "ordinary service" } else { &found.kind };
        let found = format!("the service with the id {id:?} is no mesh gateway, but: {kind}");
        let remedy = "give the id of the gateway with --proxy-id";
        return Check::fail(REGISTRATION, found, remedy);
    }
    if let Some(check) = critical(facts) {
        let output = check.output.lines().next().unwrap_or_default();
        let found = format!("the check {:?} is critical: {output}", check.id);
        return Check::fail(REGISTRATION, found, healing(check));
    }
    let node = facts.place.nodes.first();
    let is_it = |instance: &&CheckServiceNode| {
        instance.service.id == *id && node.is_none_or(|node| instance.node.name == *node)
    };
    match &facts.instances {
        Ok(instances) if instances.iter().any(|instance| is_it(&instance)) => {
            Check::pass(REGISTRATION, format!("{id:?} is registered as {service:?}, and passing"))
        }
        Ok(_) => {
            let found = format!(
                "the agent has {id:?}, but the catalog has no {service:?} of that id on its node: \
                 the token that it was registered with lacks service:write, or is not valid any \
                 more"
            );
            let remedy = "restart the gateway with a token that has the right; the agent's log \
                          (`consul monitor`) says what it could not write";
            Check::fail(REGISTRATION, found, remedy)
        }
        Err(error) => unread(REGISTRATION, error),
    }
}

/// The first check that keeps others from using the gateway: its own, or its node's.
fn critical(facts: &Facts) -> Option<&AgentCheck> {
    let checks = facts.checks.iter().flatten().map(|(_, check)| check);
    let mut counting =
        checks.filter(|it| it.service_id == facts.subject.id || it.service_id.is_empty());
    counting.find(|check| check.status == "critical")
}

fn healing(check: &AgentCheck) -> String {
    match check.id.as_str() {
        "_node_maintenance" => {
            "`consul maint -disable` ends the maintenance of the node".to_owned()
        }
        id if id.starts_with("_service_maintenance:") => {
            format!("`consul maint -disable -service={}` ends the maintenance", check.service_id)
        }
        id if id.starts_with("sluice:") => {
            "start the gateway, or see its log for why it does not serve".to_owned()
        }
        id => format!(
            "see to what the check looks at; one that is left over goes by `curl -X PUT \
             $CONSUL_HTTP_ADDR/v1/agent/check/deregister/{id}`"
        ),
    }
}

/// What other datacenters learn of gateways by, since Consul 1.8.
pub(super) fn states(facts: &Facts) -> Vec<Check> {
    let states = match &facts.states {
        Ok(states) => states,
        Err(error) if error.status() == Some(404) => {
            let found = "this Consul has none: they came with 1.8";
            return vec![Check::not_applicable(STATES, found)];
        }
        Err(error) => return vec![unread(STATES, error)],
    };
    let has = |datacenter: &str| {
        let list = states.get(datacenter).and_then(Option::as_ref);
        list.is_some_and(|list| list.iter().any(|it| it.service.kind == Kind::MeshGateway))
    };
    let missing = facts.everywhere().filter(|(datacenter, _)| !has(datacenter));
    let missing: Vec<Check> =
        missing.map(|(datacenter, there)| missing_state(datacenter, there)).collect();
    if missing.is_empty() {
        let count = facts.everywhere().count();
        let found = format!("they have gateways of each of the {count} datacenters");
        return vec![Check::pass(STATES, found)];
    }
    missing
}

fn missing_state(datacenter: &str, there: &There) -> Check {
    let gateways = there.gateways.iter().flatten();
    match gateways.filter(|it| it.service.kind == Kind::MeshGateway).count() {
        0 => Check::fail(
            STATES,
            format!("they have no mesh gateway of {datacenter:?}"),
            format!(
                "run one there (`sluice run --register`), or see why that of {datacenter:?} \
                     is not registered (`sluice doctor consul` there)"
            ),
        ),
        count => Check::fail(
            STATES,
            format!(
                "{datacenter:?} has {count} mesh gateways, but brings none to the others: its \
                 servers do so with their replication token"
            ),
            format!(
                "set acl.tokens.replication on the servers of {datacenter:?}, to a token with \
                 operator = \"write\" in the primary (`consul acl set-agent-token replication \
                 SECRET`)"
            ),
        ),
    }
}

fn unread(name: &'static str, error: &AgentError) -> Check {
    Check::warn(name, error.to_string(), "see the check of the token, and the agent's log")
}
