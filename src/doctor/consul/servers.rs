//! Judges whether Consul's servers find each other, where they federate through mesh gateways:
//! they use only those whose registration says so, and whose checks pass (Consul's
//! `agent/consul/gateway_locator.go`).

use super::facts::{Facts, There};
use super::{Check, SERVERS, hidden};
use crate::consul::model::{CheckServiceNode, Kind, Status};
use crate::consul::register::FEDERATION_META;

/// How an operator has Consul's servers join through gateways. Consul refuses `consul join -wan`
/// then, and `retry_join_wan`.
pub(super) const JOIN_REMEDY: &str = "servers that federate through gateways join by them: run one \
     in the primary datacenter (`sluice run --register --expose-servers`), and set \
     primary_gateways = [\"ADDRESS\"], which is its --wan-address, in the configuration of the \
     servers of every other one";

/// How they reach each other again.
pub(super) const REACH_REMEDY: &str = "they reach each other through gateways: run one in both \
     datacenters (`sluice run --register --expose-servers`), and let those of one reach the \
     --wan-address of the other's";

/// Whether servers of different datacenters reach each other through gateways; `None` if nobody
/// says. Only a server's own agent knows; but no gateway is registered for it without need.
pub(super) fn federate_through_gateways(facts: &Facts) -> Option<bool> {
    let is_seen = || facts.everywhere().any(|(name, there)| serves(facts, name, there));
    told(facts).or_else(|| is_seen().then_some(true))
}

/// The same as a server's own agent says it, if that is whom we ask.
fn told(facts: &Facts) -> Option<bool> {
    let agent = facts.agent_self.as_ref().ok().map(|agent| &agent.debug_config);
    agent.filter(|config| config.server_mode).map(|it| it.federates_through_gateways)
}

/// Whether every datacenter has a gateway for servers, and this is one.
pub(super) fn servers(facts: &Facts) -> Vec<Check> {
    if facts.is_hidden() {
        return vec![hidden(SERVERS)];
    }
    match federate_through_gateways(facts) {
        Some(true) => {}
        Some(false) => {
            let found = "Consul's servers reach each other without gateways";
            return vec![Check::not_applicable(SERVERS, found)];
        }
        None => {
            let found = "no gateway is registered for Consul's servers to federate through";
            return vec![Check::not_applicable(SERVERS, found)];
        }
    }
    let without = facts.everywhere().filter(|(name, there)| !serves(facts, name, there));
    let mut wrong: Vec<Check> =
        without.map(|(name, there)| without_gateway(facts, name, there)).collect();
    if wrong.is_empty() && !own_is_for_servers(facts) {
        wrong.push(unused(facts));
    }
    if !wrong.is_empty() {
        return wrong;
    }
    let count = facts.everywhere().count();
    let found =
        format!("Consul's servers federate through gateways of each of {count} datacenters");
    vec![Check::pass(SERVERS, found)]
}

fn without_gateway(facts: &Facts, datacenter: &str, there: &There) -> Check {
    let remedy = format!(
        "start a gateway of {datacenter:?} with --expose-servers; in a registration by others, \
         that is the meta {FEDERATION_META} = \"1\""
    );
    // Gateways of other names are only in the federation states.
    if told(facts) != Some(true) || facts.states.is_err() || there.gateways.is_err() {
        let found = format!(
            "Consul's servers seem to federate through gateways, and none of {datacenter:?} is \
             seen here that passes and is registered for it"
        );
        return Check::warn(SERVERS, found, remedy);
    }
    let found = format!(
        "Consul's servers federate through gateways, but {datacenter:?} has none that passes and \
         is registered for it: nobody reaches its servers, and they reach nobody"
    );
    Check::fail(SERVERS, found, remedy)
}

fn unused(facts: &Facts) -> Check {
    let found = format!(
        "Consul's servers federate through other gateways of this datacenter, and not through {:?}",
        facts.subject.id
    );
    let remedy = format!(
        "to have them use it, too, start it with --expose-servers; in a registration by others, \
         that is the meta {FEDERATION_META} = \"1\""
    );
    Check::warn(SERVERS, found, remedy)
}

/// Whether the registration says it, where there is one.
fn own_is_for_servers(facts: &Facts) -> bool {
    let own = facts.services.iter().find_map(|services| services.get(&facts.subject.id));
    let own = own.filter(|own| own.kind == Kind::MeshGateway.as_str());
    own.is_none_or(|own| {
        own.meta.iter().flatten().any(|(key, value)| key == FEDERATION_META && value == "1")
    })
}

/// Whether a datacenter has a gateway that servers use, as it says itself or as is known here.
fn serves(facts: &Facts, datacenter: &str, there: &There) -> bool {
    let states = facts.states.iter().filter_map(|states| states.get(datacenter)?.as_ref());
    let known = states.flatten().chain(there.gateways.iter().flatten());
    known.into_iter().any(is_used)
}

fn is_used(gateway: &CheckServiceNode) -> bool {
    let meta = gateway.service.meta.get(FEDERATION_META);
    gateway.service.kind == Kind::MeshGateway
        && meta.is_some_and(|value| value == "1")
        && !gateway.checks.iter().any(|check| check.status == Status::Critical)
}
