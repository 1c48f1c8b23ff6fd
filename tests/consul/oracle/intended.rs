//! Everything that differs on purpose, in one catalog.

use serde_json::{Value, json};

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::until;

use super::{Facts, Oracle, QUIET};

/// A sidecar on a node of its own, and the service beside it.
fn put_sidecar(datacenter: &Datacenter, service: &str, more: &Value) {
    put(datacenter, service, &json!({"ID": service, "Service": service, "Port": 80}));
    put_proxy(datacenter, service, more);
}

fn put_proxy(datacenter: &Datacenter, service: &str, more: &Value) {
    let mut proxy = json!({
        "Kind": "connect-proxy", "ID": format!("{service}-proxy"),
        "Service": format!("{service}-sidecar-proxy"), "Address": "10.0.1.1", "Port": 21_000,
        "Proxy": {"DestinationServiceName": service},
    });
    for (key, value) in more.as_object().unwrap() {
        proxy[key] = value.clone();
    }
    put(datacenter, service, &proxy);
}

fn put(datacenter: &Datacenter, node: &str, service: &Value) {
    let body = json!({"Node": format!("node-{node}"), "Address": "10.0.0.1", "Service": service});
    datacenter.put("/v1/catalog/register", &body);
}

/// Services that an Envoy is told of otherwise than we route them.
fn put_services(datacenter: &Datacenter) {
    put_sidecar(datacenter, "UPPER", &json!({}));
    put_proxy(datacenter, "orphan", &json!({}));
    put_sidecar(datacenter, "host", &json!({"Address": "db.example"}));
    put_sidecar(datacenter, "two*", &json!({}));
    let native = json!({"ID": "native", "Service": "portless", "Connect": {"Native": true}});
    put(datacenter, "portless", &native);
    // The same address twice: two nodes behind a load balancer.
    put_sidecar(datacenter, "shared", &json!({"Weights": {"Passing": 2, "Warning": 1}}));
    put(datacenter, "other", &json!({"ID": "shared", "Service": "shared", "Port": 80}));
    put(
        datacenter,
        "other",
        &json!({
            "Kind": "connect-proxy", "ID": "shared-proxy", "Service": "shared-sidecar-proxy",
            "Address": "10.0.1.1", "Port": 21_000, "Proxy": {"DestinationServiceName": "shared"},
            "Weights": {"Passing": 3, "Warning": 1},
        }),
    );
    put(datacenter, "linked", &json!({"ID": "linked", "Service": "linked", "Port": 5432}));
    let exit = json!({"Kind": "terminating-gateway", "ID": "exit", "Service": "exit", "Port": 9});
    put(datacenter, "exit", &exit);
    // The second leads nowhere, here as there: nobody registered it.
    link(datacenter, &["linked", "unregistered"]);
    put_sidecar(datacenter, "web", &json!({"Address": "10.0.1.2"}));
    let subsets = json!({"output": {"Filter": "Checks.Output != x or Service.Port == 21000"}});
    datacenter
        .config_entry(&json!({"Kind": "service-resolver", "Name": "web", "Subsets": subsets}));
}

/// Links services to the terminating gateway.
fn link(datacenter: &Datacenter, services: &[&str]) {
    let services: Vec<Value> = services.iter().map(|name| json!({"Name": name})).collect();
    let entry = json!({"Kind": "terminating-gateway", "Name": "exit", "Services": services});
    datacenter.config_entry(&entry);
}

fn put_gateways(datacenter: &Datacenter) {
    for (id, host) in [("a", "b.example"), ("b", "a.example"), ("c", "198.18.0.7")] {
        let gateway = json!({
            "Kind": "mesh-gateway", "ID": id, "Service": "mesh-gateway", "Port": 8443,
            "TaggedAddresses": {"wan": {"Address": host, "Port": 443}},
        });
        put(datacenter, id, &gateway);
    }
}

#[test]
fn every_intended_difference_occurs_and_no_other() {
    let [first, second] = joined();
    put_services(&first);
    put_gateways(&second);
    let mut oracle = Oracle::new(&first);
    until("the gateways of dc2 are told", || {
        let gateways = first.get("/v1/internal/federation-states/mesh-gateways").json();
        (gateways["dc2"].as_array()?.len() == 3).then_some(())
    });
    let (_, mut lines) = oracle.agree("all services and gateways");

    link(&first, &[]);
    put_sidecar(&first, "later", &json!({}));
    lines.extend(oracle.agree("a link removed, and a service that came later").1);

    // From here on Consul tells an Envoy nothing at all.
    let subsets = json!({"bad": {"Filter": "Service.Nothing == 1"}});
    first.config_entry(&json!({"Kind": "service-resolver", "Name": "web", "Subsets": subsets}));
    let ended = until("Consul ends its stream", || oracle.ads.next(QUIET).err());
    let ours = Facts::of_sluice(&oracle.table(), &oracle.trust_domain);
    assert!(ours.count() > 8, "{}", ours.count());
    lines.push(format!("everything: Consul {}; here all but that subset", ended));
    let differences = &oracle.differences;
    assert_eq!(differences.unlisted(&lines), [""; 0]);
    assert_eq!(differences.unseen(&lines), [""; 0], "of these\n{}", lines.join("\n"));
}
