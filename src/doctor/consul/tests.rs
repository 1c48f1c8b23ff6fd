use std::collections::BTreeMap;

use serde_json::json;

use super::facts::{Facts, Place, Subject, There};
use super::*;
use crate::consul::agent::AgentError;
use crate::consul::model::{CheckServiceNode, Roots};
use crate::doctor::Verdict;

/// Two datacenters with nothing wrong, seen from a client agent of dc1.
fn facts() -> Facts {
    let gateways = |datacenter: &str| {
        json!([{ "Service": { "Kind": "mesh-gateway",
        "Service": "mesh-gateway", "ID": "gw", }, "Node": { "Node": "edge",
        "Datacenter": datacenter } }])
    };
    let there = |datacenter: &str| There {
        servers: Ok(read(json!([{
            "Node": { "Node": format!("{datacenter}-s1"), "ID": format!("id-{datacenter}"),
                "Datacenter": datacenter },
            "Service": { "Service": "consul", "Meta": { "version": "1.8.7" } },
            "Checks": [{ "CheckID": "serfHealth", "Status": "passing" }],
        }]))),
        roots: Ok(Roots { trust_domain: "td.consul".to_owned() }),
        gateways: Ok(read(gateways(datacenter))),
        rights: Err(refused(401, "ACL support disabled")),
    };
    let service = "mesh-gateway".to_owned();
    Facts {
        subject: Subject { service, id: "gw".to_owned() },
        agent: "http://127.0.0.1:8500".to_owned(),
        leader: Ok("127.0.0.1:8300".to_owned()),
        agent_self: Ok(read(json!({
            "Config": { "NodeName": "edge", "Version": "1.8.7" },
            "DebugConfig": { "PrimaryDatacenter": "dc1", "GRPCPort": 8502,
                "EnableCentralServiceConfig": true },
            "Member": { "Name": "edge", "Addr": "127.0.0.1" },
        }))),
        place: Place {
            nodes: ["edge".to_owned()].into(),
            node_address: Some([127, 0, 0, 1].into()),
            dialed: vec![[127, 0, 0, 1].into()],
        },
        services: Ok(read(json!({ "gw": { "Kind": "mesh-gateway" } }))),
        checks: Ok(read(json!({ "sluice:gw": { "Node": "edge", "CheckID": "sluice:gw",
            "Status": "passing", "ServiceID": "gw" } }))),
        datacenters: Ok(vec!["dc1".to_owned(), "dc2".to_owned()]),
        wan_members: Ok(Vec::new()),
        wan_datacenters: Ok(read(json!([
            { "Datacenter": "dc1", "Coordinates": [{ "Node": "dc1-s1" }] },
            { "Datacenter": "dc2", "Coordinates": [{ "Node": "dc2-s1" }] },
        ]))),
        instances: Ok(read(gateways("dc1"))),
        states: Ok(read(json!({ "dc1": gateways("dc1"), "dc2": gateways("dc2") }))),
        own: there("dc1"),
        others: [("dc2".to_owned(), there("dc2"))].into(),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn refused(status: u16, message: &str) -> AgentError {
    AgentError::Status {
        agent: "a".to_owned(),
        path: "/".to_owned(),
        status,
        message: message.to_owned(),
        advice: String::new(),
    }
}

/// All that is not as it must be, by name.
fn wrong(facts: &Facts) -> Vec<(&'static str, Verdict, String)> {
    let checks = judge(facts).into_iter();
    let is_wrong = |check: &Check| matches!(check.verdict, Verdict::Warn | Verdict::Fail);
    checks.filter(is_wrong).map(|check| (check.name, check.verdict, check.found)).collect()
}

/// The one thing that is wrong.
fn only_wrong(facts: &Facts) -> (&'static str, Verdict, String) {
    let mut wrong = wrong(facts);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    wrong.remove(0)
}

#[track_caller]
fn is_well(facts: &Facts) {
    let wrong = wrong(facts);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[track_caller]
fn fails(facts: &Facts, name: &str, words: &str) {
    let (found_name, verdict, found) = only_wrong(facts);
    assert_eq!((found_name, verdict), (name, Verdict::Fail), "{found}");
    assert!(found.contains(words), "{found}");
}

#[track_caller]
fn warns(facts: &Facts, name: &str, words: &str) {
    let (found_name, verdict, found) = only_wrong(facts);
    assert_eq!((found_name, verdict), (name, Verdict::Warn), "{found}");
    assert!(found.contains(words), "{found}");
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    let facts = facts();
    is_well(&facts);
    let checks = judge(&facts);
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let without = unanswered(Check::pass(AGENT, ""));
    let without: Vec<&str> = without.iter().map(|check| check.name).collect();
    assert_eq!(names, without, "the same checks whether anybody answers or not");
}

#[test]
fn an_agent_elsewhere_is_told_from_a_load_balancer() {
    let at = |node: &str, address: [u8; 4], dialed: &[[u8; 4]]| Place {
        nodes: [node.to_owned()].into(),
        node_address: Some(address.into()),
        dialed: dialed.iter().map(|&address| address.into()).collect(),
    };
    // Both are of no host (RFC 5737).
    let (there, other) = ([198, 51, 100, 1], [203, 0, 113, 1]);
    let here = [127, 0, 0, 1];
    for (place, verdict, words) in [
        (at("a", here, &[here]), Verdict::Pass, "this host"),
        (at("a", there, &[]), Verdict::Pass, "this host"),
        (at("a", there, &[there]), Verdict::Warn, "another host"),
        (at("a", there, &[here]), Verdict::Warn, "container"),
        (at("a", there, &[other]), Verdict::Fail, "load balancer"),
        (Place::default(), Verdict::Warn, "does not say"),
    ] {
        let check = agent::local(&place);
        assert_eq!(check.verdict, verdict, "{place:?}");
        assert!(check.found.contains(words), "{}", check.found);
    }
    let mut several = at("a", here, &[here]);
    several.nodes.insert("b".to_owned());
    assert_eq!(agent::local(&several).verdict, Verdict::Fail);
}

#[test]
fn old_versions_fail_wherever_they_are() {
    let mut facts = facts();
    facts.agent_self.as_mut().unwrap().config.version = "1.5.3".to_owned();
    fails(&facts, VERSION, "the agent is 1.5.3");
    let mut facts = self::facts();
    let servers = facts.others.get_mut("dc2").unwrap().servers.as_mut().unwrap();
    servers[0].service.meta.insert("version".to_owned(), "1.4.0+ent".to_owned());
    fails(&facts, VERSION, "\"dc2-s1\" of \"dc2\" is 1.4.0+ent");
}

#[test]
fn without_proxies_grpc_is_needed_by_nobody_here() {
    let mut facts = facts();
    facts.agent_self.as_mut().unwrap().debug_config.grpc_port = Some(-1);
    warns(&facts, GRPC, "Sluice needs none");
    let services = facts.services.as_mut().unwrap();
    services.insert("web".to_owned(), read(json!({ "Kind": "connect-proxy" })));
    fails(&facts, GRPC, "registered: 1");
    facts.agent_self.as_mut().unwrap().debug_config.grpc_tls_port = Some(8503);
    is_well(&facts);
}

#[test]
fn what_only_the_agent_says_is_not_made_up() {
    let mut facts = facts();
    facts.agent_self = Err(refused(403, "Permission denied"));
    let told: Vec<_> = wrong(&facts).into_iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(told, [(GRPC, Verdict::Warn), (CENTRAL, Verdict::Warn)]);
}

#[test]
fn strangers_in_the_wan_pool_are_found_by_id_and_by_name() {
    let mut facts = facts();
    facts.wan_datacenters = Ok(read(json!([
        { "Datacenter": "dc2", "Coordinates": [{ "Node": "dc2-s1" }, { "Node": "odd" }] },
    ])));
    warns(&facts, NAMES, "\"odd\"");
    let member = |name: &str, id: &str, status: i64| {
        json!({ "Name": name, "Addr": "10.0.0.1", "Status": status,
            "Tags": { "dc": "dc2", "id": id } })
    };
    facts.wan_members = Ok(read(json!([member("dc2-s1.dc2", "id-dc2", 1)])));
    is_well(&facts);
    facts.wan_members = Ok(read(json!([member("dc2-s1.dc2", "another", 1)])));
    fails(&facts, NAMES, "two datacenters have this name");
    // It said farewell.
    facts.wan_members = Ok(read(json!([member("odd.dc2", "another", 3)])));
    is_well(&facts);
    facts.wan_members = Ok(read(json!([member("odd.dc2", "another", 4)])));
    warns(&facts, WAN, "without a farewell");
    facts.wan_members = Ok(read(json!([member("dc2-s1.dc2", "id-dc2", 4)])));
    fails(&facts, WAN, "cannot be reached from here over WAN");
}

#[test]
fn a_server_that_is_down_and_a_primary_that_is_not_joined_are_named() {
    let mut facts = facts();
    let servers = facts.others.get_mut("dc2").unwrap().servers.as_mut().unwrap();
    servers[0].checks[0].status = crate::consul::model::Status::Critical;
    fails(&facts, WAN, "\"dc2-s1\" of \"dc2\" is not alive");
    let mut facts = self::facts();
    facts.agent_self.as_mut().unwrap().debug_config.primary_datacenter = "dc0".to_owned();
    fails(&facts, WAN, "\"dc0\"");
}

#[test]
fn the_datacenter_that_is_unlike_the_primary_is_the_one_to_change() {
    let mut facts = facts();
    facts.own.roots = Ok(Roots { trust_domain: "other.consul".to_owned() });
    let primary = "dc2".to_owned();
    facts.agent_self.as_mut().unwrap().debug_config.primary_datacenter = primary;
    fails(&facts, PRIMARY, "the trust domain of \"dc1\" is other.consul");
    // Nobody says which is the primary: those that are more.
    facts.agent_self.as_mut().unwrap().debug_config.primary_datacenter = String::new();
    fails(&facts, PRIMARY, "the trust domain of \"dc2\" is td.consul");
}

#[test]
fn rights_are_told_or_guessed_at_from_what_is_hidden() {
    let mut facts = facts();
    let right = |resource, access, allow| {
        let segment = if access == "write" { "mesh-gateway" } else { "" };
        json!({ "Resource": resource, "Segment": segment, "Access": access, "Allow": allow })
    };
    facts.own.rights = Ok(read(json!([
        right("service", "write", false),
        right("service", "read", true),
        right("node", "read", false),
    ])));
    fails(&facts, TOKEN, "it lacks service:write on \"mesh-gateway\" and node:read on all");
    facts.own.rights = Err(refused(403, "ACL not found"));
    fails(&facts, TOKEN, "does not know the token");
    facts.own.rights = Err(refused(404, "Invalid URL path"));
    warns(&facts, TOKEN, "does not tell without writing");
    let mut facts = self::facts();
    facts.others.get_mut("dc2").unwrap().rights = Err(refused(403, "ACL not found"));
    warns(&facts, TOKEN, "local token");
    let all = [right("service", "write", false), right("node", "read", true)];
    facts.others.get_mut("dc2").unwrap().rights = Ok(read(json!(all)));
    is_well(&facts);
}

#[test]
fn a_registration_that_does_not_reach_the_catalog_fails() {
    let mut facts = facts();
    facts.instances = Ok(Vec::new());
    fails(&facts, REGISTRATION, "the catalog has no");
    let mut facts = self::facts();
    facts.checks.as_mut().unwrap().get_mut("sluice:gw").unwrap().status = "critical".to_owned();
    fails(&facts, REGISTRATION, "\"sluice:gw\" is critical");
    facts.checks.as_mut().unwrap().get_mut("sluice:gw").unwrap().service_id = "web".to_owned();
    is_well(&facts);
    let services = facts.services.as_mut().unwrap();
    services.get_mut("gw").unwrap().kind = String::new();
    fails(&facts, REGISTRATION, "ordinary service");
}

#[test]
fn gateways_that_are_kept_back_are_told_from_none_at_all() {
    let mut facts = facts();
    facts.states.as_mut().unwrap().remove("dc2");
    fails(&facts, STATES, "\"dc2\" has 1 mesh gateways, but brings none");
    facts.others.get_mut("dc2").unwrap().gateways = Ok(Vec::new());
    fails(&facts, STATES, "no mesh gateway of \"dc2\"");
    facts.states = Err(refused(404, "Invalid URL path"));
    is_well(&facts);
}

#[test]
fn gateways_that_servers_cannot_use_are_found() {
    let mut facts = facts();
    // An agent of a server knows how they reach each other.
    facts.agent_self.as_mut().unwrap().debug_config.server_mode = true;
    is_well(&facts);
    facts.agent_self.as_mut().unwrap().debug_config.federates_through_gateways = true;
    let told: Vec<_> = wrong(&facts).into_iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(told, [(SERVERS, Verdict::Fail); 2], "neither datacenter has one");
    let exposes = |gateways: &mut Vec<CheckServiceNode>| {
        gateways[0].service.meta.insert("consul-wan-federation".to_owned(), "1".to_owned());
    };
    // Of another agent, gateways tell it.
    facts.agent_self.as_mut().unwrap().debug_config.server_mode = false;
    is_well(&facts);
    exposes(facts.states.as_mut().unwrap().get_mut("dc1").unwrap().as_mut().unwrap());
    warns(&facts, SERVERS, "none of \"dc2\" is seen here that passes");
    exposes(facts.others.get_mut("dc2").unwrap().gateways.as_mut().unwrap());
    warns(&facts, SERVERS, "through other gateways of this datacenter, and not through \"gw\"");
    let own = facts.services.as_mut().unwrap().get_mut("gw").unwrap();
    own.meta = Some([("consul-wan-federation".to_owned(), "1".to_owned())].into());
    is_well(&facts);
    // Servers leave alone what does not pass.
    let gateways = facts.others.get_mut("dc2").unwrap().gateways.as_mut().unwrap();
    gateways[0].checks = read(json!([{ "CheckID": "any", "Status": "critical" }]));
    warns(&facts, SERVERS, "none of \"dc2\" is seen here that passes");
    let config = &mut facts.agent_self.as_mut().unwrap().debug_config;
    (config.server_mode, config.federates_through_gateways) = (true, true);
    fails(&facts, SERVERS, "\"dc2\" has none that passes");
    // One of another name is in the federation states alone.
    facts.states = Err(refused(404, "Invalid URL path"));
    let told: Vec<_> = wrong(&facts).into_iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(told, [(SERVERS, Verdict::Warn); 2], "nobody knows");
}

#[test]
fn servers_behind_gateways_are_not_to_be_joined_by_hand() {
    let mut facts = facts();
    let config = &mut facts.agent_self.as_mut().unwrap().debug_config;
    config.primary_datacenter = "dc0".to_owned();
    for (federates, words) in [(false, "`consul join -wan"), (true, "primary_gateways = [")] {
        let config = &mut facts.agent_self.as_mut().unwrap().debug_config;
        (config.server_mode, config.federates_through_gateways) = (true, federates);
        let checks = judge(&facts);
        let wan = checks.iter().find(|check| check.name == WAN).unwrap();
        assert!(wan.remedy.as_ref().unwrap().contains(words), "{wan:?}");
    }
}

#[test]
fn what_is_hidden_from_a_token_is_not_taken_for_missing() {
    let mut facts = facts();
    facts.own.servers = Ok(Vec::new());
    facts.services = Ok(BTreeMap::new());
    facts.states = Ok(BTreeMap::new());
    facts.wan_datacenters = Ok(Vec::new());
    facts.others.clear();
    let told: Vec<_> = wrong(&facts).into_iter().map(|it| (it.0, it.1)).collect();
    let expected = [NAMES, WAN, REGISTRATION, STATES, SERVERS].map(|name| (name, Verdict::Warn));
    assert_eq!(told, expected);
    // Two names, and nobody says which is the own.
    assert_eq!(facts.datacenter(), None);
    facts.datacenters = Ok(vec!["dc1".to_owned()]);
    assert_eq!(facts.datacenter(), Some("dc1"));
}
