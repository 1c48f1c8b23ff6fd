//! The same stream for a sidecar: what it is told of its upstreams, in each mode.

use serde_json::{Value, json};

use crate::support::SOON;
use crate::support::acl::{GATEWAY_RULES, MASTER};
use crate::support::ads::{Ads, Discovery, Picture};
use crate::support::datacenter::Plan;
use crate::support::federation::joined;

#[test]
fn a_sidecar_is_told_its_upstreams_by_their_modes() {
    let [first, second] = joined();
    let gateway = |lan: &str, wan: &str| {
        json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "Address": lan, "Port": 8443,
            "TaggedAddresses": {"wan": {"Address": wan, "Port": 443}},
        })
    };
    first.register(&gateway("127.0.1.20", "198.18.1.1"));
    second.register(&gateway("127.0.2.20", "198.18.2.1"));
    second.register(&json!({
        "Name": "web", "Port": 80, "Address": "127.0.2.11",
        "Connect": {"SidecarService": {"Port": 21000, "Checks": [{"AliasService": "web"}]}},
    }));
    let modes = [("local", 1), ("remote", 2), ("none", 3)];
    let upstream = |(mode, port): &(&str, u16)| {
        json!({
            "DestinationName": "web", "Datacenter": "dc2", "LocalBindPort": port,
            "LocalBindAddress": "127.0.0.9", "MeshGateway": {"Mode": mode},
        })
    };
    for mode in &modes {
        let upstreams: Vec<Value> = vec![upstream(mode)];
        first.register(&json!({
            "Kind": "connect-proxy", "Name": "client-sidecar-proxy", "ID": mode.0, "Port": 21000,
            "Proxy": {"DestinationServiceName": "client", "Upstreams": upstreams},
        }));
    }
    for ((mode, _), expected) in
        modes.iter().zip(["127.0.1.20:8443", "198.18.2.1:443", "127.0.2.11:21000"])
    {
        let mut ads = Ads::of(&first, mode, "client-sidecar-proxy", None).unwrap();
        let server_name = format!("web.default.dc2.internal.{}", first.trust_domain());
        loop {
            let picture = ads.next(SOON).unwrap().expect("it is never told");
            let Picture { routes, upstreams } = &picture;
            assert!(routes.is_empty(), "{routes:#?}");
            let Some(web) = upstreams.iter().find(|(name, _)| name.starts_with("web")) else {
                continue;
            };
            assert_eq!(web.1.server_name, server_name);
            assert!(web.1.cluster.ends_with(&server_name), "{}", web.1.cluster);
            assert_eq!(web.1.discovery, Discovery::Eds);
            let endpoints = &web.1.endpoints;
            // One that was asked for in another datacenter comes with a later answer.
            if let [endpoint] = endpoints.as_slice() {
                assert_eq!(endpoint.text(), expected, "{mode}");
                break;
            }
            assert!(endpoints.is_empty(), "{endpoints:#?}");
        }
    }
}

#[test]
fn without_the_right_to_a_gateway_nothing_is_told() {
    let datacenter = Plan::new("dc1").with_acls().start();
    datacenter.register(&json!({"Kind": "mesh-gateway", "Name": "mesh-gateway", "Port": 8443}));
    let may = datacenter.new_token("may", GATEWAY_RULES);
    let may_not = datacenter.new_token("may-not", "service_prefix \"\" { policy = \"read\" }");
    let ask = |token: &str| {
        let mut ads = Ads::of(&datacenter, "mesh-gateway", "mesh-gateway", Some(token)).unwrap();
        ads.next(SOON).map(|picture| picture.is_some())
    };
    assert_eq!(ask(MASTER), Ok(true));
    assert_eq!(ask(&may.secret), Ok(true));
    let status = ask(&may_not.secret).unwrap_err();
    assert!(status.message.contains("permission denied"), "{status}");
}
