//! The datacenters that tests start are what they seem to be.

use serde_json::{Value, json};

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::Plan;

#[test]
fn two_datacenters_join() {
    let first = Plan::new("dc1").start();
    let second = Plan::new("dc2").joined_to(&first).start();
    for datacenter in [&first, &second] {
        datacenter.wait("both", "/v1/catalog/datacenters", |names| {
            (names.as_array()?.len() == 2).then_some(())
        });
    }
    let roots = |dc: &str| second.get(&format!("/v1/connect/ca/roots?dc={dc}")).json();
    second.wait("one trust domain", "/v1/connect/ca/roots", |own| {
        (own["TrustDomain"] == roots("dc1")["TrustDomain"]).then_some(())
    });
}

#[test]
fn services_checks_maintenance_and_configuration_take_effect() {
    let datacenter = Plan::new("dc1").with("log_level", "debug".into()).start();
    datacenter.register(&json!({ "Name": "web", "Port": 80, "Check": { "TTL": "1h" } }));
    datacenter.wait_for_checks("web", &[("service:web", "critical")]);
    datacenter.check("service:web", "pass");
    datacenter.wait_for_checks("web", &[("service:web", "passing")]);
    datacenter.maintenance("web", true);
    let maintenance = ("_service_maintenance:web", "critical");
    datacenter.wait_for_checks("web", &[maintenance, ("service:web", "passing")]);
    datacenter.maintenance("web", false);
    datacenter.node_maintenance(true);
    datacenter.wait("the node is in maintenance", "/v1/health/node/dc1-s1", |checks| {
        let node = |check: &Value| check["CheckID"] == "_node_maintenance";
        checks.as_array()?.iter().any(node).then_some(())
    });
    datacenter.node_maintenance(false);
    datacenter.intention("client", "web", "deny");
    let intentions = datacenter.get("/v1/connect/intentions").json();
    assert_eq!(intentions[0]["Action"], "deny");
    datacenter.config_entry(&json!({ "Kind": "service-resolver", "Name": "web" }));
    let resolvers = datacenter.get("/v1/config/service-resolver").json();
    assert_eq!(resolvers[0]["Name"], "web");
    datacenter.deregister("web");
    assert_eq!(datacenter.service("web"), None);
}

#[test]
fn tokens_are_asked_for_and_a_socket_is_there() {
    let datacenter = Plan::new("dc1").with_acls().with_socket().start();
    let nodes = "/v1/catalog/nodes";
    let seen = |token: Option<&str>| {
        let answer = datacenter.ask("GET", nodes, token, &Value::Null).unwrap();
        (answer.status, answer.json().as_array().map(Vec::len))
    };
    assert_eq!(seen(None), (200, Some(0)));
    let token = datacenter.new_token("gateway", GATEWAY_RULES);
    assert_eq!(seen(Some(&token.secret)), (200, Some(1)));
    datacenter.delete_token(&token);
    assert_eq!(datacenter.ask_by_socket(nodes).json().as_array().map(Vec::len), Some(1));
}
