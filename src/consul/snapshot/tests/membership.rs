//! Which instances serve a name, where they are dialed, and how healthy they are.

use serde_json::{Value, json};

use super::fixtures::{World, check, node};
use super::{endpoints, notes, table};
use crate::consul::model::{Node, Service, Status, Weights};
use crate::consul::snapshot::place::{AddressError, Reach, address, health_and_weight};
use crate::consul::watch::Part;
use crate::refusal::Refusal;

const WEB: &str = "web.default.dc1.internal.TD";

/// A world in which `web` has this sidecar.
fn with_sidecar(sidecar: Value, checks: Value) -> World {
    let mut world = World::bare();
    let mut all = json!({"Kind": "connect-proxy", "ID": "web-1", "Service": "web-sidecar-proxy",
        "Port": 2222, "Proxy": {"DestinationServiceName": "web"}});
    let fields = sidecar.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(fields);
    world.add_node(node("n", "10.0.0.1", json!([all]), checks));
    world
}

#[test]
fn every_check_of_the_instance_and_of_its_node_counts() {
    for (checks, expected) in [
        (json!([]), "10.0.0.1:2222 3"),
        (json!([check("", "passing"), check("web-1", "passing")]), "10.0.0.1:2222 3"),
        (json!([check("", "critical"), check("web-1", "passing")]), "10.0.0.1:2222 3 down"),
        (json!([check("", "passing"), check("web-1", "critical")]), "10.0.0.1:2222 3 down"),
        (json!([check("web-1", "warning"), check("web-1", "passing")]), "10.0.0.1:2222 2"),
        (json!([check("", "warning")]), "10.0.0.1:2222 2"),
        (json!([check("web-1", "warning"), check("", "critical")]), "10.0.0.1:2222 2 down"),
        // Another instance's, and a word that Consul does not use.
        (json!([check("web-2", "critical")]), "10.0.0.1:2222 3"),
        (json!([check("web-1", "maintenance")]), "10.0.0.1:2222 3"),
        (json!(null), "10.0.0.1:2222 3"),
    ] {
        let weights = json!({"Weights": {"Passing": 3, "Warning": 2}});
        let table = table(&with_sidecar(weights, checks.clone()));
        assert_eq!(endpoints(&table, WEB).unwrap(), [expected], "{checks}");
    }
}

#[test]
fn weights_are_brought_within_and_none_is_unhealthy() {
    let service = |weights: Option<(i64, i64)>| Service {
        weights: weights.map(|(passing, warning)| Weights { passing, warning }),
        ..Service::default()
    };
    let (passing, warning) = (&[Status::Passing][..], &[Status::Warning][..]);
    for (weights, statuses, only_passing, expected) in [
        (None, passing, false, (true, 1)),
        (None, warning, false, (true, 1)),
        (None, warning, true, (false, 1)),
        (Some((0, 1)), passing, false, (false, 1)),
        (Some((5, 0)), warning, false, (false, 1)),
        (Some((5, 7)), warning, true, (false, 7)),
        (Some((-9, 1)), passing, false, (false, 1)),
        (Some((128, 1)), passing, true, (true, 128)),
        (Some((129, 1)), passing, false, (true, 128)),
        (Some((i64::MAX, i64::MIN)), passing, false, (true, 128)),
        (Some((i64::MAX, i64::MIN)), warning, false, (false, 1)),
        (None, &[Status::Unknown][..], false, (true, 1)),
        (None, &[Status::Unknown][..], true, (false, 1)),
        (None, &[][..], true, (true, 1)),
    ] {
        let found = health_and_weight(&service(weights), statuses, only_passing);
        assert_eq!(found, expected, "{weights:?} {statuses:?} {only_passing}");
    }
}

/// `BestAddress` from the own and from another datacenter.
fn addresses(node: Value, service: Value) -> [Result<String, AddressError>; 2] {
    let node: Node = serde_json::from_value(node).unwrap();
    let service: Service = serde_json::from_value(service).unwrap();
    [Reach::Lan, Reach::Wan]
        .map(|reach| address(&node, &service, reach).map(|address| address.to_string()))
}

