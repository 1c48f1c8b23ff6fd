//! What service-resolver entries make of the instances of a service.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::World;
use super::{endpoints, notes, resolver, table, timeout};
use crate::consul::snapshot::{Changed, ConsulTable};
use crate::consul::watch::Part;
use crate::refusal::Refusal;
use crate::route::{Policy, RoutingTable};

const FOO: [&str; 4] =
    ["172.16.1.3:2222 1", "172.16.1.4:2222 1", "172.16.1.5:2222 1", "172.16.1.9:2222 1"];
const BAR: [&str; 3] = ["172.16.1.6:2222 1", "172.16.1.7:2222 1", "172.16.1.8:2222 1"];

fn versions() -> Value {
    json!({
        "v1": {"Filter": "Service.Meta.version == 1"},
        "v2": {"Filter": "Service.Meta.version == 2", "OnlyPassing": true},
    })
}

/// The golden world with these resolvers.
fn with(resolvers: Value) -> ConsulTable {
    let mut world = World::golden();
    world.set(Part::Resolvers, resolvers);
    table(&world)
}

/// The endpoints of a name of dc1.
fn of(table: &ConsulTable, name: &str) -> Result<Vec<String>, Refusal> {
    endpoints(table, &format!("{name}.default.dc1.internal.TD"))
}

fn policy(table: &ConsulTable, name: &str) -> Policy {
    let routes = table.resolve(resolver);
    let cluster = routes.clusters.iter().find(|cluster| cluster.key.starts_with(name));
    cluster.unwrap().policy
}

#[test]
fn subsets_have_names_of_their_own() {
    let table = with(json!([
        {"Name": "foo", "Subsets": versions()},
        {"Name": "bar", "Subsets": versions()},
        {"Name": "not-there", "Subsets": versions(), "DefaultSubset": "v1"},
    ]));
    assert_eq!(of(&table, "v1.foo").unwrap(), FOO[..2]);
    // A warning counts only where only passing instances are asked for.
    assert_eq!(of(&table, "v2.foo").unwrap(), ["172.16.1.5:2222 1", "172.16.1.9:2222 1 down"]);
    assert_eq!(of(&table, "foo").unwrap(), FOO);
    assert_eq!(of(&table, "v1.bar").unwrap(), BAR[..2]);
    assert_eq!(of(&table, "v2.bar").unwrap(), BAR[2..]);
    for name in ["v3.foo", "v1.v1.foo", "not-there", "v1.not-there"] {
        assert_eq!(of(&table, name), Err(Refusal::UnknownName), "{name}");
    }
    assert_eq!(table.services().count(), 2, "a subset is no service");
    assert_eq!(notes(&table), [""; 0]);
}

#[test]
fn the_default_subset_is_what_the_service_stands_for() {
    let resolver = |name| json!({"Name": name, "DefaultSubset": "v2", "Subsets": versions()});
    let table = with(json!([resolver("foo"), resolver("bar")]));
    let v2 = ["172.16.1.5:2222 1", "172.16.1.9:2222 1 down"];
    assert_eq!(of(&table, "foo").unwrap(), v2);
    assert_eq!(of(&table, "v2.foo").unwrap(), v2);
    assert_eq!(of(&table, "v1.foo").unwrap(), FOO[..2]);
    assert_eq!(of(&table, "bar").unwrap(), BAR[2..]);
    assert_eq!(notes(&table), [""; 0]);
}

#[test]
fn a_default_that_is_not_there_is_told_and_all_are_used() {
    let table = with(json!([{"Name": "foo", "DefaultSubset": "v9", "Subsets": versions()}]));
    assert_eq!(of(&table, "foo").unwrap(), FOO);
    let expected = "service-resolver \"foo\": it has no subset \"v9\"; all instances are used by \
                    default";
    assert_eq!(notes(&table), [expected]);
}

#[test]
fn a_timeout_is_for_the_service_and_its_subsets() {
    let table = with(json!([
        {"Name": "bar", "ConnectTimeout": "10s", "Subsets": versions()},
        {"Name": "foo", "Subsets": versions()},
    ]));
    for (name, expected_s) in
        [("bar", 10), ("v1.bar", 10), ("v2.bar", 10), ("foo", 5), ("v1.foo", 5), ("v2.foo", 5)]
    {
        let name = format!("{name}.default.dc1.internal.TD");
        assert_eq!(timeout(&table, &name), Duration::from_secs(expected_s), "{name}");
    }
}

