use std::time::Duration;

use super::compare::{Aspect, compare};
use super::facts::{Cluster, Discovery, Endpoint, Facts, Leads, Strange};
use super::note::Note;
use super::*;
use crate::doctor::known::Resolved;

const WELL: Endpoint = Endpoint { weight: 1, is_healthy: true, priority: 0 };

/// What Envoy is told of a name that leads to one endpoint.
fn theirs(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        spelling: name.to_owned(),
        connect_timeout: Some(Duration::from_secs(5)),
        policy: Some("round_robin".to_owned()),
        panic_threshold_percent: Some(50.0),
        connections_max: Some(1024),
        endpoints: [("10.0.0.1:1".to_owned(), WELL)].into(),
        ..Cluster::default()
    }
}

/// What is routed here of the same.
fn ours(name: &str) -> Cluster {
    Cluster {
        policy: Some("least_connections".to_owned()),
        panic_threshold_percent: Some(0.0),
        connections_max: None,
        ..theirs(name)
    }
}

fn facts(clusters: impl IntoIterator<Item = Cluster>) -> Facts {
    let named = |cluster: Cluster| (cluster.spelling.to_ascii_lowercase(), Leads::To(cluster));
    Facts { routes: clusters.into_iter().map(named).collect(), ..Facts::default() }
}

fn outcome(envoy: &Facts, here: &Facts, resolved: &Resolved) -> Outcome {
    Outcome {
        envoy: "http://a:1".to_owned(),
        here: "the gateway at b:1".to_owned(),
        envoy_route_count: 1,
        here_route_count: 1,
        findings: compare(envoy, here, resolved),
    }
}

/// `aspect: Envoy …; here …` of each difference, and of each note.
fn told(envoy: &Facts, here: &Facts, resolved: &Resolved) -> (Vec<String>, Vec<Note>) {
    let outcome = outcome(envoy, here, resolved);
    let differences = outcome.findings.keys().filter(|finding| finding.note.is_none());
    let line = |it: &compare::Finding| format!("{}: {}; {}", it.aspect.name(), it.envoy, it.here);
    let differences: Vec<String> = differences.map(line).collect();
    assert_eq!(outcome.is_equal(), differences.is_empty());
    let always = [Note::Policy, Note::PanicThreshold, Note::ConnectionLimit];
    let notes = outcome.findings.keys().filter_map(|finding| finding.note);
    (differences, notes.filter(|note| !always.contains(note)).collect())
}

#[test]
fn equal_tables_differ_only_in_what_is_meant() {
    let found = compare(
        &facts([theirs("a.td"), theirs("b.td")]),
        &facts([ours("a.td"), ours("b.td")]),
        &Resolved::new(),
    );
    let notes: Vec<_> = found.keys().map(|finding| finding.note.unwrap()).collect();
    assert_eq!(notes, [Note::Policy, Note::PanicThreshold, Note::ConnectionLimit]);
    assert!(found.values().all(|names| names.len() == 2), "{found:?}");
}

#[test]
fn every_other_difference_is_told() {
    let (envoy, none) = (facts([theirs("web.td")]), Resolved::new());
    let differs = |here: Cluster, expected: &[&str]| {
        let (differences, notes) = told(&envoy, &facts([here]), &none);
        assert_eq!(
            (differences, notes),
            (expected.iter().map(|it| (*it).to_owned()).collect(), vec![])
        );
    };
    let web = || ours("web.td");
    differs(Cluster { name: "api.td".into(), ..web() }, &["cluster: web.td; api.td"]);
    let connect_timeout = Some(Duration::from_millis(1500));
    differs(Cluster { connect_timeout, ..web() }, &["timeout: 5s; 1.5s"]);
    differs(Cluster { policy: Some("random".into()), ..web() }, &["policy: round_robin; random"]);
    let endpoint = |said| [("10.0.0.1:1".to_owned(), said)].into();
    differs(
        Cluster { endpoints: endpoint(Endpoint { is_healthy: false, ..WELL }), ..web() },
        &["endpoint 10.0.0.1:1: weight 1 healthy; weight 1 unhealthy"],
    );
    differs(
        Cluster { endpoints: endpoint(Endpoint { weight: 2, ..WELL }), ..web() },
        &["endpoint 10.0.0.1:1: weight 1 healthy; weight 2 healthy"],
    );
    differs(
        Cluster { endpoints: [("10.0.0.2:1".to_owned(), WELL)].into(), ..web() },
        &[
            "endpoint 10.0.0.1:1: weight 1 healthy; nothing",
            "endpoint 10.0.0.2:1: nothing; weight 1 healthy",
        ],
    );
    let (differences, _) = told(&envoy, &facts([]), &none);
    assert_eq!(differences, ["route: leads to 1 endpoint; nothing"]);
    let (differences, _) = told(&facts([]), &facts([ours("web.td")]), &none);
    assert_eq!(differences, ["route: nothing; leads to 1 endpoint"]);
    let refused = [("web.td".to_owned(), Leads::Refused("unknown_name".to_owned()))].into();
    let (differences, _) = told(&envoy, &Facts { routes: refused, ..Facts::default() }, &none);
    assert_eq!(differences, ["route: leads to 1 endpoint; refused (unknown_name)"]);
    let other = Cluster { discovery: Discovery::Other("ORIGINAL_DST".into()), ..theirs("web.td") };
    let (differences, _) = told(&facts([other]), &facts([web()]), &none);
    assert_eq!(differences, ["discovery: ORIGINAL_DST; addresses and host names"]);
    let strange = vec![Strange { names: ["web.td".to_owned()].into(), what: "a chain".to_owned() }];
    let strange = Facts { strange, ..facts([theirs("web.td")]) };
    let (differences, _) = told(&strange, &facts([web()]), &none);
    assert_eq!(differences, ["chain: a chain; nothing"]);
}

