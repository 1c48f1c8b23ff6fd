//! Peers and partitions. No Consul that has them is at hand: each catalog here is one of Consul's
//! own tests, whose file and version it names.

use std::time::Duration;

use serde_json::{Value, json};

use super::{endpoints, notes, table};
use crate::consul::snapshot::TableOptions;
use crate::consul::snapshot::tests::fixtures::{TRUST_DOMAIN, World, check, gateway, node};
use crate::consul::watch::Part;
use crate::refusal::Refusal;

/// The trust domain of the peer (`agent/connect/testing_ca.go`, 1.14).
const OTHER: &str = "1c053652-8512-4373-90cf-5a7f6263a994.consul";

/// `agent/proxycfg/testing_mesh_gateway.go`, 1.14: "default-services-tcp" of
/// `TestConfigSnapshotPeeredMeshGateway`, as `/v1/exported-services` of 1.17 tells it.
fn exporting() -> World {
    let mut world = World::golden();
    world.add_sidecar("gir", "172.16.1.20", "passing");
    world.set(
        Part::Exports,
        json!([
            {"Service": "foo", "Consumers": {"Peers": ["peer-a"]}},
            {"Service": "bar", "Consumers": {"Peers": ["peer-a"], "Partitions": ["p"]}},
            {"Service": "gir", "Consumers": {"Peers": ["peer-b"]}},
        ]),
    );
    world
}

#[test]
fn what_is_exported_leads_to_its_sidecars_by_the_name_that_its_peer_asks_for() {
    let table = table(&exporting());
    let exported = |name: &str| endpoints(&table, &format!("{name}.external.TD"));
    let own = |name: &str| endpoints(&table, &format!("{name}.default.dc1.internal.TD")).unwrap();
    assert_eq!(exported("foo.default.default.peer-a").unwrap(), own("foo"));
    assert_eq!(exported("bar.default.default.peer-a").unwrap(), own("bar"));
    assert_eq!(exported("gir.default.default.peer-b").unwrap(), ["172.16.1.20:2222 1"]);
    for name in ["gir.default.default.peer-a", "foo.default.default.peer-b", "foo.default.peer-a"] {
        assert_eq!(exported(name), Err(Refusal::UnknownName), "{name}");
    }
    let bar = "bar.default.default.peer-a.external.TD";
    assert_eq!(super::timeout(&table, bar), Duration::from_secs(10), "its resolver's");
    assert_eq!(notes(&table), [""; 0]);
}

/// "default-services-http" there.
#[test]
fn http_that_is_exported_is_refused_by_name_and_goes_on_within_the_cluster() {
    for protocol in ["http", "HTTP2", "grpc"] {
        let mut world = exporting();
        let nodes = world.at(Part::Catalog).as_array_mut().unwrap();
        let sidecar = &mut nodes.last_mut().unwrap()["Services"][1];
        sidecar["Proxy"]["Config"] = json!({"protocol": protocol});
        let table = table(&world);
        let name = "gir.default.default.peer-b.external.TD";
        assert_eq!(endpoints(&table, name), Err(Refusal::HttpOverPeering));
        assert!(endpoints(&table, "gir.default.dc1.internal.TD").is_ok());
        assert!(endpoints(&table, "foo.default.default.peer-a.external.TD").is_ok());
        let notes = notes(&table);
        assert!(notes[0].starts_with("exported service \"gir\": refused: it speaks HTTP"));
        assert_eq!(notes.len(), 1, "{notes:#?}");
    }
}

/// "chain-and-l7-stuff" there, of which "api-v2" is a service that a resolver redirects.
#[test]
fn an_exported_service_that_is_redirected_or_has_no_instance_is_refused() {
    let mut world = exporting();
    let redirect = json!({"Service": "api", "ServiceSubset": "v2"});
    let resolver = json!({"Kind": "service-resolver", "Name": "foo", "Redirect": redirect});
    world.at(Part::Resolvers).as_array_mut().unwrap().push(resolver);
    let absent = json!({"Service": "absent", "Consumers": {"Peers": ["peer-a"]}});
    world.at(Part::Exports).as_array_mut().unwrap().push(absent);
    let table = table(&world);
    for service in ["foo", "absent"] {
        let name = format!("{service}.default.default.peer-a.external.TD");
        assert_eq!(endpoints(&table, &name), Err(Refusal::NoEndpoints), "{service}");
    }
    assert!(endpoints(&table, "foo.default.dc1.internal.TD").is_ok(), "who dials was redirected");
    let notes = notes(&table);
    assert!(notes[0].contains("\"absent\": refused: it has no instance"), "{notes:#?}");
    assert!(notes[1].contains("\"foo\": refused: its resolver redirects"), "{notes:#?}");
}

