use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AnswerError, Changed, ConsulTable, RemoteOptions, Snapshot, TableOptions};
use crate::consul::watch::Part;
use crate::kernel::Keepalive;
use crate::refusal::Refusal;
use crate::route::RoutingTable;

mod current;
pub(crate) mod fixtures;
mod membership;
mod peers;
mod subsets;

use fixtures::{TRUST_DOMAIN, World, check, gateway};

/// The endpoints of a name, as `address weight`, with `down` where Consul says so.
fn endpoints(table: &ConsulTable, name: &str) -> Result<Vec<String>, Refusal> {
    let routes = table.resolve(resolver);
    let table = RoutingTable::from_routes(&routes).unwrap();
    let cluster = table.cluster(table.lookup(&name.replace("TD", TRUST_DOMAIN))?).unwrap();
    let text = |endpoint: crate::route::table::EndpointView<'_>| {
        let down = if endpoint.is_healthy() { "" } else { " down" };
        format!("{} {}{down}", endpoint.address(), endpoint.weight())
    };
    Ok(cluster.endpoints().map(text).collect())
}

fn timeout(table: &ConsulTable, name: &str) -> Duration {
    let table = RoutingTable::from_routes(&table.resolve(resolver)).unwrap();
    let cluster = table.lookup(&name.replace("TD", TRUST_DOMAIN)).unwrap();
    table.cluster(cluster).unwrap().connect_timeout()
}

fn resolver(name: &str, port: u16) -> Vec<SocketAddr> {
    let last_octets: &[u8] = match name {
        "123.us-west-2.elb.notaws.com" => &[1, 2],
        "456.us-west-2.elb.notaws.com" => &[2, 3],
        "123.us-east-1.elb.notaws.com" => &[9],
        _ => &[],
    };
    last_octets.iter().map(|last| ([192, 0, 2, *last], port).into()).collect()
}

fn table(world: &World) -> ConsulTable {
    world.snapshot().table(&TableOptions::default())
}

fn exposing() -> TableOptions {
    TableOptions { expose_servers: true, ..TableOptions::default() }
}

fn notes(table: &ConsulTable) -> Vec<String> {
    table.notes().iter().map(ToString::to_string).collect()
}

#[test]
fn local_services_lead_to_their_sidecars() {
    let table = table(&World::golden());
    // A warning counts only for subsets that ask for it.
    let foo = ["172.16.1.3:2222 1", "172.16.1.4:2222 1", "172.16.1.5:2222 1", "172.16.1.9:2222 1"];
    assert_eq!(endpoints(&table, "foo.default.dc1.internal.TD").unwrap(), foo);
    let bar = ["172.16.1.6:2222 1", "172.16.1.7:2222 1", "172.16.1.8:2222 1"];
    assert_eq!(endpoints(&table, "bar.default.dc1.internal.TD").unwrap(), bar);
    assert_eq!(timeout(&table, "foo.default.dc1.internal.TD"), Duration::from_secs(5));
    assert_eq!(timeout(&table, "bar.default.dc1.internal.TD"), Duration::from_secs(10));
    assert_eq!(table.services().count(), 2);
    assert_eq!(notes(&table), [""; 0]);
}

#[test]
fn other_datacenters_lead_to_all_of_their_gateways() {
    let table = table(&World::golden());
    let dc2 = ["198.18.1.1:443 1", "198.18.1.2:443 1"];
    for name in ["dc2.internal.TD", "web.default.dc2.internal.TD", "v1.web.ns.dc2.internal.TD"] {
        assert_eq!(endpoints(&table, name).unwrap(), dc2, "{name}");
    }
    // Every address of every host name, each once, and the plain address beside them.
    let dc4 = ["192.0.2.1:443 1", "192.0.2.2:443 1", "192.0.2.3:443 1", "198.38.1.1:443 1"];
    let mut found = endpoints(&table, "web.default.dc4.internal.TD").unwrap();
    found.sort_unstable();
    assert_eq!(found, dc4);
    let dc6 = endpoints(&table, "web.default.dc6.internal.TD").unwrap();
    assert_eq!(dc6, ["192.0.2.9:443 1 down"]);
    assert_eq!(table.hosts().len(), 3);
    assert_eq!(table.datacenters().into_iter().collect::<Vec<_>>(), ["dc2", "dc4", "dc6"]);
    let only_default = Duration::from_secs(5);
    assert_eq!(timeout(&table, "bar.default.dc2.internal.TD"), only_default);
}

