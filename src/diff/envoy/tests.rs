use serde_json::{Value, json};

use super::*;
use crate::diff::facts::{Cluster, Discovery, Endpoint, Leads};

#[test]
fn an_admin_address_is_read_with_and_without_its_scheme() {
    for text in ["127.0.0.1:19000", "http://127.0.0.1:19000", "http://127.0.0.1:19000/"] {
        assert_eq!(url(text).unwrap().as_str(), "http://127.0.0.1:19000/", "{text}");
    }
    assert!(url("envoy.example:19000").is_some() && url("[::1]:19000").is_some());
    for text in ["", "https://127.0.0.1:19000", "http://a:1/config_dump", "http://", "a b:1"] {
        assert_eq!(url(text), None, "{text}");
    }
}

fn tcp_proxy(cluster: &str) -> Value {
    json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "cluster": cluster,
    }})
}

fn chain(names: &[&str], cluster: &str) -> Value {
    json!({
        "filter_chain_match": { "server_names": names }, "filters": [tcp_proxy(cluster)],
    })
}

fn catch_all() -> Value {
    json!({ "filters": [{ "name": "envoy.filters.network.sni_cluster" }, tcp_proxy("")] })
}

fn endpoint(address: &str, more: &Value) -> Value {
    let mut endpoint = json!({ "endpoint": { "address": { "socket_address": {
        "address": address, "port_value": 8443,
    }}}});
    for (key, value) in more.as_object().unwrap() {
        endpoint[key] = value.clone();
    }
    endpoint
}

/// A dump with these chains and clusters.
fn dump(chains: &Value, clusters: &[Value], endpoints: &Value) -> Value {
    let held: Vec<Value> = clusters.iter().map(|it| json!({ "cluster": it })).collect();
    let assignment = json!({ "cluster_name": "web.td", "endpoints": endpoints });
    json!({ "configs": [
        { "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {} },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "static_clusters": [{ "cluster": { "name": "local_agent", "type": "STATIC" } }],
            "dynamic_active_clusters": held,
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
            "dynamic_endpoint_configs": [{ "endpoint_config": assignment }],
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
            "dynamic_listeners": [
                { "name": "warming", "warming_state": { "listener": {} } },
                { "name": "a", "active_state": { "listener": { "filter_chains": chains } } },
            ],
        },
    ]})
}

fn read(dump: &Value) -> Facts {
    let dump = Dump::parse(dump.to_string().as_bytes()).unwrap();
    assert!(dump.has_endpoints());
    read::facts(&dump, &Statuses::default())
}

fn led<'a>(facts: &'a Facts, name: &str) -> &'a Cluster {
    match &facts.routes[name] {
        Leads::To(cluster) => cluster,
        Leads::Refused(why) => panic!("{name} is refused: {why}"),
    }
}

#[test]
fn chains_clusters_and_endpoints_make_a_table() {
    let hosts = json!([{ "lb_endpoints": [
        endpoint("gateway.example", &json!({ "health_status": "UNHEALTHY" })),
    ]}]);
    let clusters = [
        json!({ "name": "web.td", "type": "EDS", "connect_timeout": "0.250s",
            "lb_policy": "LEAST_REQUEST",
            "common_lb_config": { "healthy_panic_threshold": {} },
            "circuit_breakers": { "thresholds": [
                { "priority": "HIGH", "max_connections": 1 }, { "max_connections": 7 },
            ]},
        }),
        json!({
            "name": "DC2.td", "type": "LOGICAL_DNS", "load_assignment": { "endpoints": hosts },
        }),
    ];
    let endpoints = json!([
        { "lb_endpoints": [
            endpoint("10.0.0.1", &json!({
                "health_status": "HEALTHY", "load_balancing_weight": 3,
            })),
            endpoint("10.0.0.1", &json!({ "load_balancing_weight": 9 })),
        ]},
        { "priority": 1, "lb_endpoints": [
            endpoint("2001:db8::1", &json!({ "health_status": "DRAINING" })),
        ]},
    ]);
    let chains = json!([catch_all(), chain(&["*.DC2.td"], "DC2.td")]);
    let facts = read(&dump(&chains, &clusters, &endpoints));
    assert_eq!(facts.strange, []);
    let names: Vec<&str> = facts.routes.keys().map(String::as_str).collect();
    assert_eq!(names, ["*.dc2.td", "dc2.td", "local_agent", "web.td"]);
    let web = led(&facts, "web.td");
    assert_eq!(web.connect_timeout.unwrap().as_millis(), 250);
    assert_eq!(web.policy.as_deref(), Some("least_connections"));
    assert_eq!((web.panic_threshold_percent, web.connections_max), (Some(0.0), Some(7)));
    let first = Endpoint { weight: 3, is_healthy: true, priority: 0 };
    let second = Endpoint { weight: 1, is_healthy: false, priority: 1 };
    let expected = [("10.0.0.1:8443", first), ("[2001:db8::1]:8443", second)];
    let expected = expected.map(|(address, said)| (address.to_owned(), said));
    assert_eq!(web.endpoints, expected.into());
    let far = led(&facts, "*.dc2.td");
    assert_eq!((far.name.as_str(), far.spelling.as_str()), ("DC2.td", "*.DC2.td"));
    assert_eq!(far.discovery, Discovery::LogicalDns);
    assert_eq!((far.connect_timeout.unwrap().as_secs(), far.connections_max), (5, Some(1024)));
    assert_eq!(
        (far.policy.as_deref(), far.panic_threshold_percent),
        (Some("round_robin"), Some(50.0))
    );
    let host = ("gateway.example".to_owned(), 8443);
    assert_eq!(
        far.hosts,
        [(host, Endpoint { weight: 1, ..second })]
            .map(|(host, it)| { (host, Endpoint { priority: 0, ..it }) })
            .into()
    );
    let bootstrap: Vec<_> = names.iter().filter(|name| led(&facts, name).is_of_bootstrap).collect();
    assert_eq!(bootstrap, [&"local_agent"]);
}

