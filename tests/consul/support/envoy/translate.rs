//! What Consul says in version 2 of Envoy's discovery service, in version 3.

use serde_json::{Value, json};

use crate::support::ads::message::{
    Address, Assignment, Cluster, CommonTls, DataSource, DownstreamTls, FilterChain, Listener,
};
use crate::support::ads::{Ads, BY_SERVER_NAME, Discovery, forwarded_to};

const TYPE: &str = "type.googleapis.com/envoy.";

/// Listeners, clusters and endpoints, as Envoy's JSON has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    pub listeners: Vec<Value>,
    pub clusters: Vec<Value>,
    pub assignments: Vec<Value>,
}

impl Resources {
    /// What Consul tells a proxy: the last that came on its stream. Where a sidecar accepts the
    /// connections of others is left out.
    pub fn of(ads: &Ads) -> Self {
        let (clusters, assignments, listeners) = ads.resources();
        let mut listeners: Vec<&Listener> =
            listeners.iter().filter(|it| !it.name.starts_with("public_listener")).collect();
        listeners.sort_by_key(|listener| &listener.name);
        Self {
            listeners: listeners.into_iter().map(listener).collect(),
            clusters: clusters.iter().map(cluster).collect(),
            assignments: assignments.iter().map(assignment).collect(),
        }
    }

    /// The cluster of a name.
    pub fn cluster(&mut self, name: &str) -> &mut Value {
        named(&mut self.clusters, "name", name)
    }

    /// The first endpoint of a cluster.
    pub fn endpoint(&mut self, cluster: &str) -> &mut Value {
        let assignment = named(&mut self.assignments, "cluster_name", cluster);
        &mut assignment["endpoints"][0]["lb_endpoints"][0]
    }

    /// The chains of the only listener.
    pub fn chains(&mut self) -> &mut Vec<Value> {
        assert_eq!(self.listeners.len(), 1, "{:#?}", self.listeners);
        self.listeners[0]["filter_chains"].as_array_mut().unwrap()
    }
}

fn named<'a>(among: &'a mut [Value], key: &str, name: &str) -> &'a mut Value {
    let all = format!("{among:#?}");
    let found = among.iter_mut().find(|it| it[key].as_str().is_some_and(|it| it.starts_with(name)));
    found.unwrap_or_else(|| panic!("no {name} among {all}"))
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("{TYPE}{kind}").into();
    json!({ "name": name, "typed_config": config })
}

fn listener(listener: &Listener) -> Value {
    let inspector = typed(
        "tls_inspector",
        "extensions.filters.listener.tls_inspector.v3.TlsInspector",
        json!({}),
    );
    let asks_for_names = |chain: &FilterChain| {
        let by_name = chain.filters.iter().any(|filter| filter.name == BY_SERVER_NAME);
        by_name || chain.when.as_ref().is_some_and(|when| !when.server_names.is_empty())
    };
    let inspectors: Vec<Value> =
        listener.chains.iter().any(asks_for_names).then_some(inspector).into_iter().collect();
    json!({
        "@type": format!("{TYPE}config.listener.v3.Listener"),
        "name": listener.name,
        "address": address(listener.address.as_ref().expect("a listener without an address")),
        "listener_filters": inspectors,
        "filter_chains": listener.chains.iter().map(chain).collect::<Vec<_>>(),
    })
}

