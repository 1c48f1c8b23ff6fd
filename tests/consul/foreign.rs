//! A gateway that others define: it is told nothing but its health.

use std::fs;

use serde_json::{Value, json};
use sluice::consul::agent::AgentFlags;
use sluice::consul::register::{Health, Registration, State, definition, follow};
use tokio::sync::watch;

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::{Gateway, PORT, client, wait_for};
use crate::support::hosts::free_host;
use crate::support::until;

const ID: &str = "gateway/of others";
const CHECK: &str = "sluice:gateway/of others";
const FILE: &str = "gateway.json";

fn foreign(datacenter: &Datacenter) -> Gateway {
    let client = client(datacenter, AgentFlags::default());
    Gateway::start_as(client, free_host(), Registration::Foreign { proxy_id: ID.to_owned() })
}

/// A definition with options whose types are not quite right, as files have them.
fn defined(connect_timeout_ms: &str) -> Value {
    json!({
        "kind": "mesh-gateway", "id": ID, "name": "mesh-gateway", "port": PORT,
        "address": "127.0.0.20",
        "tagged_addresses": {
            "lan": { "address": "127.0.0.20", "port": PORT },
            "wan": { "address": "127.0.0.21", "port": 8444 },
        },
        "proxy": { "config": {
            "connect_timeout_ms": connect_timeout_ms,
            "envoy_gateway_bind_tagged_addresses": "true",
            "envoy_gateway_bind_addresses": { "more": { "address": "::1", "port": "9999" } },
        }},
    })
}

/// Everything that the agent says of the definition, hash included.
fn as_defined(datacenter: &Datacenter) -> Value {
    datacenter.service("gateway%2Fof%20others").expect("it is not defined")
}

#[test]
fn the_definition_is_untouched_and_the_check_survives_reloads() {
    let datacenter = Plan::new("dc1").start();
    let path = datacenter.write_service(FILE, &defined("3000"));
    datacenter.reload();
    let (file, before) = (fs::read(&path).unwrap(), as_defined(&datacenter));
    let mut gateway = foreign(&datacenter);
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
    // Before a reload, too: that would put right what was rewritten.
    assert_eq!(as_defined(&datacenter), before);
    for _ in 0..3 {
        datacenter.reload();
        assert_eq!(datacenter.agent_check(CHECK).unwrap().0, "passing");
        assert_eq!(as_defined(&datacenter), before);
    }
    assert_eq!(gateway.status.registration_count(), 1, "the check was never away");
    gateway.tell(Health::Leaving("it was told to end".into()));
    gateway.end();
    assert_eq!(datacenter.agent_check(CHECK).unwrap().0, "critical");
    assert_eq!(as_defined(&datacenter), before);
    assert_eq!(fs::read(&path).unwrap(), file);
}

#[test]
fn the_check_comes_back_with_a_definition_that_was_away() {
    let datacenter = Plan::new("dc1").start();
    let path = datacenter.write_service(FILE, &defined("3000"));
    datacenter.reload();
    let before = as_defined(&datacenter);
    let gateway = foreign(&datacenter);
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
    fs::remove_file(path).unwrap();
    datacenter.reload();
    // While the agent reads its files, the check may be gone before the service is.
    gateway.wait(|state| {
        let told = "knows no service with the id \"gateway/of others\"";
        matches!(state, State::Failing { reason, .. }
            if reason.contains(told) && reason.contains("--register"))
    });
    datacenter.write_service(FILE, &defined("3000"));
    datacenter.reload();
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
    assert_eq!(as_defined(&datacenter), before);
}

#[test]
fn the_check_comes_back_to_an_agent_that_was_restarted() {
    let mut datacenter = Plan::new("dc1").start();
    datacenter.write_service(FILE, &defined("3000"));
    datacenter.reload();
    let gateway = foreign(&datacenter);
    for without_data in [false, true] {
        datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
        datacenter.kill();
        gateway.wait_failing();
        if without_data {
            datacenter.forget();
        }
        datacenter.start();
    }
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
}

#[test]
fn one_that_an_agent_was_told_of_is_served_as_well() {
    let datacenter = Plan::new("dc1").start();
    // As Nomad does it: through the API, again and again, and only with the checks it knows.
    let body = json!({
        "Kind": "mesh-gateway", "ID": ID, "Name": "mesh-gateway", "Port": PORT,
    });
    let register =
        || datacenter.put("/v1/agent/service/register?replace-existing-checks=true", &body);
    register();
    let gateway = foreign(&datacenter);
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
    register();
    assert_eq!(datacenter.agent_check(CHECK), None);
    datacenter.wait_for_checks("mesh-gateway", &[(CHECK, "passing")]);
    // The catalog shows it before the agent's answer is here.
    until("it is told again", || (gateway.status.registration_count() == 2).then_some(()));
}

#[test]
fn addresses_and_options_are_read_and_followed() {
    let datacenter = Plan::new("dc1").start();
    datacenter.config_entry(&json!({
        "Kind": "proxy-defaults", "Name": "global", "Config": { "protocol": "tcp" },
    }));
    datacenter.write_service(FILE, &defined("3000"));
    datacenter.reload();
    let client = client(&datacenter, AgentFlags::default());
    let found = wait_for(definition(&client, ID)).unwrap();
    // Those that Consul adds, lan_ipv4 and wan_ipv4, are among them, and not twice.
    let binds = ["127.0.0.20:8443", "127.0.0.21:8444", "[::1]:9999"];
    assert_eq!(found.binds(), binds.map(|bind| bind.parse().unwrap()));
    assert_eq!(found.options.connect_timeout.as_millis(), 3000);

    let (tell, mut told) = watch::channel(None);
    let following = follow(client, ID.to_owned(), tell);
    wait_for(async {
        tokio::select! {
            () = following => unreachable!("somebody listens"),
            () = async {
                told.wait_for(|known| known.as_ref() == Some(&found)).await.unwrap();
                datacenter.write_service(FILE, &defined("4000"));
                datacenter.reload();
                told.wait_for(|known| {
                    let options = known.as_ref().map(|known| &known.options);
                    options.is_some_and(|options| options.connect_timeout.as_millis() == 4000)
                })
                .await
                .unwrap();
            } => {}
        }
    });
}
