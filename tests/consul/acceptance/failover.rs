//! A service that fails over to another datacenter.

use serde_json::json;

use super::lab::Lab;
use crate::support::until;

const S2: &str = "s2.default.secondary";

/// `s2` in both datacenters, of which the primary's is dialed while it is well, with this mode for
/// all. Returns the connections of the gateways once the primary's is gone and the other answers.
fn fail_over(mode: &str) -> [u64; 2] {
    let mut lab = Lab::start();
    lab.config_entry(&json!({
        "Kind": "proxy-defaults", "Name": "global", "MeshGateway": { "Mode": mode },
    }));
    lab.config_entry(&json!({
        "Kind": "service-resolver", "Name": "s2",
        "Failover": { "*": { "Datacenters": ["secondary"] } },
    }));
    lab.put_instance(true, "s2", 1, &json!({}));
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.wait_routed(S2, 1);
    let (mut s1, at) = lab.dial(&json!({ "DestinationName": "s2" }));
    s1.wait_healthy("s2", if mode == "none" { 2 } else { 1 });
    assert_eq!(s1.reach(at).unwrap(), 1);
    assert_eq!(lab.connections(S2), [0, 0], "nobody fails over yet");

    lab.primary.check("service:s2-1-proxy", "fail");
    // Through gateways Consul makes the failover itself: it has another name asked for.
    let (name, at_last) = match mode {
        "none" => ("s2.default.primary", lab.address(1)),
        _ => (S2, lab.gateway_secondary.wan),
    };
    until("the sidecar dials the other datacenter's", || {
        s1.follow();
        let is_asked_for = s1.server_name("s2").starts_with(name);
        (is_asked_for && s1.healthy("s2") == [at_last.to_string()]).then_some(())
    });
    assert_eq!(s1.reach(at).unwrap(), 2);
    lab.connections(S2)
}

#[test]
fn case_cfg_resolver_dc_failover_gateways_none() {
    assert_eq!(fail_over("none"), [0, 0], "no gateway is used");
}

#[test]
fn case_cfg_resolver_dc_failover_gateways_remote() {
    assert_eq!(fail_over("remote"), [0, 1]);
}
