//! `/config_dump`: the routing table as the configuration that an Envoy in this place would have.
//!
//! Every route has a filter chain. Consul gives services none, and a last chain to any cluster of
//! the name that is asked for (`sni_cluster`); but so the name of every cluster would be routed,
//! and here it is not. What is refused has no chain, which is how Envoy refuses.

use std::time::Duration;

use serde_json::{Value, json};

use super::inventory::socket_address;
use crate::config::Node;
use crate::control::shared::Shared;
use crate::route::table::{EndpointView, Rule};
use crate::route::{ClusterView, Policy, RoutingTable};

/// All of it; endpoints only where they are asked for, as with Envoy.
pub(in crate::admin) fn config_dump(shared: &Shared, node: &Node, with_endpoints: bool) -> Value {
    let table = shared.table();
    let mut configs = vec![bootstrap(node), clusters(&table)];
    if with_endpoints {
        configs.push(endpoints(&table));
    }
    configs.push(listeners(shared, &table));
    json!({ "configs": configs })
}

fn bootstrap(node: &Node) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
        "bootstrap": { "node": { "id": node.id, "cluster": node.service } },
    })
}

fn clusters(table: &RoutingTable) -> Value {
    let version = table.version().to_string();
    let cluster = |cluster: ClusterView<'_>| {
        let panic_percent = f64::from(cluster.panic_threshold_percent());
        json!({
            "version_info": version,
            "cluster": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": cluster.name(),
                "type": "EDS",
                "eds_cluster_config": { "eds_config": { "ads": {} } },
                "connect_timeout": duration(cluster.connect_timeout()),
                "lb_policy": match cluster.policy() {
                    Policy::LeastConnections => "LEAST_REQUEST",
                    Policy::RoundRobin => "ROUND_ROBIN",
                    Policy::Random => "RANDOM",
                },
                "common_lb_config": { "healthy_panic_threshold": { "value": panic_percent } },
                "outlier_detection": {},
                // There is no cap.
                "circuit_breakers": { "thresholds": [{ "max_connections": u32::MAX }] },
            },
        })
    };
    json!({
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        "version_info": version,
        "dynamic_active_clusters": table.clusters().map(cluster).collect::<Vec<_>>(),
    })
}

fn endpoints(table: &RoutingTable) -> Value {
    let config = |cluster: ClusterView<'_>| {
        let endpoints: Vec<Value> = cluster.endpoints().map(endpoint).collect();
        json!({
            "endpoint_config": {
                "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": cluster.name(),
                "endpoints": [{ "locality": {}, "lb_endpoints": endpoints }],
            },
        })
    };
    json!({
        "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
        "dynamic_endpoint_configs": table.clusters().map(config).collect::<Vec<_>>(),
    })
}

fn endpoint(endpoint: EndpointView<'_>) -> Value {
    json!({
        "endpoint": { "address": socket_address(endpoint.address()) },
        "health_status": if endpoint.is_healthy() { "HEALTHY" } else { "UNHEALTHY" },
        "load_balancing_weight": endpoint.weight(),
    })
}

fn listeners(shared: &Shared, table: &RoutingTable) -> Value {
    let version = table.version().to_string();
    let chains: Vec<Value> = table.rules().filter_map(|rule| chain(table, rule)).collect();
    let listener = |address: &std::net::SocketAddr| {
        json!({
            "name": address.to_string(),
            "active_state": {
                "version_info": version,
                "listener": {
                    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                    "name": address.to_string(),
                    "address": socket_address(*address),
                    "filter_chains": chains,
                    "listener_filters": [{ "name": "envoy.filters.listener.tls_inspector" }],
                },
            },
        })
    };
    json!({
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        "version_info": version,
        "dynamic_listeners": shared.addresses.iter().map(listener).collect::<Vec<_>>(),
    })
}

