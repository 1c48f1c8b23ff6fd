//! A gateway that registers itself.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use sluice::consul::agent::AgentFlags;
use sluice::consul::register::{Address, Health, Owned, State, Wanted, definition};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::{
    BEAT, Gateway, LISTENING, NAME, PORT, client, client_of, owned, wait_for, wanted,
};
use crate::support::hosts::free_host;
use crate::support::until;

const PASSING: [(&str, &str); 2] = [(BEAT, "passing"), (LISTENING, "passing")];

fn leaving() -> Health {
    Health::Leaving("it was told to end".into())
}

/// The service of the gateway as the agent has it.
fn service(datacenter: &Datacenter) -> Value {
    datacenter.service(NAME).expect("it is not registered")
}

#[test]
fn it_is_registered_as_consul_would_and_passes_its_checks() {
    let datacenter = Plan::new("dc1").start();
    let host = free_host();
    let (wan, bind) = (Address::new("lb.example.com", 443), SocketAddr::from((host, PORT)));
    let wanted = Wanted {
        wan: Some(wan.clone()),
        binds: BTreeMap::from([("default".to_owned(), bind)]),
        expose_servers: true,
        ..wanted(host)
    };
    let described = Owned::new(wanted.clone()).unwrap().definition();
    let client = client(&datacenter, AgentFlags::default());
    let _gateway = Gateway::start_as(client.clone(), host, owned(wanted));
    datacenter.wait_for_checks(NAME, &PASSING);

    let service = service(&datacenter);
    assert_eq!(service["Kind"], "mesh-gateway");
    assert_eq!(service["Meta"], json!({ "consul-wan-federation": "1" }));
    let lan = json!({ "Address": host.to_string(), "Port": PORT });
    assert_eq!(service["TaggedAddresses"]["lan"], lan);
    assert_eq!(service["TaggedAddresses"]["wan"], json!({ "Address": wan.host, "Port": 443 }));
    let expected = json!({
        "envoy_gateway_no_default_bind": true,
        "envoy_gateway_bind_addresses": { "default": lan },
    });
    assert_eq!(service["Proxy"]["Config"], expected);
    let checks = datacenter.get("/v1/agent/checks").json();
    assert_eq!(checks[LISTENING]["Type"], "tcp");
    assert_eq!(checks[BEAT]["Type"], "ttl");

    // What the agent says is what we said, but for what it adds.
    let mut found = wait_for(definition(&client, NAME)).unwrap();
    found.tagged_addresses.retain(|tag, _| !tag.ends_with("_ipv4"));
    assert_eq!(found, described);
    assert_eq!(found.binds(), [bind]);
}

#[test]
fn it_needs_no_address() {
    let datacenter = Plan::new("dc1").start();
    // The agent looks for it on the loopback address.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let wanted = Wanted { lan: Address::new("", port), ..Wanted::of_service(NAME) };
    let client = client(&datacenter, AgentFlags::default());
    let _gateway = Gateway::start_as(client.clone(), free_host(), owned(wanted));
    datacenter.wait_for_checks(NAME, &PASSING);
    let service = service(&datacenter);
    assert_eq!(service["Address"], "");
    assert_eq!(service["TaggedAddresses"], Value::Null);
    let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
    assert_eq!(wait_for(definition(&client, NAME)).unwrap().binds(), [everywhere]);
}

#[test]
fn it_is_critical_until_it_serves_and_as_soon_as_it_leaves() {
    let datacenter = Plan::new("dc1").start();
    let host = free_host();
    let starting = Health::Starting("the first table is not there yet".into());
    let client = client(&datacenter, AgentFlags::default());
    let mut gateway = Gateway::start_with(client, host, owned(wanted(host)), starting.clone());
    gateway.wait_told(&starting);
    let expected = ("critical".to_owned(), "the first table is not there yet".to_owned());
    assert_eq!(datacenter.agent_check(BEAT), Some(expected));
    datacenter.wait_for_checks(NAME, &[(BEAT, "critical"), (LISTENING, "passing")]);

    gateway.tell(Health::Passing);
    datacenter.wait_for_checks(NAME, &PASSING);
    gateway.tell(leaving());
    gateway.wait_told(&leaving());
    let expected = ("critical".to_owned(), "it was told to end".to_owned());
    assert_eq!(datacenter.agent_check(BEAT), Some(expected));
    gateway.end();
    assert_eq!(service(&datacenter)["Kind"], "mesh-gateway", "it stays registered");
}

#[test]
fn who_leaves_and_is_forgotten_does_not_come_back() {
    let datacenter = Plan::new("dc1").start();
    let mut gateway = Gateway::start(&datacenter);
    gateway.wait_told(&Health::Passing);
    datacenter.deregister(NAME);
    gateway.tell(leaving());
    gateway.wait_told(&leaving());
    gateway.end();
    assert_eq!(datacenter.service(NAME), None);
    assert_eq!(gateway.status.registration_count(), 1);
}

#[test]
fn what_it_said_last_is_told_even_when_nobody_says_more() {
    let datacenter = Plan::new("dc1").start();
    let mut gateway = Gateway::start(&datacenter);
    gateway.wait_told(&Health::Passing);
    gateway.tell(leaving());
    gateway.end();
    assert_eq!(datacenter.agent_check(BEAT).unwrap().0, "critical");
}

