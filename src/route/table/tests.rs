use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::{BuildError, RoutingTable};
use crate::limits::SERVER_NAME_BYTES_MAX;
use crate::refusal::Refusal;
use crate::route::interner::Interner;
use crate::route::model::NameError;
use crate::route::{Cluster, Endpoint, Name, Pattern, Policy, Routes, Target};

fn endpoint(last: u8, port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, last], port)))
}

fn cluster(key: &str) -> Cluster {
    Cluster::new(key, vec![endpoint(1, 443)])
}

/// Each pattern leads to a cluster named after it.
fn routes_for(patterns: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for pattern in patterns {
        let target = routes.add_cluster(cluster(pattern));
        routes.add_route(Pattern::parse(pattern).unwrap(), target);
    }
    routes
}

fn looked_up<'a>(table: &'a RoutingTable, name: &str) -> Result<&'a str, Refusal> {
    table.lookup(name).map(|id| table.cluster(id).unwrap().name())
}

#[test]
fn exact_goes_before_suffix_and_longer_before_shorter() {
    let patterns = ["a.b.c", "*.b.c", "*.c", "*.a.b.c", "c"];
    let table = RoutingTable::from_routes(&routes_for(&patterns)).unwrap();
    assert_eq!(looked_up(&table, "a.b.c"), Ok("a.b.c"));
    assert_eq!(looked_up(&table, "x.b.c"), Ok("*.b.c"));
    assert_eq!(looked_up(&table, "y.x.b.c"), Ok("*.b.c"));
    assert_eq!(looked_up(&table, "x.a.b.c"), Ok("*.a.b.c"));
    assert_eq!(looked_up(&table, "b.c"), Ok("*.c"), "a suffix does not match itself");
    assert_eq!(looked_up(&table, "c"), Ok("c"));
    assert_eq!(looked_up(&table, "xc"), Err(Refusal::UnknownName));
    assert_eq!(looked_up(&table, ""), Err(Refusal::UnknownName));
    assert_eq!(looked_up(&table, ".c"), Err(Refusal::UnknownName), "no label in front");
    assert_eq!(looked_up(&table, ".b.c"), Err(Refusal::UnknownName), "the stored form");
    assert_eq!(table.explain("y.x.b.c").unwrap().to_string(), "*.b.c");
    assert!(table.explain("nothing").is_none());
}

#[test]
fn a_route_may_refuse_and_say_why() {
    let mut routes = routes_for(&["web.dc2"]);
    let refusals = [("*.dc2", Refusal::NoGateways), ("*.dc3", Refusal::OutOfResources)];
    for (pattern, why) in refusals {
        routes.add_route(Pattern::parse(pattern).unwrap(), Target::Refuse(why));
    }
    let table = RoutingTable::from_routes(&routes).unwrap();
    assert_eq!(table.lookup("api.dc2"), Err(Refusal::NoGateways));
    assert_eq!(table.lookup("api.dc3"), Err(Refusal::OutOfResources));
    assert_eq!(looked_up(&table, "web.dc2"), Ok("web.dc2"));
}

#[test]
fn the_deepest_suffix_that_fits_a_name_is_found() {
    let deepest = format!("*.{}", vec!["a"; SERVER_NAME_BYTES_MAX / 2 + 1].join("."));
    let table = RoutingTable::from_routes(&routes_for(&[&deepest, "*.b"])).unwrap();
    // One label more would not fit into a name; the longest name falls to the shorter suffix.
    assert_eq!(table.lookup(&format!("b.{}", &deepest[2..])), Err(Refusal::UnknownName));
    let longest = format!("{}.b", vec!["a"; SERVER_NAME_BYTES_MAX / 2].join("."));
    assert_eq!(looked_up(&table, &longest), Ok("*.b"));
    let shorter = format!("*.{}", vec!["a"; SERVER_NAME_BYTES_MAX / 2].join("."));
    let table = RoutingTable::from_routes(&routes_for(&[&shorter])).unwrap();
    assert_eq!(looked_up(&table, &format!("b.{}", &shorter[2..])), Ok(shorter.as_str()));
}

/// A hash can meet another: here the stored name is changed under its hash.
#[test]
fn the_whole_name_is_compared() {
    let mut table = RoutingTable::from_routes(&routes_for(&["a"])).unwrap();
    assert!(table.lookup("a").is_ok());
    *table.arena.iter_mut().rfind(|byte| **byte == b'a').unwrap() = b'b';
    assert_eq!(table.lookup("a"), Err(Refusal::UnknownName));
}