#[test]
fn other_datacenters_are_reached_as_proxy_config_says() {
    let keepalive = Keepalive {
        idle: Duration::from_secs(120),
        interval: Duration::from_secs(7),
        probe_count: 3,
    };
    let remote = RemoteOptions { keepalive: Some(keepalive), one_address: true };
    let options = TableOptions { remote, ..TableOptions::default() };
    let table = World::golden().snapshot().table(&options);
    // Of each host name the first address; the plain one stays.
    let mut found = endpoints(&table, "web.default.dc4.internal.TD").unwrap();
    found.sort_unstable();
    assert_eq!(found, ["192.0.2.1:443 1", "192.0.2.2:443 1", "198.38.1.1:443 1"]);
    let routes = RoutingTable::from_routes(&table.resolve(resolver)).unwrap();
    for (name, expected) in
        [("web.default.dc4.internal.TD", Some(keepalive)), ("foo.default.dc1.internal.TD", None)]
    {
        let id = routes.lookup(&name.replace("TD", TRUST_DOMAIN)).unwrap();
        assert_eq!(routes.cluster(id).unwrap().keepalive(), expected, "{name}");
    }
}

#[test]
fn names_that_lead_nowhere_are_refused_for_their_own_reasons() {
    let mut world = World::golden();
    world.at(Part::Gateways)["dc7"] = json!([]);
    let mut plain = table(&world);
    for (name, refusal) in [
        ("nothing.default.dc1.internal.TD", Refusal::UnknownName),
        ("dc1.internal.TD", Refusal::UnknownName),
        ("v9.foo.default.dc1.internal.TD", Refusal::UnknownName),
        ("web.default.dc8.internal.TD", Refusal::UnknownDatacenter),
        ("dc8.internal.TD", Refusal::UnknownDatacenter),
        ("web.default.dc9.internal.TD", Refusal::NoGateways),
        ("dc9.internal.TD", Refusal::NoGateways),
        ("web.default.dc7.internal.TD", Refusal::NoGateways),
        (
            "web.default.dc1.internal.99999999-2222-3333-4444-555555555555.consul",
            Refusal::OtherTrustDomain,
        ),
        ("web.default.default.peer.external.99999999-2222.consul", Refusal::OtherTrustDomain),
        ("query.default.dc1.query.TD", Refusal::UnknownName),
        ("TD", Refusal::UnknownName),
        ("server.dc1.consul", Refusal::UnknownName),
        ("server-1.server.dc1.consul", Refusal::UnknownName),
        ("server-1.server.dc2.consul", Refusal::UnknownName),
        ("www.example.com", Refusal::UnknownName),
    ] {
        assert_eq!(endpoints(&plain, name), Err(refusal), "{name}");
    }
    // With servers exposed, their names are known, and so is why they lead nowhere.
    plain = world.snapshot().table(&exposing());
    for (name, refusal) in [
        ("server-9.server.dc1.consul", Refusal::UnknownName),
        ("server.dc9.consul", Refusal::NoGateways),
        ("a.server.dc9.consul", Refusal::NoGateways),
    ] {
        assert_eq!(endpoints(&plain, name), Err(refusal), "{name}");
    }
}

