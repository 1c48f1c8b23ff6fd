//! `sluice path`: the mode set in each of the places where it can be. What it says is what Consul
//! tells the sidecar.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::doctor::report::Report;
use crate::support::SOON;
use crate::support::ads::Ads;
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
    /// What Consul tells the client's sidecar, once that is registered.
    ads: Option<Ads>,
    /// The last of it: the name to send, and whom to dial.
    told: Option<(String, BTreeSet<String>)>,
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
        Self {
            first,
            _second: second,
            gateway,
            far_gateway,
            web,
            ads: None,
            told: None,
            _listeners: listeners,
        }
    }

    /// Registers the client's sidecar with what it says of the mode itself.
    fn put_client(&mut self, instance: &Value, upstream: &Value) {
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
        let ads = || Ads::of(&self.first, "client-1", "client-sidecar-proxy", None).unwrap();
        self.ads.get_or_insert_with(ads);
    }

    /// Waits until Consul tells the sidecar to send this name and to dial these.
    fn wait_told(&mut self, expected: &(String, BTreeSet<String>)) {
        let ads = self.ads.as_mut().unwrap();
        let deadline = Instant::now() + SOON;
        while self.told.as_ref() != Some(expected) {
            let told = &self.told;
            assert!(Instant::now() < deadline, "path says {expected:?}, and Consul {told:?}");
            let Some(picture) = ads.next(Duration::from_millis(100)).unwrap() else { continue };
            let upstream = picture.upstreams.iter().find(|(name, _)| name.starts_with("web"));
            self.told = upstream.map(|(_, web)| {
                (web.server_name.clone(), web.endpoints.iter().map(|it| it.text()).collect())
            });
        }
    }

    fn path(&self, upstream: &str) -> Report {
        let url = self.first.url();
        Report::of_command("path", &["--from", "client-1", upstream, "--http-addr", &url])
    }

    /// Waits until the mode is this, and the hops are those of the mode; and until Consul tells
    /// the sidecar the same.
    fn wait_for(&mut self, mode: &str) {
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
        self.wait_told(&dialed(&report));
    }

    fn entry(&self, kind: &str, name: &str, mode: &str) {
        self.first.config_entry(&json!({
            "Kind": kind, "Name": name, "MeshGateway": { "Mode": mode },
        }));
    }
}

/// The name that is asked for, and those whom the sidecar dials by itself: the first hop.
fn dialed(report: &Report) -> (String, BTreeSet<String>) {
    let found = |name: &str| report.checks(name)[0]["found"].as_str().unwrap().to_owned();
    let hops = ["gateways here", "gateways there", "service"];
    let first = hops.iter().find(|name| report.has(name)).unwrap();
    let hop = found(first);
    let (_, addresses) = hop.split_once(": ").unwrap();
    let address = |told: &str| told.split(' ').next().unwrap().to_owned();
    (found("server name"), addresses.split(", ").map(address).collect())
}

#[test]
fn the_nearest_of_the_places_that_say_a_mode_wins_and_each_hop_of_it_is_dialed() {
    let mut lab = Lab::start();
    let nothing = json!({});
    let mode = |mode: &str| json!({ "Mode": mode });
    lab.put_client(&nothing, &nothing);
    lab.wait_for("none, set by nobody");

    lab.entry("service-defaults", "web", "remote");
    lab.wait_for("remote, set by service-defaults of \"web\"");
    lab.entry("proxy-defaults", "global", "local");
    lab.wait_for("local, set by proxy-defaults");
    lab.entry("service-defaults", "client", "remote");
    lab.wait_for("remote, set by service-defaults of \"client\"");
    lab.put_client(&mode("local"), &nothing);
    lab.wait_for("local, set by the service instance");
    lab.put_client(&mode("local"), &mode("none"));
    lab.wait_for("none, set by the upstream definition");
}

#[test]
fn every_mode_is_told_alike_wherever_it_is_set() {
    let mut lab = Lab::start();
    let (nothing, url) = (json!({}), "/v1/config");
    let mode = |mode: &str| json!({ "Mode": mode });
    for name in ["local", "remote", "none"] {
        lab.put_client(&nothing, &mode(name));
        lab.wait_for(&format!("{name}, set by the upstream definition"));
        lab.put_client(&mode(name), &nothing);
        lab.wait_for(&format!("{name}, set by the service instance"));
        lab.put_client(&nothing, &nothing);
        for service in ["client", "web"] {
            lab.entry("service-defaults", service, name);
            lab.wait_for(&format!("{name}, set by service-defaults of {service:?}"));
            lab.first.delete(&format!("{url}/service-defaults/{service}"));
        }
        lab.entry("proxy-defaults", "global", name);
        lab.wait_for(&format!("{name}, set by proxy-defaults"));
        lab.first.delete(&format!("{url}/proxy-defaults/global"));
        lab.wait_for("none, set by nobody");
    }
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
