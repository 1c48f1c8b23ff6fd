//! Options of a registration's `Proxy.Config`: each takes effect, and one that is wrong is named
//! and leaves the others alone.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::federation::wait_joined;
use crate::support::hosts::free_host;
use crate::support::http::{Endpoint, ask};
use crate::support::mesh::black_hole::BlackHole;
use crate::support::program::{Launch, Program};
use crate::support::scene::server_name;
use crate::support::steady_traffic::Echo;
use crate::support::until;

const ID: &str = "edge";

/// A gateway, registered by the test.
struct Lab {
    datacenter: Datacenter,
    bind: SocketAddr,
}

impl Lab {
    fn new() -> Self {
        Self { datacenter: Plan::new("dc1").start(), bind: (free_host(), 8443).into() }
    }

    /// Registers the gateway with these options.
    fn define(&self, config: &Value) {
        self.datacenter.register(&json!({
            "Kind": "mesh-gateway", "ID": ID, "Name": "mesh-gateway",
            "Address": self.bind.ip().to_string(), "Port": self.bind.port(),
            "Proxy": { "Config": config },
        }));
    }

    fn start(&self) -> Program {
        let launch = Launch::new("epoll", &self.datacenter.url()).flag("--proxy-id", ID);
        launch.flag("--dial-attempts", "1").start_ready()
    }
}

#[test]
fn connect_timeout_ms_is_the_time_of_a_dial() {
    let lab = Lab::new();
    let hole = BlackHole::at((free_host(), 21_000).into());
    lab.datacenter.put_sidecar("slow", "slow-1", hole.address);
    let echo = Echo::start(&server_name(&lab.datacenter, "slow"));
    lab.define(&json!({ "connect_timeout_ms": "400" }));
    let gateway = lab.start();
    gateway.wait_routed(&echo.name, true);
    let time_of_a_dial = || {
        let asked = Instant::now();
        echo.visit(lab.bind).expect_err("nobody answers there");
        asked.elapsed()
    };
    until("a dial takes 400 ms", || {
        let time = time_of_a_dial();
        (time > Duration::from_millis(390) && time < Duration::from_millis(1400)).then_some(())
    });
    lab.define(&json!({ "connect_timeout_ms": 1600 }));
    until("a dial takes 1600 ms", || {
        let time = time_of_a_dial();
        (time > Duration::from_millis(1590) && time < Duration::from_millis(4000)).then_some(())
    });
}

#[test]
fn gateways_of_other_datacenters_get_the_keepalive_that_is_wanted() {
    let lab = Lab::new();
    let other = Plan::new("dc2").joined_to(&lab.datacenter).start();
    wait_joined(&[&lab.datacenter, &other]);
    let far = Echo::start(&server_name(&other, "web"));
    other.put_gateway("far", far.address, far.address);
    let near = Echo::start(&server_name(&lab.datacenter, "web"));
    lab.datacenter.put_sidecar("web", "web-1", near.address);
    lab.define(&json!({
        "envoy_gateway_remote_tcp_enable_keepalive": true,
        "envoy_gateway_remote_tcp_keepalive_time": 120,
        "envoy_gateway_remote_tcp_keepalive_interval": 60,
        "envoy_gateway_remote_tcp_keepalive_probes": 7,
    }));
    let gateway = lab.start();
    gateway.wait_routed(&near.name, true);
    let mut far_session = until("dc2 is reached", || far.open(lab.bind).ok());
    far_session.exchange().unwrap();
    // The options come with a question of their own: sessions that began before are without.
    until("the keepalive timer of a session to dc2", || {
        let mut session = far.open(lab.bind).ok()?;
        session.exchange().unwrap();
        let left = keepalive_left(far.address)?;
        assert!(left <= Duration::from_secs(120) && left > Duration::from_secs(100), "{left:?}");
        Some(())
    });
    let mut session = near.open(lab.bind).unwrap();
    session.exchange().unwrap();
    assert_eq!(keepalive_left(near.address), None, "of this datacenter");
}

