//! A service in another datacenter, through one gateway and through two.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::datacenter::Plan;
use crate::support::mesh::sluice::{ENGINES, Launch};
use crate::support::until;

use super::lab::{Lab, connection_count};

const S2: &str = "s2.default.secondary";

fn upstream(mode: &str) -> Value {
    json!({
        "DestinationName": "s2", "Datacenter": "secondary", "MeshGateway": { "Mode": mode },
    })
}

#[test]
fn case_gateways_local() {
    let mut lab = Lab::start();
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.wait_routed(S2, 1);
    let (mut s1, at) = lab.dial(&upstream("local"));
    s1.wait_healthy("s2", 1);
    assert_eq!(lab.connections(S2), [0, 0]);
    assert_eq!(s1.reach(at).unwrap(), 2);
    assert_eq!(lab.connections(S2), [1, 1]);
}

#[test]
fn case_gateways_remote() {
    let mut lab = Lab::start();
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.wait_routed(S2, 1);
    let (mut s1, at) = lab.dial(&upstream("remote"));
    s1.wait_healthy("s2", 1);
    assert_eq!(s1.reach(at).unwrap(), 2);
    assert_eq!(lab.connections(S2), [0, 1]);
    let primary = &lab.gateway_primary;
    until("nobody dials it but the agent, who looks whether it listens", || {
        (primary.count("accepted") == primary.count("probes")).then_some(())
    });
}

#[test]
fn case_gateway_without_services() {
    let datacenter = Plan::new("primary").start();
    for engine in ENGINES {
        let id = format!("gateway-{engine}");
        let gateway = Launch::registered(&datacenter, engine, &id).start();
        TcpStream::connect(gateway.lan).unwrap();
        assert_eq!(gateway.get("/server_info")["state"], "LIVE");
        assert_eq!(connection_count(&gateway, "s2"), 0);
    }
}

/// Handshakes are larger, and pass through as all others.
#[test]
fn case_multidc_rsa_ca() {
    let rsa = json!({
        "enabled": true,
        "ca_config": { "private_key_type": "rsa", "private_key_bits": 2048 },
    });
    let mut lab = Lab::of(|plan| plan.with("connect", rsa.clone()));
    for datacenter in [&lab.primary, &lab.secondary] {
        let roots = datacenter.get("/v1/connect/ca/roots").json();
        assert_eq!(roots["Roots"][0]["PrivateKeyType"], "rsa", "{roots:#}");
    }
    lab.put_instance(false, "s2", 2, &json!({}));
    lab.wait_routed(S2, 1);
    let (mut s1, at) = lab.dial(&upstream("local"));
    s1.wait_healthy("s2", 1);
    assert_eq!(s1.reach(at).unwrap(), 2);
    assert_eq!(lab.connections(S2), [1, 1]);
}