/// `agent/structs/testing_connect_proxy_config.go` and `testing_catalog.go`, 1.14:
/// `TestCheckNodeServiceWithNameInPeer`, as `/v1/internal/ui/nodes` tells it.
fn imported(service: &str, peer: &str, address: &str, wan: Option<&str>) -> Value {
    let name = format!("{service}.default.default.{peer}.external.{OTHER}");
    let mut proxy = json!({
        "Kind": "connect-proxy", "ID": format!("{service}-{address}"), "PeerName": peer,
        "Service": format!("{service}-sidecar-proxy"), "Address": address, "Port": 8080,
        "Proxy": {"DestinationServiceName": service},
        "Connect": {"PeerMeta": {"SNI": [name], "SpiffeID": ["spiffe://any"], "Protocol": "tcp"}},
    });
    if let Some(wan) = wan {
        proxy["TaggedAddresses"] = json!({"wan": {"Address": wan, "Port": 443}});
    }
    let checks = json!([check("", "passing")]);
    let mut node = node(&format!("node-{address}"), "127.0.0.1", json!([proxy]), checks);
    node["PeerName"] = peer.into();
    node
}

/// "imported-services" of `TestConfigSnapshotPeeredMeshGateway`, 1.14, and what
/// `agent/xds/testdata/endpoints/mesh-gateway-with-imported-peered-services.latest.golden` has.
#[test]
fn what_is_imported_leads_to_the_gateways_of_its_peer() {
    let mut world = World::golden();
    world.add_node(imported("db", "peer-a", "10.40.1.1", None));
    world.add_node(imported("db", "peer-a", "10.40.1.2", None));
    world.add_node(imported("alt", "peer-b", "10.40.2.1", Some("198.18.2.1")));
    let table = table(&world);
    let leads = |name: &str| endpoints(&table, &format!("{name}.external.{OTHER}"));
    let db = ["10.40.1.1:8080 1", "10.40.1.2:8080 1"];
    assert_eq!(leads("db.default.default.peer-a").unwrap(), db);
    assert_eq!(leads("alt.default.default.peer-b").unwrap(), ["198.18.2.1:443 1"]);
    assert_eq!(leads("web.default.default.peer-a"), Err(Refusal::OtherTrustDomain));
    // It is none of this datacenter.
    assert_eq!(endpoints(&table, "db.default.dc1.internal.TD"), Err(Refusal::UnknownName));
    assert_eq!(table.services().count(), 2);
}

#[test]
fn a_peer_takes_no_name_that_is_not_its_own() {
    let mut world = World::golden();
    let names = [
        format!("web.default.dc2.internal.{TRUST_DOMAIN}"),
        format!("foo.default.default.peer-a.external.{TRUST_DOMAIN}"),
        "server-1.server.dc2.consul".to_owned(),
    ];
    for (index, name) in names.iter().enumerate() {
        let mut node = imported("db", "peer-a", &format!("10.40.1.{index}"), None);
        node["Services"][0]["Connect"]["PeerMeta"]["SNI"] = json!([name]);
        world.add_node(node);
    }
    let options = TableOptions { expose_servers: true, ..TableOptions::default() };
    let table = world.snapshot().table(&options);
    let dc2 = ["198.18.1.1:443 1", "198.18.1.2:443 1"];
    assert_eq!(endpoints(&table, &names[0]).unwrap(), dc2);
    assert_eq!(endpoints(&table, &names[1]), Err(Refusal::UnknownName));
    assert_eq!(endpoints(&table, &names[2]).unwrap(), dc2);
    assert_eq!(notes(&table).len(), names.len(), "{:#?}", notes(&table));
}

/// "control-plane" and "peer-through-mesh-gateway" of `TestConfigSnapshotPeeredMeshGateway`, 1.14.
fn with_peer_servers(is_wanted: bool) -> World {
    let server = |node: &str, address: &str, meta: Value, tagged: Value| {
        json!({"Node": {"Node": node, "Address": address, "Datacenter": "dc1"},
            "Service": {"ID": "consul", "Service": "consul", "Port": 8300, "Meta": meta,
                "TaggedAddresses": tagged}, "Checks": []})
    };
    let port = json!({"grpc_port": "8502", "grpc_tls_port": "8503"});
    let wan = json!({"wan": {"Address": "consul.server.dc1.my-domain", "Port": 10101}});
    let mut world = World::golden();
    world.set(
        Part::Servers,
        json!([
            server("replica", "127.0.0.10", json!({"read_replica": "true"}), Value::Null),
            server("node1", "127.0.0.1", port.clone(), Value::Null),
            server("node2", "127.0.0.2", port, wan),
            server("node3", "127.0.0.3", json!({"grpc_port": "8502"}), Value::Null),
            server("node4", "127.0.0.4", json!({"grpc_tls_port": "bad"}), Value::Null),
        ]),
    );
    let name = |dc: &str| format!("server.{dc}.peering.{OTHER}");
    world.set(
        Part::Peerings,
        json!([
            {"Name": "peer-a", "PeerServerName": name("dc2"), "State": "",
                "PeerServerAddresses": ["1.2.3.4:5200", "[2001:db8::1]:5200", "nowhere"]},
            {"Name": "peer-b", "PeerServerName": name("dc3"), "State": "ACTIVE",
                "PeerServerAddresses": ["1.2.3.9:5200"],
                "ManualServerAddresses": ["my-load-balancer-1234.us-east-2.elb.notaws.com:8503"]},
            {"Name": "gone", "PeerServerName": name("dc4"), "State": "TERMINATED",
                "PeerServerAddresses": ["1.2.3.4:5200"]},
            {"Name": "dials-us", "State": "ACTIVE"},
            {"Name": "greedy", "PeerServerName": format!("server.dc2.peering.{TRUST_DOMAIN}"),
                "PeerServerAddresses": ["6.6.6.6:5200"]},
        ]),
    );
    let mesh = json!({"Kind": "mesh", "Peering": {"PeerThroughMeshGateways": is_wanted}});
    world.set(Part::Mesh, mesh);
    world
}