/// The chain of a rule, unless it refuses.
fn chain(table: &RoutingTable, rule: Rule<'_>) -> Option<Value> {
    let cluster = table.cluster(rule.target.ok()?)?;
    let tcp_proxy = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "mesh_gateway",
            "cluster": cluster.name(),
        },
    });
    Some(json!({
        "filter_chain_match": { "server_names": [rule.to_string()] },
        "filters": [tcp_proxy],
    }))
}

/// As protobuf's JSON has durations.
fn duration(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        ms => format!("{}.{ms:03}s", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::{node, shared};
    use crate::control::shared::Published;
    use crate::refusal::Refusal;
    use crate::route::{Cluster, Endpoint, Pattern, Routes, Target};

    /// A table with a service, another datacenter, and a datacenter that nothing leads to.
    fn routed() -> Shared {
        let mut routes = Routes::default();
        let web = vec![Endpoint::new("10.0.0.1:80".parse().unwrap())];
        let mut web = Cluster::new("web.dc1.example", web);
        web.connect_timeout = Duration::from_millis(2500);
        let web = routes.add_cluster(web);
        routes.add_route(Pattern::parse("web.dc1.example").unwrap(), web);
        let gateway = Endpoint {
            healthy: false,
            weight: 3,
            ..Endpoint::new("10.0.0.2:443".parse().unwrap())
        };
        let other = routes.add_cluster(Cluster::new("dc2.example", vec![gateway]));
        routes.add_route(Pattern::parse("*.dc2.example").unwrap(), other);
        let nowhere = Target::Refuse(Refusal::NoGateways);
        routes.add_route(Pattern::parse("*.dc3.example").unwrap(), nowhere);
        let shared = shared();
        let table = RoutingTable::from_routes(&routes).unwrap().into();
        shared.set_published(Published { table, ..Published::default() });
        shared
    }

    #[test]
    fn it_is_the_configuration_that_an_envoy_would_route_the_same_by() {
        let dump = config_dump(&routed(), &node(), true);
        let [bootstrap, clusters, endpoints, listeners] =
            dump["configs"].as_array().unwrap().as_slice()
        else {
            panic!("{dump}");
        };
        assert_eq!(bootstrap["bootstrap"]["node"]["id"], "mesh-gateway-1");
        let clusters = clusters["dynamic_active_clusters"].as_array().unwrap();
        let told: Vec<_> = clusters
            .iter()
            .map(|cluster| (&cluster["cluster"]["name"], &cluster["cluster"]["connect_timeout"]))
            .collect();
        assert_eq!(
            told,
            [(&json!("web.dc1.example"), &json!("2.500s")), (&json!("dc2.example"), &json!("5s"))]
        );
        let configs = endpoints["dynamic_endpoint_configs"].as_array().unwrap();
        let config = &configs[1]["endpoint_config"];
        assert_eq!(config["cluster_name"], "dc2.example");
        let endpoint = &config["endpoints"][0]["lb_endpoints"][0];
        assert_eq!(endpoint["endpoint"]["address"]["socket_address"]["port_value"], 443);
        assert_eq!(endpoint["health_status"], "UNHEALTHY");
        assert_eq!(endpoint["load_balancing_weight"], 3);
        let listeners = listeners["dynamic_listeners"].as_array().unwrap();
        assert_eq!(listeners.len(), 2);
        let chains = &listeners[1]["active_state"]["listener"]["filter_chains"];
        assert_eq!(chains.as_array().unwrap().len(), 2, "{chains}");
        for (chain, name, cluster) in
            [(0, "web.dc1.example", "web.dc1.example"), (1, "*.dc2.example", "dc2.example")]
        {
            let chain = &chains[chain];
            assert_eq!(chain["filter_chain_match"]["server_names"], json!([name]));
            assert_eq!(chain["filters"][0]["typed_config"]["cluster"], cluster);
        }
    }

    #[test]
    fn endpoints_are_told_only_where_they_are_asked_for() {
        let dump = config_dump(&routed(), &node(), false);
        assert_eq!(dump["configs"].as_array().unwrap().len(), 3);
        assert!(!dump.to_string().contains("lb_endpoints"));
    }
}
