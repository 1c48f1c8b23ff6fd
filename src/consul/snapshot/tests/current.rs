//! Checks that turned critical since the catalog was read.

use serde_json::{Value, json};

use super::fixtures::World;
use super::{endpoints, table};
use crate::consul::watch::Part;

const WEB: &str = "web.default.dc1.internal.TD";

/// A world in which `web` has a sidecar on a node of its own, with a check of this status, and
/// these checks are said to be critical.
fn world(status: &str, critical: Value) -> World {
    let mut world = World::bare();
    world.add_sidecar("web", "10.0.0.1", status);
    world.add_sidecar("api", "10.0.0.2", status);
    world.set(Part::Critical, critical);
    world
}

fn critical(node: &str, service_id: &str, check_id: &str) -> Value {
    json!({"Node": node, "CheckID": check_id, "Status": "critical", "ServiceID": service_id})
}

#[test]
fn one_that_turned_critical_counts_before_the_catalog_says_so() {
    let up = "10.0.0.1:2222 1";
    let down = "10.0.0.1:2222 1 down";
    for (known, said, expected) in [
        ("passing", json!([]), up),
        ("passing", json!(null), up),
        ("passing", json!([critical("web-1", "web-sidecar-proxy", "any")]), down),
        ("warning", json!([critical("web-1", "web-sidecar-proxy", "any")]), down),
        // What is not in it any more is the catalog's to say.
        ("critical", json!([]), down),
        ("critical", json!([critical("web-1", "web-sidecar-proxy", "any")]), down),
        // The node's own.
        ("passing", json!([critical("web-1", "", "any")]), down),
        // Not in the catalog yet: maintenance of the instance, and of the node.
        ("passing", json!([critical("web-1", "web-sidecar-proxy", "_service_maintenance")]), down),
        ("passing", json!([critical("web-1", "", "_node_maintenance")]), down),
        // Another's: of another instance, on another node, on none.
        ("passing", json!([critical("web-1", "web", "any")]), up),
        ("passing", json!([critical("api-2", "web-sidecar-proxy", "any")]), up),
        ("passing", json!([critical("gone", "web-sidecar-proxy", "any")]), up),
        // Nothing else counts, whatever the question was.
        (
            "passing",
            json!([{"Node": "web-1", "CheckID": "any", "Status": "warning",
                "ServiceID": "web-sidecar-proxy"}]),
            up,
        ),
    ] {
        let table = table(&world(known, said.clone()));
        assert_eq!(endpoints(&table, WEB).unwrap(), [expected], "{known}, {said}");
    }
}

#[test]
fn a_node_of_a_peer_is_not_the_one_of_the_same_name_here() {
    let mut world = world("passing", json!([critical("web-1", "web-sidecar-proxy", "any")]));
    let nodes = world.at(Part::Catalog).as_array_mut().unwrap();
    let mut of_peer = nodes[1].clone();
    of_peer["PeerName"] = "peer".into();
    nodes.insert(1, of_peer);
    assert_eq!(endpoints(&table(&world), WEB).unwrap(), ["10.0.0.1:2222 1 down"]);
}

#[test]
fn filters_of_subsets_see_it_too() {
    for (said, expected) in [
        (json!([]), vec![]),
        (json!([critical("web-1", "web-sidecar-proxy", "any")]), vec!["10.0.0.1:2222 1 down"]),
    ] {
        let mut world = world("passing", said);
        let ill = json!({"ill": {"Filter": "Checks.Status == critical"}});
        let resolver = json!({"Kind": "service-resolver", "Name": "web", "Subsets": ill});
        world.set(Part::Resolvers, json!([resolver]));
        assert_eq!(endpoints(&table(&world), &format!("ill.{WEB}")).unwrap(), expected);
    }
}