#[test]
fn servers_of_peers_are_led_to_each_other_where_the_mesh_entry_wants_it() {
    let leading = table(&with_peer_servers(true));
    let leads = |name: &str| endpoints(&leading, name);
    assert_eq!(leads("server.dc1.peering.TD").unwrap(), ["127.0.0.1:8503 1", "127.0.0.2:8503 1"]);
    let of_peer = |dc: &str| format!("server.{dc}.peering.{OTHER}");
    assert_eq!(leads(&of_peer("dc2")).unwrap(), ["1.2.3.4:5200 1", "[2001:db8::1]:5200 1"]);
    let host = ("my-load-balancer-1234.us-east-2.elb.notaws.com".to_owned(), 8503);
    assert!(leading.hosts().contains(&host), "{:?}", leading.hosts());
    assert_eq!(leads(&of_peer("dc4")), Err(Refusal::OtherTrustDomain));
    assert_eq!(leads("server.dc2.peering.TD"), Err(Refusal::UnknownName));
    let notes = notes(&leading);
    assert!(notes.iter().any(|note| note.contains("\"nowhere\" is no address")), "{notes:#?}");

    let plain = table(&with_peer_servers(false));
    assert_eq!(endpoints(&plain, "server.dc1.peering.TD"), Err(Refusal::UnknownName));
    assert_eq!(endpoints(&plain, &of_peer("dc2")), Err(Refusal::OtherTrustDomain));
}

/// Names as in `agent/connect/sni_test.go`, 1.14; which gateways as in `agent/structs/structs.go`
/// there (`CheckServiceNode.BestAddress`: WAN where datacenter or partition differs).
#[test]
fn partitions_have_names_and_gateways_of_their_own() {
    let mut world = World::golden();
    let nodes = world.at(Part::Catalog).as_array_mut().unwrap();
    for node in nodes.iter_mut().skip(1) {
        for service in node["Services"].as_array_mut().unwrap() {
            service["Partition"] = "billing".into();
        }
    }
    let of = |partition: &str, wan: &str| {
        let mut gateway = gateway(wan, 443, "passing");
        gateway["Service"]["Partition"] = partition.into();
        gateway
    };
    world.at(Part::Gateways)["dc1"] =
        json!([of("default", "198.18.0.1"), of("billing", "198.18.0.2")]);
    world.at(Part::Gateways)["dc2"] =
        json!([of("default", "198.18.1.1"), of("Sales", "198.18.1.2")]);
    let partition = "billing".to_owned();
    let table = world.snapshot().table(&TableOptions { partition, ..TableOptions::default() });
    let leads = |name: &str| endpoints(&table, name);
    assert!(leads("foo.default.billing.dc1.internal-v1.TD").is_ok());
    assert!(leads("v1.bar.default.billing.dc1.internal-v1.TD").is_ok());
    // The same name in the default partition is another service.
    assert_eq!(leads("foo.default.dc1.internal.TD").unwrap(), ["198.18.0.1:443 1"]);
    assert_eq!(leads("foo.default.dc2.internal.TD").unwrap(), ["198.18.1.1:443 1"]);
    assert_eq!(leads("foo.ns.sales.dc2.internal-v1.TD").unwrap(), ["198.18.1.2:443 1"]);
    assert_eq!(leads("any.ns.billing.dc1.internal-v1.TD"), Err(Refusal::UnknownName));
    assert_eq!(leads("any.ns.nobody.dc2.internal-v1.TD"), Err(Refusal::NoGateways));
    assert_eq!(leads("any.ns.nobody.dc8.internal-v1.TD"), Err(Refusal::UnknownDatacenter));
    assert_eq!(table.datacenters().into_iter().collect::<Vec<_>>(), ["dc1", "dc2", "dc4", "dc6"]);

    let table = world.snapshot().table(&TableOptions::default());
    assert_eq!(table.services().count(), 0, "they are of another partition");
    let billing = endpoints(&table, "foo.default.billing.dc1.internal-v1.TD").unwrap();
    assert_eq!(billing, ["198.18.0.2:443 1"]);
    assert!(notes(&table)[0].contains("partition \"billing\" is not served"));
}