#[test]
fn what_is_meant_otherwise_is_a_note() {
    let none = Resolved::new();
    let upper = Cluster { spelling: "WEB.td".into(), name: "WEB.td".into(), ..theirs("") };
    assert_eq!(
        told(&facts([upper]), &facts([ours("web.td")]), &none),
        (vec![], vec![Note::UpperCase])
    );
    let (envoy, empty) = (facts([theirs("two*.td")]), facts([]));
    assert_eq!(told(&envoy, &empty, &none), (vec![], vec![Note::NoName]));
    let bootstrap = Cluster { is_of_bootstrap: true, ..theirs("local_agent") };
    assert_eq!(told(&facts([bootstrap]), &empty, &none), (vec![], vec![Note::Bootstrap]));
    let refused = [("v1.td".to_owned(), Leads::Refused("no_endpoints".to_owned()))].into();
    let refused = Facts { routes: refused, ..Facts::default() };
    assert_eq!(told(&facts([theirs("v1.td")]), &refused, &none), (vec![], vec![Note::BadFilter]));
    let mut portless = theirs("web.td");
    portless.endpoints.insert("10.0.0.9:0".into(), WELL);
    assert_eq!(
        told(&facts([portless]), &facts([ours("web.td")]), &none),
        (vec![], vec![Note::NoPort])
    );
}

#[test]
fn a_host_name_is_equal_to_any_of_its_addresses() {
    let host = ("gateway.example".to_owned(), 1);
    let hosts = [(host.clone(), WELL)].into();
    let far = Cluster {
        discovery: Discovery::LogicalDns,
        hosts,
        endpoints: [].into(),
        ..theirs("dc2.td")
    };
    let envoy = facts([far]);
    let addresses = vec!["10.0.0.1:1".parse().unwrap(), "10.0.0.7:1".parse().unwrap()];
    let resolved = Resolved::from([(host.clone(), Ok(addresses))]);
    let mut here = ours("dc2.td");
    assert_eq!(told(&envoy, &facts([here.clone()]), &resolved), (vec![], vec![]));
    // One of another host, or an address.
    here.endpoints.insert("10.0.0.2:1".into(), WELL);
    assert_eq!(told(&envoy, &facts([here.clone()]), &resolved), (vec![], vec![Note::Hosts]));
    here.endpoints.insert("10.0.0.1:1".into(), Endpoint { is_healthy: false, ..WELL });
    let (differences, _) = told(&envoy, &facts([here.clone()]), &resolved);
    assert_eq!(differences, ["endpoint gateway.example:1: weight 1 healthy; weight 1 unhealthy"]);
    here.endpoints.remove("10.0.0.1:1");
    let (differences, _) = told(&envoy, &facts([here.clone()]), &resolved);
    assert!(differences[0].contains("none of its addresses (10.0.0.1:1, 10.0.0.7:1)"));
    let unresolved = Resolved::from([(host, Err("no such host".to_owned()))]);
    let (differences, _) = told(&envoy, &facts([here]), &unresolved);
    assert!(differences[0].ends_with("no address: no such host"), "{differences:?}");
}

#[test]
fn people_and_machines_read_the_same() {
    let mut here = ours("a.td");
    here.connect_timeout = Some(Duration::from_secs(9));
    let names = ["a.td", "b.td", "c.td", "d.td"];
    let clusters =
        names.map(|name| Cluster { spelling: name.into(), name: name.into(), ..here.clone() });
    let outcome = outcome(&facts(names.map(theirs)), &facts(clusters), &Resolved::new());
    assert_eq!(outcome.exit(), Exit::Mismatch);
    let written = |json| {
        let mut out = Vec::new();
        outcome.write(json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = written(false);
    assert!(text.starts_with("Envoy at http://a:1: 1 names\nhere, the gateway at b:1: 1 names\n"));
    let difference = format!(
        "DIFFERS  timeout: Envoy 5s; here 9s\n\
         \x20        a.td, b.td, c.td, and 1 more\n\
         \x20        -> {}\n",
        Aspect::Timeout.remedy()
    );
    assert!(text.contains(&difference), "{text}");
    assert!(
        text.contains("note     policy: Envoy round_robin; here least_connections\n"),
        "{text}"
    );
    assert!(text.ends_with("1 difference, but for what is meant (3 notes)\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&written(true)).unwrap();
    assert_eq!(json["is_equal"], false);
    let difference = &json["differences"][0];
    assert_eq!([&difference["aspect"], &difference["here"]], ["timeout", "9s"]);
    assert_eq!(difference["names"].as_array().unwrap().len(), 4);
    assert_eq!(json["notes"].as_array().unwrap().len(), 3);
    assert!(json["notes"][0]["why"].is_string() && difference["why"].is_null());
}