#[test]
fn servers_are_routed_to_only_when_they_are_exposed() {
    let table = World::golden().snapshot().table(&exposing());
    // The LAN address, whatever its checks say.
    for name in ["server-1.server.dc1.consul", "server.dc1.consul"] {
        assert_eq!(endpoints(&table, name).unwrap(), ["172.16.0.1:8300 1"], "{name}");
    }
    for name in ["any.server.dc2.consul", "server.dc2.consul"] {
        let dc2 = ["198.18.1.1:443 1", "198.18.1.2:443 1"];
        assert_eq!(endpoints(&table, name).unwrap(), dc2, "{name}");
    }
    let domain = "mesh.example.".to_owned();
    let options = TableOptions { server_domain: domain, ..exposing() };
    let table = World::golden().snapshot().table(&options);
    assert!(endpoints(&table, "any.server.dc2.mesh.example").is_ok());
}

#[test]
fn the_own_datacenter_is_never_forwarded_to_gateways() {
    let mut world = World::golden();
    world.at(Part::Gateways)["DC1"] = json!([gateway("198.18.0.1", 443, "passing")]);
    let table = table(&world);
    assert!(!table.datacenters().contains("dc1"));
    let unknown = endpoints(&table, "nothing.default.dc1.internal.TD");
    assert_eq!(unknown, Err(Refusal::UnknownName));
}

#[test]
fn upper_case_and_dots_are_served_and_the_rest_is_told() {
    let mut world = World::golden();
    let long = "x".repeat(250);
    for (index, name) in ["Upper", "upper", "a.b", "a*b", &long].into_iter().enumerate() {
        world.add_sidecar(name, &format!("10.0.0.{}", index + 1), "passing");
    }
    world.at(Part::Gateways)["a.dc1"] = json!([gateway("198.18.9.9", 443, "passing")]);
    let table = table(&world);
    // Consul itself compares names of services without regard to case.
    let upper = ["10.0.0.1:2222 1", "10.0.0.2:2222 1"];
    assert_eq!(endpoints(&table, "upper.default.dc1.internal.TD").unwrap(), upper);
    assert_eq!(endpoints(&table, "a.b.default.dc1.internal.TD").unwrap(), ["10.0.0.3:2222 1"]);
    let notes = notes(&table);
    assert_eq!(notes.len(), 3, "{notes:#?}");
    assert!(notes[0].starts_with("datacenter \"a.dc1\": left out"), "{notes:#?}");
    assert!(notes[1].contains("\"a*b\": left out: '*' cannot be part"), "{notes:#?}");
    assert!(notes[2].contains("has at most 255 bytes"), "{notes:#?}");
    assert!(notes.iter().all(|note| note.len() < 250), "{notes:#?}");
    // Not through the datacenter that pretends to be within this one.
    let stolen = endpoints(&table, "foo.a.dc1.internal.TD");
    assert_eq!(stolen, Err(Refusal::UnknownName));
}

#[test]
fn gateways_behind_one_address_are_one_endpoint_that_works_if_one_does() {
    let mut world = World::golden();
    let mut heavy = gateway("LB.example.com", 443, "passing");
    heavy["Service"]["Weights"] = json!({"Passing": 300, "Warning": 1});
    let sick = gateway("lb.example.com", 443, "critical");
    let sidecar = json!({"Node": {}, "Service": {"Kind": "connect-proxy"}, "Checks": null});
    world.at(Part::Gateways)["dc2"] = json!([sick, heavy, sidecar]);
    let table = table(&world);
    let group = &table.clusters[&format!("dc2.internal.{TRUST_DOMAIN}")];
    assert_eq!(group.places.len(), 1);
    assert!(group.places[0].healthy);
    assert_eq!(group.places[0].weight, 128);
    assert!(table.hosts().contains(&("lb.example.com".to_owned(), 443)));
}

