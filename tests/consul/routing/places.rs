//! Where gateways of another datacenter are dialed, when they say much or little of it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::{Launch, both_engines};
use crate::support::until;

/// A service with these addresses.
fn service(address: &str, port: u16, tagged: Value) -> Value {
    json!({
        "Address": address, "Port": port, "TaggedAddresses": tagged,
    })
}

/// The addresses of a gateway's node and of its service, of which one is the right one.
fn cases(right: Ipv4Addr, port: u16, wrong: &str) -> [(Value, Value, Value); 6] {
    let right = right.to_string();
    let wan = |host: &str, port: u16| json!({ "wan": { "Address": host, "Port": port } });
    [
        // A WAN address of its own, with a port or with that of the service.
        (json!(wrong), json!({ "wan": wrong }), service(wrong, 9, wan(&right, port))),
        (json!(wrong), json!({ "wan": wrong }), service(wrong, port, wan(&right, 0))),
        // None: the address of the service, even if its node has a WAN address.
        (json!(wrong), json!({ "wan": wrong }), service(&right, port, json!({}))),
        // Without a host in it, or without any address at all: the WAN address of the node,
        (json!(wrong), json!({ "wan": right }), service(wrong, 9, wan("", port))),
        (json!(wrong), json!({ "wan": right }), service("", port, json!({}))),
        // and its only address in the end.
        (json!(right), json!({}), service("", port, json!({}))),
    ]
}

#[test]
fn a_gateway_is_dialed_at_the_first_address_that_there_is() {
    let [first, second] = joined();
    let identity = second.identity("web");
    let mut backends = Vec::new();
    // Nobody listens there.
    let wrong = free_host().to_string();
    let count = cases(free_host(), 0, "").len();
    for index in 0..count {
        let backend = Backend::with_identity(&identity, index as u64);
        let SocketAddr::V4(at) = backend.address else { unreachable!("it is of IPv4") };
        let (address, tagged, mut service) = cases(*at.ip(), at.port(), &wrong)[index].clone();
        service["Kind"] = "mesh-gateway".into();
        service["Service"] = "mesh-gateway".into();
        service["ID"] = format!("gateway-{index}").into();
        second.put(
            "/v1/catalog/register",
            &json!({
                "Node": format!("edge-{index}"), "Address": address, "TaggedAddresses": tagged,
                "Service": service,
            }),
        );
        backends.push(backend);
    }
    let (caller, target) = (Caller::new(&first.identity("client")), second.target("web"));
    for gateway in &both_engines(&first) {
        let mut reached = BTreeSet::new();
        until("every gateway is reached", || {
            reached.extend(caller.reach(gateway.lan, &target).ok());
            (reached.len() == count).then_some(())
        });
        // Whoever were dialed in vain would not be missed by sessions.
        assert_eq!(gateway.count("dials_failed"), 0, "{}", gateway.engine);
    }
}

#[test]
fn host_names_and_addresses_count_together_and_what_is_registered_twice_once() {
    let [first, second] = joined();
    let identity = second.identity("web");
    // The one host name that every machine has.
    let by_name = Backend::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &identity, 1);
    let by_address = Backend::with_identity(&identity, 2);
    let put = |id: &str, host: &str, at: SocketAddr| {
        let gateway = json!({
            "Kind": "mesh-gateway", "Service": "mesh-gateway", "ID": id, "Port": 9,
            "TaggedAddresses": { "wan": { "Address": host, "Port": at.port() } },
        });
        let body = json!({ "Node": id, "Address": free_host().to_string(), "Service": gateway });
        second.put("/v1/catalog/register", &body);
    };
    let address = by_address.address.ip().to_string();
    put("by-name", "localhost", by_name.address);
    put("by-address", &address, by_address.address);
    put("by-the-same", &address, by_address.address);
    let (caller, target) = (Caller::new(&first.identity("client")), second.target("web"));
    for gateway in &both_engines(&first) {
        let mut reached = BTreeSet::new();
        until("both gateways are reached", || {
            reached.extend(caller.reach(gateway.lan, &target).ok());
            (reached == BTreeSet::from([1, 2])).then_some(())
        });
        let route = gateway.get(&format!("/routes?sni={}", target.server_name));
        let endpoints = route["endpoints"].as_array().unwrap().iter();
        let at = |address: SocketAddr| {
            endpoints.clone().filter(|at| at["address"] == address.to_string()).count()
        };
        assert_eq!((at(by_name.address), at(by_address.address)), (1, 1), "{route:#}");
    }
}

#[test]
fn a_gateway_that_registers_no_address_is_dialed_at_its_nodes() {
    let [first, second] = joined();
    let backend = Backend::with_identity(&second.identity("web"), 1);
    second.put_sidecar("web", "web-1", backend.address);
    let far = [("io_uring", 8443), ("epoll", 8444)].map(|(engine, port)| {
        let bind = SocketAddr::from((second.host(), port));
        let launch = Launch::new(&second, engine).word("--register").flag("--proxy-id", engine);
        launch.flag("--bind", bind).start()
    });
    for gateway in &far {
        let service = second.service(gateway.engine).unwrap();
        assert_eq!((&service["Address"], &service["TaggedAddresses"]), (&json!(""), &json!(null)));
    }
    let (caller, target) = (Caller::new(&first.identity("client")), second.target("web"));
    for near in &both_engines(&first) {
        for far in &far {
            until("sessions through it", || {
                let before = far.count("accepted");
                let reached = caller.reach(near.lan, &target);
                (reached.is_ok() && far.count("accepted") > before).then_some(())
            });
        }
    }
    second.wait_for_checks(
        "mesh-gateway",
        &[
            ("sluice:epoll", "passing"),
            ("sluice:epoll:listening", "passing"),
            ("sluice:io_uring", "passing"),
            ("sluice:io_uring:listening", "passing"),
        ],
    );
}
