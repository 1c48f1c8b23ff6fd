//! Subsets of a service in another datacenter: who dials asks for one, and the gateway there knows
//! which instances are meant.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::lab::Lab;
use crate::support::envoy::Dialer;

/// Connections after which each of two equal instances has been reached, but once in 2^23.
const COUNT: usize = 24;

/// The instances that connections reach.
fn reached(s1: &Dialer, at: SocketAddr) -> BTreeSet<u64> {
    (0..COUNT).map(|_| s1.reach(at).unwrap()).collect()
}

fn resolver(service: &str, more: &Value) -> Value {
    let mut entry = json!({
        "Kind": "service-resolver", "Name": service,
        "Subsets": {
            "v1": { "Filter": "Service.Meta.version == v1" },
            "v2": { "Filter": "Service.Meta.version == v2" },
        },
    });
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

fn version(name: &str) -> Value {
    json!({ "Meta": { "version": name } })
}

/// `s1` in the primary, which dials a service of the secondary through both gateways, where it
/// leads to `name`.
fn dial(lab: &Lab, service: &str, name: &str) -> (Dialer, SocketAddr) {
    let (mut s1, at) = lab.dial(&json!({
        "DestinationName": service, "Datacenter": "secondary",
        "MeshGateway": { "Mode": "local" },
    }));
    // The gateway here.
    s1.wait_healthy(name, 1);
    assert!(s1.server_name(name).starts_with(name));
    (s1, at)
}

#[test]
fn case_cfg_resolver_subset_onlypassing() {
    let mut lab = Lab::start();
    lab.put_instance(false, "s2", 1, &json!({}));
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.secondary.check("service:s2-2-proxy", "warn");
    let test = |is_only_passing: bool| {
        json!({
            "Kind": "service-resolver", "Name": "s2", "DefaultSubset": "test",
            "Subsets": { "test": { "OnlyPassing": is_only_passing } },
        })
    };
    lab.config_entry(&test(true));
    lab.wait_routed("test.s2.default.secondary", 1);
    let (s1, at) = dial(&lab, "s2", "test.s2.default.secondary");
    assert_eq!(reached(&s1, at), [1].into());
    lab.config_entry(&test(false));
    lab.wait_routed("test.s2.default.secondary", 2);
    assert_eq!(reached(&s1, at), [1, 2].into());
}

#[test]
fn case_cfg_resolver_defaultsubset() {
    let mut lab = Lab::start();
    lab.put_instance(false, "s2", 1, &version("v1"));
    lab.put_instance(false, "s2", 2, &version("v2"));
    lab.config_entry(&resolver("s2", &json!({ "DefaultSubset": "v2" })));
    lab.wait_routed("v2.s2.default.secondary", 1);
    let (s1, at) = dial(&lab, "s2", "v2.s2.default.secondary");
    assert_eq!(reached(&s1, at), [2].into());
    assert_eq!(lab.connections("v2.s2.default.secondary"), [COUNT as u64; 2]);
}

#[test]
fn case_cfg_resolver_subset_redirect() {
    let mut lab = Lab::start();
    lab.put_instance(false, "s3", 1, &version("v1"));
    lab.put_instance(false, "s3", 2, &version("v2"));
    lab.config_entry(&resolver("s3", &json!({})));
    lab.config_entry(&json!({
        "Kind": "service-resolver", "Name": "s2",
        "Redirect": { "Service": "s3", "ServiceSubset": "v2" },
    }));
    lab.wait_routed("v2.s3.default.secondary", 1);
    let (s1, at) = dial(&lab, "s2", "v2.s3.default.secondary");
    assert_eq!(reached(&s1, at), [2].into());
    assert_eq!(lab.connections("v2.s3.default.secondary"), [COUNT as u64; 2]);
}