#[test]
fn an_answer_that_says_the_same_otherwise_is_no_change() {
    let mut world = World::golden();
    let mut snapshot = world.snapshot();
    for part in Part::ALL {
        assert_eq!(snapshot.take(part, &world.body(part)).unwrap(), Changed::No);
    }
    let noise = json!({"CheckID": "any", "Status": "passing", "Output": "2 ms", "ModifyIndex": 7});
    world.at(Part::Catalog)[0]["Checks"][0] = noise;
    world.set(Part::Datacenters, json!(["dc9", "dc2", "dc4", "dc1", "dc6"]));
    world.at(Part::Resolvers)[0]["ModifyIndex"] = json!(93);
    for part in Part::ALL {
        assert_eq!(snapshot.take(part, &world.body(part)).unwrap(), Changed::No, "{part:?}");
    }
    world.at(Part::Catalog)[0]["Checks"][0]["Status"] = json!("critical");
    assert_eq!(snapshot.take(Part::Catalog, &world.body(Part::Catalog)).unwrap(), Changed::Yes);
}

#[test]
fn null_and_absent_are_empty() {
    let mut world = World::bare();
    for part in [Part::Resolvers, Part::TerminatingGateways, Part::Gateways] {
        world.set(part, Value::Null);
    }
    world.add_node(json!({"Node": "n", "Address": "10.0.0.1", "Services": null, "Checks": null}));
    world.add_node(json!({"Node": "m", "Address": "10.0.0.2", "TaggedAddresses": null,
        "Services": [{"Kind": "connect-proxy", "ID": "p", "Service": "p", "Port": 1,
            "TaggedAddresses": null, "Weights": null, "Connect": null, "Tags": null,
            "Meta": null, "Proxy": {"DestinationServiceName": "web", "Config": null}}]}));
    world.set(Part::Gateways, json!({"dc2": null}));
    let table = table(&world);
    assert_eq!(endpoints(&table, "web.default.dc1.internal.TD").unwrap(), ["10.0.0.2:1 1"]);
    assert_eq!(endpoints(&table, "web.default.dc2.internal.TD"), Err(Refusal::NoGateways));
}

