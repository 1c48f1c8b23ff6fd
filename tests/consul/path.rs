//! `sluice path`: the mode set in each of the places where it can be.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::doctor::report::Report;
use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::until;

/// A client in dc1 whose upstream is in dc2, with a gateway in each, and nobody who forwards.
struct Lab {
    first: Datacenter,
    _second: Datacenter,
    gateway: [SocketAddr; 2],
    far_gateway: [SocketAddr; 2],
    web: SocketAddr,
    _listeners: Vec<TcpListener>,
}

impl Lab {
    fn start() -> Self {
        let [first, second] = joined();
        let [gateway, far_gateway] =
            [(); 2].map(|()| [8443, 8444].map(|port| SocketAddr::from((free_host(), port))));
        let web = SocketAddr::from((free_host(), 21_000));
        let all = gateway.iter().chain(&far_gateway).chain([&web]);
        let listeners = all.map(|address| TcpListener::bind(address).unwrap()).collect();
        first.put_gateway("gw", gateway[0], gateway[1]);
        second.put_gateway("gw", far_gateway[0], far_gateway[1]);
        second.put_sidecar("web", "web-1", web);
        Self { first, _second: second, gateway, far_gateway, web, _listeners: listeners }
    }

    /// Registers the client's sidecar with what it says of the mode itself.
    fn put_client(&self, instance: &Value, upstream: &Value) {
        self.first.register(&json!({
            "Kind": "connect-proxy", "Name": "client-sidecar-proxy", "ID": "client-1", "Port": 1,
            "Proxy": {
                // Without the id, central configuration is not merged into a proxy.
                "DestinationServiceName": "client", "DestinationServiceID": "client",
                "MeshGateway": instance,
                "Upstreams": [{ "DestinationName": "web", "Datacenter": "dc2",
                    "LocalBindPort": 9_191, "MeshGateway": upstream }],
            },
        }));
    }

    fn path(&self, upstream: &str) -> Report {
        let url = self.first.url();
        Report::of_command("path", &["--from", "client-1", upstream, "--http-addr", &url])
    }

    /// Waits until the mode is this, and the hops are those of the mode.
    fn wait_for(&self, mode: &str) {
        let report = until(&format!("the mode is {mode}"), || {
            let report = self.path("web.dc2");
            let is_it = report.checks("mode").iter().any(|check| check["found"] == mode);
            is_it.then_some(report)
        });
        report.must("server name", "pass", "web.default.dc2.internal.");
        let [lan, wan] = [self.gateway[0], self.far_gateway[1]].map(|it| format!("{it} answers"));
        match mode.split(',').next().unwrap() {
            "local" => {
                report.must("gateways here", "pass", &lan);
                report.must("gateways there", "pass", &wan);
                report.must("service", "pass", "dialed by its gateways");
            }
            "remote" => {
                assert!(!report.has("gateways here"), "{report:#?}");
                report.must("gateways there", "pass", &wan);
                report.must("service", "pass", "dialed by its gateways");
            }
            _ => {
                assert!(!report.has("gateways here") && !report.has("gateways there"));
                report.must("service", "pass", &format!("{} answers", self.web));
            }
        }
        assert_eq!(report.code, Some(0), "{report:#?}");
    }
}

#[test]
fn the_nearest_of_the_places_that_say_a_mode_wins_and_each_hop_of_it_is_dialed() {
    let lab = Lab::start();
    let nothing = json!({});
    let mode = |mode: &str| json!({ "Mode": mode });
    lab.put_client(&nothing, &nothing);
    lab.wait_for("none, set by nobody");

    let entry = |kind: &str, name: &str, mode: &str| {
        lab.first.config_entry(&json!({
            "Kind": kind, "Name": name, "MeshGateway": { "Mode": mode },
        }));
    };
    entry("service-defaults", "web", "remote");
    lab.wait_for("remote, set by service-defaults of \"web\"");
    entry("proxy-defaults", "global", "local");
    lab.wait_for("local, set by proxy-defaults");
    entry("service-defaults", "client", "remote");
    lab.wait_for("remote, set by service-defaults of \"client\"");
    lab.put_client(&mode("local"), &nothing);
    lab.wait_for("local, set by the service instance");
    lab.put_client(&mode("local"), &mode("none"));
    lab.wait_for("none, set by the upstream definition");
}

#[test]
fn a_hop_that_does_not_answer_and_a_sidecar_that_is_not_there_are_told() {
    let mut lab = Lab::start();
    lab.put_client(&json!({ "Mode": "remote" }), &json!({}));
    lab.wait_for("remote, set by the service instance");
    lab._listeners.clear();
    let report = lab.path("web");
    report.must_fail("gateways there", &format!("{} refuses", lab.far_gateway[1]));
    let url = lab.first.url();
    let report = Report::of_command("path", &["--from", "nobody", "web", "--http-addr", &url]);
    report.must_fail("sidecar", "no service with the id \"nobody\"");
    let report = Report::of_command("path", &["--from", "gw", "web", "--http-addr", &url]);
    report.must_fail("sidecar", "no sidecar");
}
