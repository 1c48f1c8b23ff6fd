//! What the admin server says of Consul, and what its orders come to there.

use std::time::Duration;

use crate::support::client_agent::ClientAgent;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::program::{Launch, Program};
use crate::support::until;

const ID: &str = "edge";

/// The value of a series; of one that begins so, where it does not end.
fn value(gateway: &Program, series: &str) -> Option<f64> {
    let page = gateway.page("GET", "/metrics");
    let line = page.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn wait_for(gateway: &Program, series: &str, holds: impl Fn(Option<f64>) -> bool) {
    until(series, || holds(value(gateway, series)).then_some(()));
}

/// Waits until Consul has the gateway among those that pass, or not.
fn wait_passing(datacenter: &Datacenter, is_passing: bool) {
    let path = "/v1/health/service/mesh-gateway?passing";
    datacenter.wait(&format!("passing: {is_passing}"), path, |instances| {
        let found = instances.as_array()?.iter().any(|instance| instance["Service"]["ID"] == ID);
        (found == is_passing).then_some(())
    });
}

#[test]
fn metrics_tell_how_it_stands_with_consul_and_orders_reach_its_health_check() {
    let datacenter = Plan::new("dc1").start();
    let mut agent = ClientAgent::start(&datacenter);
    let gateway = Launch::registered("epoll", &agent.url(), ID).start_ready();
    wait_passing(&datacenter, true);
    wait_for(&gateway, "sluice_consul_passing ", |value| value == Some(1.0));
    assert_eq!(value(&gateway, "sluice_consul_registered "), Some(1.0));
    assert_eq!(value(&gateway, "sluice_consul_behind_seconds "), Some(0.0));
    assert_eq!(value(&gateway, "sluice_table_source_info{source=\"consul\"}"), Some(1.0));
    for part in ["roots", "catalog", "resolvers", "datacenters"] {
        let of_part =
            |name| value(&gateway, &format!("sluice_consul_part_{name}{{part=\"{part}\"}}"));
        assert!(of_part("age_seconds").unwrap() < 60.0, "{part}");
        assert!(of_part("answers_total").unwrap() >= 1.0, "{part}");
        assert_eq!(of_part("failures"), Some(0.0), "{part}");
    }
    assert_eq!(value(&gateway, "sluice_consul_part_failing_info"), None);

    gateway.page("POST", "/healthcheck/fail");
    wait_passing(&datacenter, false);
    wait_for(&gateway, "sluice_consul_passing ", |value| value == Some(0.0));
    gateway.page("POST", "/healthcheck/ok");
    wait_passing(&datacenter, true);

    agent.kill();
    let reason = format!("reason=\"the Consul agent at {} cannot be reached", agent.url());
    let failing = format!("sluice_consul_part_failing_info{{part=\"catalog\",{reason}");
    wait_for(&gateway, &failing, |value| value == Some(1.0));
    wait_for(&gateway, "sluice_consul_behind_seconds ", |value| value > Some(0.0));
    wait_for(&gateway, "sluice_consul_registered ", |value| value == Some(0.0));
    let since = Duration::from_secs_f64(
        value(&gateway, "sluice_consul_part_failing_seconds{part=\"catalog\"}").unwrap(),
    );
    assert!(since > Duration::ZERO);
    let config = gateway.page("GET", "/config");
    assert!(config.contains(&format!("\"id\":\"{ID}\"")), "{config}");
}