/// Rules of intentions are left out: tests have none, and then they deny nothing.
fn chain(chain: &FilterChain) -> Value {
    let by_name = chain.filters.iter().any(|filter| filter.name == BY_SERVER_NAME);
    let cluster = chain.filters.iter().find_map(forwarded_to).unwrap_or_default();
    let kind = "extensions.filters.network.sni_cluster.v3.SniCluster";
    let mut filters: Vec<Value> =
        by_name.then(|| typed(BY_SERVER_NAME, kind, json!({}))).into_iter().collect();
    let kind = "extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let proxy = json!({ "stat_prefix": "proxy", "cluster": cluster });
    filters.push(typed("envoy.filters.network.tcp_proxy", kind, proxy));
    let mut made = json!({ "filters": filters });
    if let Some(names) = chain.when.as_ref().map(|when| &when.server_names)
        && !names.is_empty()
    {
        made["filter_chain_match"] = json!({ "server_names": names });
    }
    if let Some(DownstreamTls { common, require_client_certificate }) = &chain.tls {
        let context = json!({
            "common_tls_context": common.as_ref().map(common_tls),
            "require_client_certificate": require_client_certificate.unwrap_or_default(),
        });
        let kind = "extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        made["transport_socket"] = typed("tls", kind, context);
    }
    made
}

fn cluster(cluster: &Cluster) -> Value {
    let timeout = cluster.connect_timeout.unwrap_or_default();
    let mut made = json!({
        "@type": format!("{TYPE}config.cluster.v3.Cluster"),
        "name": cluster.name,
        "type": match Discovery::of(cluster) {
            Discovery::Static => "STATIC",
            Discovery::StrictDns => "STRICT_DNS",
            Discovery::LogicalDns => "LOGICAL_DNS",
            Discovery::Eds => "EDS",
        },
        "connect_timeout": format!("{}.{:09}s", timeout.seconds, timeout.nanos),
        "outlier_detection": {},
        "dns_lookup_family": "V4_ONLY",
    });
    if let Some(threshold) = cluster.common.and_then(|common| common.healthy_panic_threshold) {
        made["common_lb_config"] =
            json!({ "healthy_panic_threshold": { "value": threshold.value } });
    }
    if let Some(own) = &cluster.assignment {
        made["load_assignment"] = assignment(own);
    }
    if let Some(tls) = &cluster.tls {
        let context = json!({
            "sni": tls.server_name, "common_tls_context": tls.common.as_ref().map(common_tls),
        });
        let kind = "extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        made["transport_socket"] = typed("tls", kind, context);
    }
    made
}

fn common_tls(common: &CommonTls) -> Value {
    let text = |source: &Option<DataSource>| {
        let text = source.as_ref().map_or("", |source| &source.text);
        json!({ "inline_string": text })
    };
    let certificates: Vec<Value> = common
        .certificates
        .iter()
        .map(|it| json!({ "certificate_chain": text(&it.chain), "private_key": text(&it.key) }))
        .collect();
    let mut made = json!({ "tls_certificates": certificates });
    if let Some(validation) = &common.validation {
        made["validation_context"] = json!({ "trusted_ca": text(&validation.trusted_ca) });
    }
    made
}

fn assignment(assignment: &Assignment) -> Value {
    let localities = assignment.localities.iter().map(|locality| {
        let endpoints = locality.endpoints.iter().map(|balanced| {
            let at = balanced.endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
            let mut made = json!({
                "endpoint": { "address": address(at.expect("an endpoint without an address")) },
                "health_status": match balanced.health {
                    0 => "UNKNOWN",
                    1 => "HEALTHY",
                    _ => "UNHEALTHY",
                },
            });
            if let Some(weight) = balanced.weight {
                made["load_balancing_weight"] = weight.into();
            }
            made
        });
        json!({ "priority": locality.priority, "lb_endpoints": endpoints.collect::<Vec<_>>() })
    });
    let factor = assignment.policy.and_then(|policy| policy.overprovisioning_factor);
    let mut made = json!({
        "cluster_name": assignment.cluster, "endpoints": localities.collect::<Vec<_>>(),
    });
    if let Some(factor) = factor {
        made["policy"] = json!({ "overprovisioning_factor": factor });
    }
    made
}

fn address(address: &Address) -> Value {
    let socket = address.socket.as_ref().expect("an address without a socket");
    json!({ "socket_address": { "address": socket.host, "port_value": socket.port } })
}