#[test]
fn a_filter_that_fails_takes_only_its_subset_away() {
    let subsets = json!({
        "bad": {"Filter": "Service.Meta.version == "},
        "v1": {"Filter": "Service.Meta.version == 1"},
        "all": {"Filter": ""},
        "none": {"Filter": "Service.Meta.version == 3"},
    });
    let table = with(json!([
        {"Name": "foo", "Subsets": subsets, "ConnectTimeout": "3s"},
        {"Name": "bar", "Subsets": {"bad": {"Filter": "Meta.version == 1"}},
            "DefaultSubset": "bad"},
    ]));
    assert_eq!(of(&table, "bad.foo"), Err(Refusal::NoEndpoints));
    assert_eq!(of(&table, "v1.foo").unwrap(), FOO[..2]);
    assert_eq!(of(&table, "all.foo").unwrap(), FOO);
    assert_eq!(of(&table, "foo").unwrap(), FOO);
    // One that selects nothing stays: it is known, and has no endpoint.
    assert_eq!(of(&table, "none.foo").unwrap(), [""; 0]);
    // Where the service stands for the subset, nobody can tell what it stands for.
    assert_eq!(of(&table, "bar"), Err(Refusal::NoEndpoints));
    assert_eq!(of(&table, "bad.bar"), Err(Refusal::NoEndpoints));
    let notes = notes(&table);
    assert_eq!(notes.len(), 2, "{notes:#?}");
    assert!(notes[0].starts_with(
        "subset \"bad\" of service \"bar\": refused: its filter selects nothing: \"Meta.version\" \
         is no field"
    ));
    assert!(notes[1].starts_with(
        "subset \"bad\" of service \"foo\": refused: its filter selects nothing: it cannot be read \
         from character "
    ));
}

#[test]
fn filters_see_the_node_its_checks_and_the_datacenter() {
    let filter = |text: &str| json!({"Filter": text});
    let table = with(json!([{"Name": "foo", "Subsets": {
        "dc": filter("Node.Datacenter == dc1"),
        "elsewhere": filter("Node.Datacenter != dc1"),
        "node": filter("Node.Node == `foo-4`"),
        "warned": filter("Checks.Status == warning"),
        "serf": filter("Checks.ServiceID == `` and Checks.Status == passing"),
    }}]));
    assert_eq!(of(&table, "dc.foo").unwrap(), FOO);
    assert_eq!(of(&table, "elsewhere.foo").unwrap(), [""; 0]);
    assert_eq!(of(&table, "node.foo").unwrap(), FOO[1..2]);
    assert_eq!(of(&table, "warned.foo").unwrap(), FOO[3..]);
    assert_eq!(of(&table, "serf.foo").unwrap(), FOO);
}

#[test]
fn policies_are_honoured_where_a_gateway_can() {
    let named = |policy: &str| {
        with(json!([{"Name": "foo", "LoadBalancer": {"Policy": policy}, "Subsets": versions()}]))
    };
    for (policy_name, expected, noted) in [
        ("", Policy::LeastConnections, ""),
        ("least_request", Policy::LeastConnections, ""),
        ("round_robin", Policy::RoundRobin, ""),
        ("random", Policy::Random, ""),
        ("ring_hash", Policy::LeastConnections, "ring_hash needs HTTP"),
        ("maglev", Policy::LeastConnections, "maglev needs HTTP"),
        ("fastest", Policy::LeastConnections, "its policy \"fastest\" is not known"),
    ] {
        let table = named(policy_name);
        for name in ["foo.", "v1.foo.", "v2.foo."] {
            assert_eq!(policy(&table, name), expected, "{policy_name}: {name}");
        }
        assert_eq!(policy(&table, "bar."), Policy::LeastConnections);
        let notes = notes(&table);
        assert_eq!(notes.len(), usize::from(!noted.is_empty()), "{policy_name}: {notes:?}");
        assert!(notes.iter().all(|note| note.contains(noted)), "{notes:?}");
        RoutingTable::from_routes(&table.resolve(resolver)).unwrap();
    }
    assert_eq!(notes(&with(json!([{"Name": "foo", "LoadBalancer": null}]))), [""; 0]);
}

#[test]
fn a_service_keeps_a_name_that_a_subset_would_have_too() {
    let mut world = World::golden();
    world.add_sidecar("v1.foo", "172.16.1.77", "passing");
    world.set(Part::Resolvers, json!([{"Name": "foo", "Subsets": versions()}]));
    let table = table(&world);
    assert_eq!(of(&table, "v1.foo").unwrap(), ["172.16.1.77:2222 1"]);
    assert_eq!(notes(&table).len(), 1, "{:?}", notes(&table));
}

#[test]
fn a_resolver_that_changes_changes_the_subsets() {
    let mut world = World::golden();
    let mut snapshot = world.snapshot();
    let mut take = |filter: &str| {
        let subsets = json!({"v": {"Filter": filter}});
        world.set(Part::Resolvers, json!([{"Name": "foo", "Subsets": subsets}]));
        let changed = snapshot.take(Part::Resolvers, &world.body(Part::Resolvers)).unwrap();
        (changed, of(&snapshot.table(&Default::default()), "v.foo").unwrap())
    };
    let v1: Vec<String> = FOO[..2].iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(take("Service.Meta.version == 1"), (Changed::Yes, v1.clone()));
    assert_eq!(take("Service.Meta.version == 1"), (Changed::No, v1));
    assert_eq!(take("Service.Meta.version == 9"), (Changed::Yes, vec![]));
}