#[test]
fn the_best_address_is_consuls() {
    let plain = json!({"Address": "10.0.0.1"});
    let tagged = json!({"Address": "10.0.0.1", "TaggedAddresses": {"wan": "198.18.0.1"}});
    let wan = |address: &str, port: i64| json!({"wan": {"Address": address, "Port": port}});
    for (node, service, lan_expected, wan_expected) in [
        (&plain, json!({"Port": 1}), "10.0.0.1:1", "10.0.0.1:1"),
        (&tagged, json!({"Port": 1}), "10.0.0.1:1", "198.18.0.1:1"),
        (&tagged, json!({"Port": 1, "Address": "10.0.0.2"}), "10.0.0.2:1", "10.0.0.2:1"),
        (
            &tagged,
            json!({"Port": 1, "Address": "10.0.0.2", "TaggedAddresses": wan("198.18.0.2", 2)}),
            "10.0.0.2:1",
            "198.18.0.2:2",
        ),
        (
            &tagged,
            json!({"Port": 1, "Address": "10.0.0.2", "TaggedAddresses": wan("198.18.0.2", 0)}),
            "10.0.0.2:1",
            "198.18.0.2:1",
        ),
        (
            // An empty one falls to the node's, not to the service's.
            &tagged,
            json!({"Port": 1, "Address": "10.0.0.2", "TaggedAddresses": wan("", 2)}),
            "10.0.0.2:1",
            "198.18.0.1:2",
        ),
        (
            &plain,
            json!({"Port": 1, "TaggedAddresses": {"lan": {"Address": "10.9.9.9", "Port": 9},
                "wan_ipv4": {"Address": "10.9.9.9", "Port": 9}}}),
            "10.0.0.1:1",
            "10.0.0.1:1",
        ),
        (
            &plain,
            json!({"Port": 1, "Address": "2001:db8::1"}),
            "[2001:db8::1]:1",
            "[2001:db8::1]:1",
        ),
        (&plain, json!({"Port": 1, "Address": "Host.A"}), "host.a:1", "host.a:1"),
    ] {
        let expected = [Ok(lan_expected.to_owned()), Ok(wan_expected.to_owned())];
        assert_eq!(addresses(node.clone(), service.clone()), expected, "{service}");
    }
}

#[test]
fn what_cannot_be_dialed_says_why() {
    let node = json!({"Address": "10.0.0.1"});
    for (service, expected) in [
        (json!({}), AddressError::Port(0)),
        (json!({"Port": -1}), AddressError::Port(-1)),
        (json!({"Port": 65_536}), AddressError::Port(65_536)),
        (json!({"Port": 1, "Address": "0.0.0.0"}), AddressError::Unspecified([0, 0, 0, 0].into())),
        (json!({"Port": 1, "Address": "::"}), AddressError::Unspecified([0_u16; 8].into())),
        (json!({"Port": 1, "Address": "a b"}), AddressError::Garbage),
        (json!({"Port": 1, "Address": "1.2.3"}), AddressError::Garbage),
        (json!({"Port": 1, "Address": "a..b"}), AddressError::Garbage),
        (json!({"Port": 1, "Address": "unix:///a"}), AddressError::Garbage),
        (json!({"Port": 1, "Address": "a".repeat(300)}), AddressError::Garbage),
        (json!({"SocketPath": "/run/a"}), AddressError::UnixSocket),
    ] {
        let found = addresses(node.clone(), service.clone());
        assert_eq!(found, [Err(expected.clone()), Err(expected)], "{service}");
    }
    let found = addresses(json!({}), json!({"Port": 1}));
    assert_eq!(found, [Err(AddressError::None), Err(AddressError::None)]);
    // The service stays known: it has no endpoint, which is another reason than an unknown name.
    let table = table(&with_sidecar(json!({"Port": 0}), json!([])));
    assert_eq!(endpoints(&table, WEB).unwrap(), [""; 0]);
    assert_eq!(
        notes(&table),
        ["instance \"web-1\" on node \"n\": left out: its port 0 is none (1 to 65535)"]
    );
}

#[test]
fn natives_and_sidecars_serve_together_and_plain_services_do_not() {
    let mut world = with_sidecar(json!({}), json!([]));
    let services = json!([
        {"ID": "web", "Service": "web", "Port": 1, "Connect": {"Native": true}},
        {"ID": "plain", "Service": "plain", "Port": 2, "Connect": {"Native": false}},
        {"ID": "ingress", "Service": "web", "Port": 3, "Kind": "ingress-gateway"},
        {"ID": "imported", "Service": "web", "Port": 4, "Connect": {"Native": true},
            "PeerName": "p"},
        {"ID": "elsewhere", "Service": "web", "Port": 5, "Connect": {"Native": true},
            "Partition": "other"},
        {"ID": "lost", "Service": "lost", "Port": 6, "Kind": "connect-proxy"},
    ]);
    world.add_node(node("m", "10.0.0.2", services, json!([])));
    let table = table(&world);
    assert_eq!(endpoints(&table, WEB).unwrap(), ["10.0.0.1:2222 1", "10.0.0.2:1 1"]);
    let plain = endpoints(&table, "plain.default.dc1.internal.TD");
    assert_eq!(plain, Err(Refusal::UnknownName));
    assert_eq!(
        notes(&table),
        [
            "service \"web\": left out: partition \"other\" is not served",
            "sidecar \"lost\": left out: it does not say which service it is for",
        ]
    );
}

#[test]
fn namespaces_are_part_of_the_name() {
    let world = with_sidecar(json!({"Namespace": "Team", "Partition": "default"}), json!([]));
    let table = table(&world);
    assert!(endpoints(&table, "web.team.dc1.internal.TD").is_ok());
    assert_eq!(endpoints(&table, WEB), Err(Refusal::UnknownName));
}