#[test]
fn what_cannot_be_whole_is_refused_and_changes_nothing() {
    let world = World::golden();
    let mut snapshot = world.snapshot();
    let before = snapshot.table(&exposing());
    let mut refused = |part: Part, body: &str| -> String {
        let error = snapshot.take(part, body.as_bytes()).unwrap_err();
        assert_eq!(snapshot.table(&exposing()), before);
        assert_eq!(snapshot.body(part), Some(world.body(part).as_slice()));
        error.to_string()
    };
    for body in ["[]", "null"] {
        assert!(refused(Part::Catalog, body).contains("node:read"));
        assert!(refused(Part::Servers, body).contains("node:read or service:read"));
        assert!(refused(Part::Datacenters, body).contains("consul members"));
    }
    let others = r#"[{"Node": "n", "Services": [{"Service": "web"}]}, {"Node": "m"}]"#;
    assert!(refused(Part::Catalog, others).contains("service:read"));
    let imported = r#"[{"Node": "n", "PeerName": "p", "Services": [{"Service": "consul"}]}]"#;
    assert!(refused(Part::Catalog, imported).contains("node:read"));
    assert!(refused(Part::Roots, "{}").contains("connect.enabled"));
    assert!(refused(Part::Roots, r#"{"TrustDomain": "a b"}"#).contains("\"a b\""));
    let nowhere = r#"[{"Node": {"Node": "n"}}]"#;
    assert!(refused(Part::Servers, nowhere).contains("name none"));
    let both = r#"[{"Node": {"Datacenter": "dc1"}}, {"Node": {"Datacenter": "dc2"}}]"#;
    assert!(refused(Part::Servers, both).contains("dc1, dc2"));
    for part in Part::ALL {
        for body in ["", "<html>", "true", r#"[{"Node":"#, r#"["#, "\u{0}"] {
            assert!(refused(part, body).contains(part.path()), "{part:?}: {body}");
        }
        assert!(refused(part, &"[".repeat(100_000)).contains(part.path()), "nested without end");
    }
}

#[test]
fn a_table_needs_every_part() {
    let world = World::golden();
    let mut snapshot = Snapshot::default();
    let needed: Vec<Part> = Part::ALL.into_iter().filter(|part| !part.is_optional()).collect();
    assert_eq!(snapshot.missing(), needed);
    assert_eq!(snapshot.table(&exposing()), ConsulTable::default());
    snapshot.take(Part::Roots, &world.body(Part::Roots)).unwrap();
    assert_eq!(snapshot.table(&exposing()), ConsulTable::default(), "no datacenter yet");
    snapshot.take(Part::Servers, &world.body(Part::Servers)).unwrap();
    assert_eq!(snapshot.missing().len(), needed.len() - 2);
    assert_eq!(snapshot.datacenter(), Some("dc1"));
    assert_eq!(snapshot.trust_domain(), Some(TRUST_DOMAIN));
    assert!(matches!(snapshot.take(Part::Catalog, b"[]"), Err(AnswerError::NoNodes)));
    assert!(snapshot.missing().contains(&Part::Catalog));
}

#[test]
fn a_timeout_that_is_none_is_told_and_not_used() {
    let mut world = World::golden();
    world.at(Part::Resolvers)[0]["ConnectTimeout"] = json!("soon");
    let table = table(&world);
    assert_eq!(timeout(&table, "bar.default.dc1.internal.TD"), Duration::from_secs(5));
    assert_eq!(notes(&table).len(), 1);
    assert!(notes(&table)[0].contains("service-resolver \"bar\""));
}

#[test]
fn notes_are_bounded() {
    let mut world = World::golden();
    for index in 0..150 {
        world.add_sidecar(&format!("a*{index}"), "10.0.0.1", "passing");
    }
    let notes = notes(&table(&world));
    assert_eq!(notes.len(), 101);
    assert_eq!(notes[100], "others: 50 more are not listed");
}

/// One value somewhere in an answer becomes another.
fn mutate(value: &mut Value, path: &[usize], to: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = to.clone();
        return;
    };
    match value {
        Value::Array(list) if !list.is_empty() => {
            let index = step % list.len();
            mutate(&mut list[index], rest, to);
        }
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(step % map.len()).unwrap().clone();
            mutate(map.get_mut(&key).unwrap(), rest, to);
        }
        _ => *value = to.clone(),
    }
}

fn anything() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 10] =
        ["", "*", "a.b", "..", "dc1", "\u{0}", "::", "1.2.3.4", "connect-proxy", "consul"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        Just(json!({"Passing": -1, "Warning": i64::MAX})),
        Just(check("", "odd")),
        Just(gateway("", i64::MIN, "passing")),
    ]
}

proptest! {
    /// Whatever an answer has: it is refused, or makes a table that workers can use.
    #[test]
    fn no_answer_breaks_the_table(
        part in prop::sample::select(&Part::ALL[..]),
        changes in prop::collection::vec(
            (prop::collection::vec(any::<usize>(), 0..7), anything()), 1..4,
        ),
    ) {
        let mut world = World::golden();
        let mut snapshot = world.snapshot();
        for (path, to) in changes {
            mutate(world.at(part), &path, &to);
        }
        if snapshot.take(part, &world.body(part)).is_ok() {
            let table = snapshot.table(&exposing());
            RoutingTable::from_routes(&table.resolve(resolver)).unwrap();
        }
    }

    /// Nor do bytes that are hardly an answer.
    #[test]
    fn no_bytes_break_the_table(
        part in prop::sample::select(&Part::ALL[..]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let world = World::golden();
        let mut snapshot = world.snapshot();
        let mut body = world.body(part);
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        if snapshot.take(part, &body).is_ok() {
            let table = snapshot.table(&exposing());
            RoutingTable::from_routes(&table.resolve(resolver)).unwrap();
        }
    }
}