#[test]
fn what_no_mesh_gateway_of_consuls_has_is_named() {
    let with = |key: &str, value: Value| {
        let mut chain = chain(&["web.td"], "web.td");
        chain[key] = value;
        chain
    };
    let matched = json!({ "server_names": ["web.td"], "source_ports": [1] });
    let http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
                HttpConnectionManager";
    let weighted = json!([{ "name": "envoy.filters.network.tcp_proxy",
        "typed_config": { "weighted_clusters": {} } }]);
    let cases = [
        (with("filter_chain_match", matched), "matched with by source_ports"),
        (with("transport_socket", json!({ "name": "tls" })), "ends TLS"),
        (with("filters", json!([{ "name": "x", "typed_config": { "@type": http } }])), "ends TLS"),
        (with("filters", json!([{ "name": "envoy.filters.network.rbac" }])), "the filter envoy"),
        (with("filters", weighted), "several clusters"),
        (with("filters", json!([])), "without a cluster"),
        (chain(&[], "web.td"), "takes any name"),
        (chain(&["web.td"], "gone.td"), "\"gone.td\", which it does not have"),
    ];
    let web = [json!({ "name": "web.td" }), json!({ "name": "api.td" })];
    for (chain, expected) in cases {
        let facts = read(&dump(&json!([chain]), &web, &json!([])));
        let [strange] = facts.strange.as_slice() else { panic!("{expected}: {facts:#?}") };
        assert!(strange.what.contains(expected), "{strange:?}");
        assert!(facts.routes.is_empty(), "{expected}");
    }
    let chains = json!([chain(&["web.td"], "web.td"), chain(&["WEB.td"], "api.td")]);
    let facts = read(&dump(&chains, &web, &json!([])));
    assert_eq!(facts.strange[0].what, "chains to different clusters");
}

#[test]
fn an_envoy_that_does_not_tell_endpoints_has_them_in_its_statuses() {
    let mut dump = dump(&json!([catch_all()]), &[json!({ "name": "web.td" })], &json!([]));
    dump["configs"].as_array_mut().unwrap().remove(2);
    let dump = Dump::parse(dump.to_string().as_bytes()).unwrap();
    assert!(!dump.has_endpoints());
    let statuses = json!({ "cluster_statuses": [{ "name": "web.td", "host_statuses": [{
        "address": { "socket_address": { "address": "10.0.0.1", "port_value": 1 } },
        // Ejected, and told to be healthy.
        "health_status": { "failed_outlier_check": true, "eds_health_status": "HEALTHY" },
        "weight": 2,
    }]}]});
    let statuses = Statuses::parse(statuses.to_string().as_bytes()).unwrap();
    let facts = read::facts(&dump, &statuses);
    let said = Endpoint { weight: 2, is_healthy: true, priority: 0 };
    assert_eq!(led(&facts, "web.td").endpoints, [("10.0.0.1:1".to_owned(), said)].into());
}

#[test]
fn what_is_no_dump_is_none() {
    for body in ["", "{", "[]", "{\"configs\": 1}", "null", "<html>"] {
        assert!(Dump::parse(body.as_bytes()).is_err(), "{body}");
    }
    let reason = Dump::parse(b"{\"configs\": []}").err().unwrap();
    assert!(reason.contains("no listeners and clusters"), "{reason}");
    let deep = format!("{{\"configs\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Dump::parse(deep.as_bytes()).is_err());
}

#[test]
fn the_largest_limit_is_none() {
    let clusters = json!({ "name": "web.td", "type": "EDS",
        "circuit_breakers": { "thresholds": [{ "max_connections": u32::MAX }] } });
    let facts = read(&dump(&json!([catch_all()]), &[clusters], &json!([])));
    assert_eq!(led(&facts, "web.td").connections_max, None);
}