/// A terminating gateway, a plain service `db`, `web` with a sidecar, and a sidecar of `orphan`,
/// which is not registered itself.
fn with_terminating_gateway(links: Value) -> World {
    let mut world = with_sidecar(json!({}), json!([]));
    let services = json!([
        {"ID": "tgw", "Service": "TGW", "Kind": "terminating-gateway", "Port": 9,
            "Weights": {"Passing": 4, "Warning": 1}},
        {"ID": "db", "Service": "db", "Port": 5432},
        {"ID": "web", "Service": "web", "Port": 80},
        {"ID": "orphan", "Service": "orphan-sidecar-proxy", "Kind": "connect-proxy", "Port": 2222,
            "Proxy": {"DestinationServiceName": "orphan"}},
    ]);
    world.add_node(node("t", "10.0.0.9", services, json!([check("tgw", "critical")])));
    world.set(Part::TerminatingGateways, json!([{"Name": "tgw", "Services": links}]));
    world
}

#[test]
fn linked_services_lead_to_the_terminating_gateway() {
    let links = json!([{"Name": "DB"}, {"Name": "Web"}, {"Name": "web"}]);
    let table = table(&with_terminating_gateway(links));
    let gateway = "10.0.0.9:9 4 down";
    assert_eq!(endpoints(&table, "db.default.dc1.internal.TD").unwrap(), [gateway]);
    assert_eq!(endpoints(&table, WEB).unwrap(), ["10.0.0.1:2222 1", gateway]);
}

#[test]
fn a_link_to_what_nobody_registered_is_no_route() {
    let links = json!([{"Name": "unregistered"}, {"Name": "orphan"}]);
    let table = table(&with_terminating_gateway(links));
    let found = endpoints(&table, "unregistered.default.dc1.internal.TD");
    assert_eq!(found, Err(Refusal::UnknownName));
    let orphan = endpoints(&table, "orphan.default.dc1.internal.TD").unwrap();
    assert_eq!(orphan, ["10.0.0.9:2222 1"], "it has its sidecar, as those beside it see it");
    assert_eq!(endpoints(&table, "db.default.dc1.internal.TD"), Err(Refusal::UnknownName));
}

#[test]
fn a_wildcard_links_every_service_without_a_kind_but_consul() {
    let table = table(&with_terminating_gateway(json!([{"Name": "*"}])));
    let gateway = "10.0.0.9:9 4 down";
    assert_eq!(endpoints(&table, "db.default.dc1.internal.TD").unwrap(), [gateway]);
    assert_eq!(endpoints(&table, WEB).unwrap(), ["10.0.0.1:2222 1", gateway]);
    // What is not registered is not among them.
    let orphan = endpoints(&table, "orphan.default.dc1.internal.TD").unwrap();
    assert_eq!(orphan, ["10.0.0.9:2222 1"]);
    for name in ["consul", "tgw", "web-sidecar-proxy"] {
        let found = endpoints(&table, &format!("{name}.default.dc1.internal.TD"));
        assert_eq!(found, Err(Refusal::UnknownName), "{name}");
    }
}

#[test]
fn a_link_without_an_instance_of_its_gateway_is_no_route() {
    let mut world = with_terminating_gateway(json!([]));
    world.set(
        Part::TerminatingGateways,
        json!([{"Name": "other", "Services": [{"Name": "db"}]}, {"Name": "tgw"}]),
    );
    let table = table(&world);
    let found = endpoints(&table, "db.default.dc1.internal.TD");
    assert_eq!(found, Err(Refusal::UnknownName));
}

#[test]
fn every_address_of_a_gateway_is_known_and_nobody_elses() {
    let mut world = World::golden();
    let states = world.at(Part::Gateways);
    states["dc2"] = json!([{
        "Node": {"Node": "n", "Address": "10.2.0.1", "TaggedAddresses": {"wan": "198.18.9.9"}},
        "Service": {"Kind": "mesh-gateway", "ID": "g", "Service": "g", "Address": "10.2.0.2",
            "Port": 1, "TaggedAddresses": {
                "wan": {"Address": "198.18.9.10", "Port": 443},
                "lan": {"Address": "::ffff:10.2.0.3", "Port": 1},
                "other": {"Address": "0.0.0.0", "Port": 1}}},
        "Checks": null
    }, {
        "Node": {"Node": "n", "Address": "10.2.0.77"},
        "Service": {"Kind": "", "ID": "w", "Service": "w", "Address": "10.2.0.78", "Port": 1},
        "Checks": null
    }]);
    let known = table(&world).resolve(|_, _| vec!["198.18.9.11:443".parse().unwrap()]).gateways;
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    for ip in ["10.2.0.1", "10.2.0.2", "10.2.0.3", "198.18.9.9", "198.18.9.10"] {
        assert!(known.iter().any(|known| known == ip), "{ip} in {known:?}");
    }
    // Gateways of other datacenters have host names.
    assert!(known.iter().any(|known| known == "198.18.9.11"), "{known:?}");
    for ip in ["10.2.0.77", "10.2.0.78", "0.0.0.0"] {
        assert!(!known.iter().any(|known| known == ip), "{ip} in {known:?}");
    }
}