/// What is left of the keepalive timer of a connection to an address (proc(5), `/proc/net/tcp`:
/// `tr` 2 is that timer, `tm->when` is in hundredths of a second).
fn keepalive_left(to: SocketAddr) -> Option<Duration> {
    let SocketAddr::V4(to) = to else { panic!("{to} is not of IPv4") };
    let [a, b, c, d] = to.ip().octets();
    let remote = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", to.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.get(2) == Some(&&*remote) && row[3] == "01");
    rows.find_map(|row| {
        let left = row[5].strip_prefix("02:")?;
        Some(Duration::from_millis(u64::from_str_radix(left, 16).unwrap() * 10))
    })
}

#[test]
fn envoy_prometheus_bind_addr_opens_metrics_there() {
    let lab = Lab::new();
    let [first, second] = [(); 2].map(|()| SocketAddr::from((free_host(), 9102)));
    let scrape = |at: SocketAddr, path: &str| ask(&Endpoint::At(at), "GET", path, None, "");
    lab.define(&json!({ "envoy_prometheus_bind_addr": first.to_string() }));
    let mut gateway = lab.start();
    let page = until("metrics are there", || scrape(first, "/metrics"));
    assert_eq!(page.status, 200);
    for series in ["sluice_build_info{", "envoy_server_live{"] {
        let count = page.body.lines().filter(|line| line.starts_with(series)).count();
        assert_eq!(count, 1, "{series} in\n{}", page.body);
    }
    // Nothing else is told there.
    assert_eq!(scrape(first, "/config").unwrap().status, 404);
    assert_eq!(ask(&Endpoint::At(first), "POST", "/metrics", None, "").unwrap().status, 405);

    lab.define(&json!({ "envoy_prometheus_bind_addr": second.to_string() }));
    until("metrics are at the other address", || scrape(second, "/metrics"));
    assert!(scrape(first, "/metrics").is_none(), "the old one is closed");
    let taken = TcpListener::bind((free_host(), 9102)).unwrap();
    let address = taken.local_addr().unwrap();
    lab.define(&json!({ "envoy_prometheus_bind_addr": address.to_string() }));
    let line = gateway.wait_line(&format!("{address} is in use by"));
    assert!(line.text.contains("envoy_prometheus_bind_addr"), "{}", line.text);
    lab.define(&json!({}));
    until("metrics are nowhere", || scrape(second, "/metrics").is_none().then_some(()));
}

#[test]
fn an_option_that_is_wrong_is_named_and_the_others_count() {
    let lab = Lab::new();
    let more = SocketAddr::new(lab.bind.ip(), 9443);
    lab.define(&json!({
        "connect_timeout_ms": "3s",
        "envoy_dns_discovery_type": "EDS",
        "envoy_gateway_no_default_bind": "perhaps",
        "envoy_gateway_bind_addresses": {
            "more": { "Address": more.ip().to_string(), "Port": more.port() },
            "odd": "10.0.0.1:1",
        },
    }));
    let mut gateway = lab.start();
    for told in [
        "connect_timeout_ms is \"3s\": expected milliseconds, such as 5000; it counts as absent",
        "envoy_dns_discovery_type is \"EDS\": expected LOGICAL_DNS or STRICT_DNS",
        "envoy_gateway_no_default_bind is \"perhaps\": expected true or false",
        "envoy_gateway_bind_addresses.odd is \"10.0.0.1:1\": expected {",
    ] {
        assert_eq!(gateway.wait_line(told).level, "WARN");
        let told_once = gateway.log().iter().filter(|line| line.text.contains(told)).count();
        assert_eq!(told_once, 1);
        let (_, listing) = gateway.list(&[]);
        assert!(listing.contains(told), "{told:?} is not in\n{listing}");
    }
    for bind in [lab.bind, more] {
        std::net::TcpStream::connect(bind).unwrap();
    }
    // Put right, nothing is said of it any more.
    lab.define(&json!({ "connect_timeout_ms": 3000 }));
    gateway.wait_routes("no option is wrong", |routes| {
        routes["source"]["notes"].as_array()?.is_empty().then_some(())
    });
}