#[test]
fn an_empty_table_knows_nothing() {
    let table = RoutingTable::empty();
    assert_eq!(table.version(), 0);
    assert_eq!(table.lookup("a"), Err(Refusal::UnknownName));
    assert_eq!(table.rules().count() + table.clusters().count(), 0);
}

#[test]
fn clusters_come_back_as_they_were() {
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 8443));
    let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1], 8443));
    let endpoints = vec![
        Endpoint { address: v6, weight: 128, healthy: false },
        Endpoint { address: mapped, weight: 0, healthy: true },
        Endpoint { weight: 7, ..endpoint(9, 65_535) },
    ];
    let mut original = Cluster::new("döner", endpoints.clone());
    original.connect_timeout = Duration::from_millis(250);
    original.policy = Policy::RoundRobin;
    original.panic_threshold_percent = 50;
    original.is_announced = true;
    let mut routes = Routes::default();
    let target = routes.add_cluster(original);
    routes.add_route(Pattern::parse("x").unwrap(), target);
    let table = RoutingTable::from_routes(&routes).unwrap();

    let view = table.cluster(table.lookup("x").unwrap()).unwrap();
    assert_eq!(view.name(), "döner");
    assert_eq!(view.connect_timeout(), Duration::from_millis(250));
    assert_eq!((view.policy(), view.panic_threshold_percent()), (Policy::RoundRobin, 50));
    assert_eq!((view.endpoint_count(), view.healthy_count()), (3, 2));
    assert!(!view.panics() && view.is_announced());
    let got: Vec<_> = view
        .endpoints()
        .map(|e| Endpoint { address: e.address(), weight: e.weight(), healthy: e.is_healthy() })
        .collect();
    let expected: Vec<_> =
        endpoints.into_iter().map(|e| Endpoint { weight: e.weight.max(1), ..e }).collect();
    assert_eq!(got, expected);
}

#[test]
fn an_address_counts_once_and_works_if_one_of_its_registrations_does() {
    let twice = vec![
        Endpoint { healthy: false, weight: 2, ..endpoint(1, 443) },
        Endpoint { weight: 5, ..endpoint(1, 443) },
    ];
    let mut routes = Routes::default();
    routes.add_cluster(Cluster::new("a", twice));
    let table = RoutingTable::from_routes(&routes).unwrap();
    let endpoints: Vec<_> =
        table.clusters().flat_map(|c| c.endpoints().collect::<Vec<_>>()).collect();
    assert_eq!(endpoints.len(), 1);
    assert_eq!((endpoints[0].weight(), endpoints[0].is_healthy()), (5, true));
}

#[test]
fn panic_begins_below_the_threshold() {
    let panics = |healthy: usize, threshold: u8| {
        let endpoints =
            (0..4).map(|i| Endpoint { healthy: usize::from(i) < healthy, ..endpoint(i, 443) });
        let mut routes = Routes::default();
        let mut cluster = Cluster::new("a", endpoints.collect());
        cluster.panic_threshold_percent = threshold;
        routes.add_cluster(cluster);
        let table = RoutingTable::from_routes(&routes).unwrap();
        table.clusters().next().unwrap().panics()
    };
    assert!(panics(0, 0) && !panics(1, 0) && !panics(4, 0));
    assert!(panics(1, 50) && !panics(2, 50) && !panics(4, 100));
}

#[test]
fn contradictory_routes_are_refused() {
    let mut routes = routes_for(&["a", "*.a"]);
    assert!(RoutingTable::from_routes(&routes).is_ok());
    routes.add_route(Pattern::parse("nowhere").unwrap(), Target::Cluster(2));
    let nowhere = Pattern::parse("nowhere").unwrap();
    assert_eq!(RoutingTable::from_routes(&routes).err(), Some(BuildError::NoSuchCluster(nowhere)));
    routes.clusters.push(cluster("a"));
    assert_eq!(
        RoutingTable::from_routes(&routes).err(),
        Some(BuildError::DuplicateCluster("a".into()))
    );
    routes.add_route(Pattern::parse("A").unwrap(), Target::Cluster(0));
    let twice = Pattern::parse("a").unwrap();
    assert_eq!(RoutingTable::from_routes(&routes).err(), Some(BuildError::DuplicatePattern(twice)));
}

