//! An ingress gateway whose services are in another datacenter.

use serde_json::{Value, json};

use super::lab::Lab;
use crate::support::envoy::Dialer;
use crate::support::hosts::free_host;

const PORTS: [u16; 2] = [9999, 10_000];

#[test]
fn case_ingress_mesh_gateways_resolver() {
    let mut lab = Lab::start();
    for (service, mode) in [("s1", "remote"), ("s2", "local")] {
        lab.config_entry(&json!({
            "Kind": "service-defaults", "Name": service, "MeshGateway": { "Mode": mode },
        }));
        lab.config_entry(&json!({
            "Kind": "service-resolver", "Name": service,
            "Redirect": { "Service": service, "Datacenter": "secondary" },
        }));
    }
    lab.put_instance(false, "s1", 1, &json!({}));
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.wait_routed("s1.default.secondary", 1);
    lab.wait_routed("s2.default.secondary", 1);
    let listeners: Vec<Value> = ["s1", "s2"]
        .iter()
        .zip(PORTS)
        .map(|(name, port)| {
            json!({ "Port": port, "Protocol": "tcp", "Services": [{ "Name": name }] })
        })
        .collect();
    let host = free_host().to_string();
    lab.config_entry(&json!({
        "Kind": "ingress-gateway", "Name": "ingress-gateway", "Listeners": listeners,
    }));
    lab.primary.register(&json!({
        "Kind": "ingress-gateway", "Name": "ingress-gateway", "Address": host, "Port": 8443,
    }));
    let mut ingress = Dialer::start(&lab.primary, "ingress-gateway", "ingress-gateway");
    for service in ["s1", "s2"] {
        ingress.wait_healthy(&format!("{service}.default.secondary"), 1);
    }
    let [s1, s2] = PORTS.map(|port| ingress.listener(port));
    assert_eq!(ingress.reach(s1).unwrap(), 1);
    assert_eq!(lab.connections("s1.default.secondary"), [0, 1], "of s1, in mode remote");
    assert_eq!(ingress.reach(s2).unwrap(), 2);
    assert_eq!(lab.connections("s2.default.secondary"), [1, 1], "of s2, in mode local");
}