#[test]
fn deregistered_by_somebody_it_comes_back() {
    let datacenter = Plan::new("dc1").start();
    let gateway = Gateway::start(&datacenter);
    datacenter.wait_for_checks(NAME, &PASSING);
    datacenter.deregister(NAME);
    datacenter.wait_for_checks(NAME, &PASSING);
    assert_eq!(service(&datacenter)["Address"], gateway.host.to_string());
    assert_eq!(gateway.status.registration_count(), 2);
}

#[test]
fn it_comes_back_to_an_agent_that_was_restarted_without_its_data() {
    let mut datacenter = Plan::new("dc1").start();
    let gateway = Gateway::start(&datacenter);
    datacenter.wait_for_checks(NAME, &PASSING);
    datacenter.kill();
    gateway.wait(|state| {
        let reason = "cannot be reached: nobody listens there";
        matches!(state, State::Failing { reason: told, .. } if told.contains(reason))
    });
    datacenter.forget();
    datacenter.start();
    datacenter.wait_for_checks(NAME, &PASSING);
}

#[test]
fn it_stays_with_an_agent_that_was_restarted_with_its_data() {
    let mut datacenter = Plan::new("dc1").start();
    let gateway = Gateway::start(&datacenter);
    datacenter.wait_for_checks(NAME, &PASSING);
    datacenter.terminate();
    gateway.wait_failing();
    datacenter.start();
    gateway.wait_told(&Health::Passing);
    datacenter.wait_for_checks(NAME, &PASSING);
}

#[test]
fn an_agent_that_stood_still_is_told_again() {
    let datacenter = Plan::new("dc1").start();
    let gateway = Gateway::start(&datacenter);
    datacenter.wait_for_checks(NAME, &PASSING);
    datacenter.pause();
    let reason = gateway.wait_failing();
    assert!(reason.contains("is it stopped, or overloaded?"), "{reason}");
    datacenter.resume();
    gateway.wait_told(&Health::Passing);
    datacenter.wait_for_checks(NAME, &PASSING);
}

#[test]
fn one_that_does_not_beat_any_more_is_critical() {
    let datacenter = Plan::new("dc1").start();
    let gateway = Gateway::start(&datacenter);
    datacenter.wait_for_checks(NAME, &PASSING);
    // Ends without a word, as after SIGKILL; its port goes with it.
    drop(gateway);
    datacenter.wait("the beat lapses", &format!("/v1/health/checks/{NAME}"), |checks| {
        let beat = checks.as_array()?.iter().find(|check| check["CheckID"] == BEAT)?;
        let output = beat["Output"].as_str()?;
        (beat["Status"] == "critical" && output.contains("TTL expired")).then_some(())
    });
}

#[test]
fn checks_of_an_earlier_gateway_go_and_maintenance_stays() {
    let datacenter = Plan::new("dc1").start();
    // As Envoy was registered, at a port that nobody uses any more.
    let check = json!({ "Name": "mesh-gateway listening", "TCP": "127.0.0.1:9", "Interval": "1s" });
    let address = free_host().to_string();
    datacenter.register(&json!({
        "Kind": "mesh-gateway", "Name": NAME, "Address": address, "Port": 443, "Check": check,
    }));
    datacenter.put(
        "/v1/agent/check/register",
        &json!({
            "ID": "disk", "Name": "disk", "ServiceID": NAME, "TTL": "1h", "Status": "passing",
        }),
    );
    datacenter.maintenance(NAME, true);
    let gateway = Gateway::start(&datacenter);
    gateway.wait_told(&Health::Passing);
    let maintenance = "_service_maintenance:mesh-gateway";
    let expected = [(maintenance, "critical"), ("disk", "passing"), PASSING[0], PASSING[1]];
    // Asked of the agent first: the catalog learns one check after the other.
    let checks = datacenter.get("/v1/agent/checks").json();
    assert_eq!(checks.as_object().unwrap().keys().collect::<Vec<_>>(), expected.map(|(id, _)| id));
    datacenter.wait_for_checks(NAME, &expected);
    assert_eq!(service(&datacenter)["Address"], gateway.host.to_string());
}

#[test]
fn agents_behind_a_unix_socket_or_https_know_it_too() {
    let by_socket = Plan::new("dc1").with_socket().start();
    let address = format!("unix://{}", by_socket.socket().display());
    let flags = AgentFlags { http_addr: Some(address), ..AgentFlags::default() };
    let host = free_host();
    let gateway = Gateway::start_as(client_of(flags), host, owned(wanted(host)));
    by_socket.wait_for_checks(NAME, &PASSING);
    drop(gateway);

    let by_tls = Plan::new("dc1").with_https().start();
    let ca_file = Some(by_tls.ca().to_str().unwrap().to_owned());
    let flags = AgentFlags { ca_file, ..AgentFlags::default() };
    let _gateway = Gateway::start_as(client(&by_tls, flags), host, owned(wanted(host)));
    by_tls.wait_for_checks(NAME, &PASSING);
}

#[test]
fn a_restarted_gateway_takes_its_place_again() {
    let datacenter = Plan::new("dc1").start();
    let host = free_host();
    let start = || {
        let client = client(&datacenter, AgentFlags::default());
        Gateway::start_as(client, host, owned(wanted(host)))
    };
    let mut first = start();
    first.wait_told(&Health::Passing);
    first.tell(leaving());
    first.end();
    drop(first);
    let _second = start();
    datacenter.wait_for_checks(NAME, &PASSING);
    until("one instance", || {
        let instances = datacenter.get(&format!("/v1/catalog/service/{NAME}")).json();
        (instances.as_array()?.len() == 1).then_some(())
    });
}