#[test]
fn names_are_canonical() {
    assert_eq!(Name::parse("Web.Example.COM.").unwrap().as_str(), "web.example.com");
    assert_eq!(Name::parse("."), Err(NameError::Empty));
    assert_eq!(Name::parse("a..b"), Err(NameError::EmptyLabel));
    assert_eq!(Name::parse("a b"), Err(NameError::Character { character: ' ' }));
    assert_eq!(Name::parse("a.*"), Err(NameError::Character { character: '*' }));
    let long = "a".repeat(SERVER_NAME_BYTES_MAX + 1);
    assert_eq!(Name::parse(&long), Err(NameError::TooLong { length_bytes: 256 }));
    assert!(Name::parse(&long[1..]).is_ok());
}

#[test]
fn ten_thousand_services_take_little_memory() {
    let mut routes = Routes::default();
    for service in 0..10_000_u16 {
        let name = format!(
            "service-{service:05}.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul"
        );
        let [high, low] = service.to_be_bytes();
        let endpoints =
            (0..3).map(|i| Endpoint::new(SocketAddr::from(([10, i, high, low], 20_000)))).collect();
        let target = routes.add_cluster(Cluster::new(&name, endpoints));
        routes.add_route(Pattern::parse(&name).unwrap(), target);
    }
    let table = RoutingTable::from_routes(&routes).unwrap();
    // 30,000 endpoints of 32 bytes, 10,000 rules, clusters and names of 12, 40 and 75 bytes,
    // each name once, and 16,384 slots of 8.
    assert!(table.size_bytes() < 2_500_000, "{} bytes", table.size_bytes());
    assert!(routes.routes.iter().all(|route| match &route.pattern {
        Pattern::Exact(name) => looked_up(&table, name.as_str()) == Ok(name.as_str()),
        Pattern::Suffix(_) => false,
    }));
}

#[test]
fn ids_stay_with_their_keys() {
    let mut interner = Interner::default();
    let first = RoutingTable::build(&routes_for(&["a", "b"]), &mut interner, 1).unwrap();
    let second = RoutingTable::build(&routes_for(&["c", "b"]), &mut interner, 2).unwrap();
    assert_eq!(first.lookup("b"), second.lookup("b"));
    assert_ne!(first.lookup("a"), second.lookup("c"), "a was not reclaimed yet");
    assert!(second.cluster(first.lookup("a").unwrap()).is_none(), "a hole");
    assert_eq!(second.clusters().count(), 2);
}

/// The rules of lookup, said as slowly as possible.
fn naive<'a>(patterns: &'a HashMap<String, String>, name: &str) -> Result<&'a str, Refusal> {
    if let Some(key) = patterns.get(name).filter(|_| !name.starts_with('*')) {
        return Ok(key);
    }
    let labels: Vec<&str> = name.split('.').collect();
    if labels[0].is_empty() {
        return Err(Refusal::UnknownName);
    }
    (1..labels.len())
        .find_map(|from| patterns.get(&format!("*.{}", labels[from..].join("."))))
        .map(String::as_str)
        .ok_or(Refusal::UnknownName)
}

/// Few labels, so that names meet.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]|c[0-3]", 1..6).prop_map(|labels| labels.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    (any::<bool>(), name())
        .prop_map(|(suffix, name)| if suffix { format!("*.{name}") } else { name })
}

proptest! {
    #[test]
    fn lookup_agrees_with_the_naive_model(
        patterns in prop::collection::hash_set(pattern(), 0..60),
        names in prop::collection::vec(name(), 1..60),
        anything in prop::collection::vec(".{0,20}|[ab.*]{0,12}", 0..20),
    ) {
        let list: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let table = RoutingTable::from_routes(&routes_for(&list)).unwrap();
        let copy = table.copy();
        let model: HashMap<String, String> =
            patterns.iter().map(|pattern| (pattern.clone(), pattern.clone())).collect();
        let every = names.iter().chain(&anything).chain(&patterns);
        for name in every {
            prop_assert_eq!(looked_up(&table, name), naive(&model, name), "{}", name);
            prop_assert_eq!(table.lookup(name), copy.lookup(name));
            let explained = table.explain(name).map(|rule| rule.to_string());
            prop_assert_eq!(explained.as_deref(), naive(&model, name).ok());
        }
        let listed: Vec<String> = table.rules().map(|rule| rule.to_string()).collect();
        prop_assert_eq!(listed, list);
    }
}
