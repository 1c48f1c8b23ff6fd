//! A service outside of the mesh, behind a terminating gateway of another datacenter: that is an
//! Envoy, too, and does what Consul tells it.

use serde_json::{Value, json};

use super::lab::Lab;
use crate::support::SOON;
use crate::support::ads::Ads;
use crate::support::envoy::{Envoy, Resources};
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;

const GATEWAY: &str = "terminating-gateway";

/// Registers plain instances of `s4`, each on a node of its own, and the gateway that is linked to
/// it; starts that gateway once it is told of a name.
fn exit(lab: &Lab, instances: &[(&Backend, Value)], gateway: &Value, name: &str) -> Envoy {
    for (number, (backend, meta)) in instances.iter().enumerate() {
        let (host, port) = (backend.address.ip().to_string(), backend.address.port());
        lab.secondary.put(
            "/v1/catalog/register",
            &json!({
                "Node": format!("outside-{number}"), "Address": host,
                "Service": { "Service": "s4", "ID": "s4", "Port": port, "Meta": meta },
            }),
        );
    }
    lab.config_entry(&json!({
        "Kind": GATEWAY, "Name": GATEWAY, "Services": [{ "Name": "s4" }],
    }));
    let mut registration = json!({
        "Kind": GATEWAY, "Name": GATEWAY, "Address": free_host().to_string(), "Port": 8443,
    });
    for (key, value) in gateway.as_object().unwrap() {
        registration[key] = value.clone();
    }
    lab.secondary.register(&registration);
    let mut ads = Ads::of(&lab.secondary, GATEWAY, GATEWAY, None).unwrap();
    // A chain for it comes with its certificate, after one that takes all names.
    let is_for = |chain: &Value| {
        let first = chain["filter_chain_match"]["server_names"][0].as_str();
        first.is_some_and(|first| first.starts_with(name)) && !chain["transport_socket"].is_null()
    };
    loop {
        let picture = ads.next(SOON).unwrap().expect("it is never told");
        let mut routes = picture.routes.iter();
        let is_led = routes.any(|(it, to)| it.starts_with(name) && !to.endpoints.is_empty());
        let mut told = Resources::of(&ads);
        if is_led && told.chains().iter().any(is_for) {
            return Envoy::start(&told);
        }
    }
}

fn upstream() -> Value {
    json!({
        "DestinationName": "s4", "Datacenter": "secondary", "MeshGateway": { "Mode": "local" },
    })
}

#[test]
fn case_terminating_gateway_simple() {
    let lab = Lab::start();
    let backend = Backend::plain(4);
    let _exit = exit(&lab, &[(&backend, json!({}))], &json!({}), "s4.default.secondary");
    lab.wait_routed("s4.default.secondary", 1);
    let (mut s1, at) = lab.dial(&upstream());
    s1.wait_healthy("s4", 1);
    assert_eq!(s1.reach(at).unwrap(), 4);
    assert_eq!(lab.connections("s4.default.secondary"), [1, 1]);
}

#[test]
fn case_terminating_gateway_subsets() {
    let lab = Lab::start();
    let subset = |name: &str| json!({ "Filter": format!("Service.Meta.version == {name}") });
    lab.config_entry(&json!({
        "Kind": "service-resolver", "Name": "s4", "DefaultSubset": "v1",
        "Subsets": { "v1": subset("v1"), "v2": subset("v2") },
    }));
    let [first, second] = [1, 2].map(Backend::plain);
    let version = |name: &str| json!({ "version": name });
    let instances = [(&first, version("v1")), (&second, version("v2"))];
    // The filter selects gateways, too: they are the instances that sidecars dial.
    let gateway = json!({ "Meta": version("v1") });
    let _exit = exit(&lab, &instances, &gateway, "v1.s4.default.secondary");
    lab.wait_routed("v1.s4.default.secondary", 1);
    let (mut s1, at) = lab.dial(&upstream());
    s1.wait_healthy("v1.s4", 1);
    for _ in 0..8 {
        assert_eq!(s1.reach(at).unwrap(), 1);
    }
    assert_eq!(lab.connections("v1.s4.default.secondary"), [8, 8]);
}
