//! Registrations and definitions, without an agent. With one: `tests/consul`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Address, Definition, DnsDiscovery, Options, Owned, RegisterError, RemoteKeepalive, Wanted,
    WantedError,
};
use crate::consul::agent::AgentError;

fn at(host: &str) -> Address {
    Address::new(host, 8443)
}

fn wanted(lan: &str, wan: Option<&str>) -> Wanted {
    Wanted { lan: at(lan), wan: wan.map(at), ..Wanted::of_service("mesh-gateway") }
}

fn binds(definition: &Definition) -> Vec<String> {
    definition.binds().iter().map(SocketAddr::to_string).collect()
}

/// A definition with a `Proxy.Config`.
fn configured(config: &Value) -> Definition {
    let answer = json!({
        "Kind": "mesh-gateway", "ID": "gw", "Service": "mesh-gateway", "Tags": [], "Meta": null,
        "Address": "10.0.0.1", "Port": 8443,
        "TaggedAddresses": {
            "lan": { "Address": "10.0.0.1", "Port": 8443 },
            "lan_ipv4": { "Address": "10.0.0.1", "Port": 8443 },
            "wan": { "Address": "198.18.0.1", "Port": 443 },
            "wan_ipv4": { "Address": "10.0.0.1", "Port": 8443 },
        },
        "Weights": { "Passing": 1, "Warning": 1 }, "EnableTagOverride": false,
        "ContentHash": "b4210d589533b839",
        "Proxy": { "Config": config, "MeshGateway": {}, "Expose": {} },
    });
    Definition::parse(answer.to_string().as_bytes()).unwrap()
}

#[test]
fn the_body_is_the_one_that_consul_knows() {
    let lan = SocketAddr::from(([127, 0, 1, 20], 8443));
    let wanted = Wanted {
        lan: Address::new("127.0.1.20", 8443),
        wan: Some(Address::new("lb.example.com", 443)),
        binds: BTreeMap::from([("default".to_owned(), lan)]),
        expose_servers: true,
        deregister_after_critical: Duration::from_secs(3600),
        ..Wanted::of_service("gwtest")
    };
    let expected = json!({
        "Kind": "mesh-gateway", "ID": "gwtest", "Name": "gwtest",
        "Port": 8443, "Address": "127.0.1.20",
        "TaggedAddresses": {
            "lan": { "Address": "127.0.1.20", "Port": 8443 },
            "wan": { "Address": "lb.example.com", "Port": 443 },
        },
        "Meta": { "consul-wan-federation": "1" },
        "Proxy": { "Config": {
            "envoy_gateway_bind_addresses": {
                "default": { "Address": "127.0.1.20", "Port": 8443 },
            },
            "envoy_gateway_no_default_bind": true,
        }},
        "Checks": [
            {
                "CheckID": "sluice:gwtest", "Name": "Sluice ready", "TTL": "15s",
                "Status": "critical", "DeregisterCriticalServiceAfter": "3600s",
            },
            {
                "CheckID": "sluice:gwtest:listening", "Name": "mesh-gateway listening",
                "TCP": "127.0.1.20:8443", "Interval": "10s", "Status": "passing",
                "DeregisterCriticalServiceAfter": "3600s",
            },
        ],
    });
    assert_eq!(Owned::new(wanted).unwrap().body("critical"), expected);
}

#[test]
fn what_to_bind_follows_from_what_this_host_has() {
    let ours = |address: &Address| address.host.starts_with("10.");
    let own = |wanted| Owned::with(wanted, ours).map(|owned| binds(&owned.definition()));
    assert_eq!(own(wanted("10.0.0.1", None)).unwrap(), ["10.0.0.1:8443"]);
    assert_eq!(own(wanted("10.0.0.1", Some("lb"))).unwrap(), ["10.0.0.1:8443"]);
    let both = wanted("10.0.0.1", Some("10.0.0.2"));
    assert_eq!(own(both).unwrap(), ["10.0.0.1:8443", "10.0.0.2:8443"]);
    assert_eq!(own(wanted("", Some("10.0.0.2"))).unwrap(), ["0.0.0.0:8443"]);
    let refused = own(wanted("192.0.2.1", None)).unwrap_err();
    assert_eq!(refused, WantedError::NotBindable(at("192.0.2.1")));
    let named = BTreeMap::from([("all".to_owned(), "0.0.0.0:9000".parse().unwrap())]);
    let named = Wanted { binds: named, ..wanted("192.0.2.1", None) };
    assert_eq!(own(named).unwrap(), ["0.0.0.0:9000"]);
}

#[test]
fn an_address_for_all_of_a_host_is_not_advertised() {
    for (lan, wan, expected) in [
        ("0.0.0.0", None, "--address 0.0.0.0:8443: "),
        ("10.0.0.1", Some("::"), "--wan-address [::]:8443: "),
    ] {
        let refused = Owned::new(wanted(lan, wan)).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn the_agent_looks_where_we_listen() {
    let probe = |wanted| {
        let owned = Owned::with(wanted, |address| address.host.starts_with("10.")).unwrap();
        owned.body("passing")["Checks"][1]["TCP"].as_str().unwrap().to_owned()
    };
    let named = |lan: &str, bind: &str| Wanted {
        binds: BTreeMap::from([("x".to_owned(), bind.parse().unwrap())]),
        ..wanted(lan, None)
    };
    assert_eq!(probe(wanted("10.0.0.1", None)), "10.0.0.1:8443");
    assert_eq!(probe(wanted("", None)), "127.0.0.1:8443");
    assert_eq!(probe(named("10.0.0.1", "0.0.0.0:8443")), "10.0.0.1:8443");
    assert_eq!(probe(named("192.0.2.1", "0.0.0.0:8443")), "127.0.0.1:8443");
    // A load balancer before us, with another port.
    assert_eq!(probe(named("lb.example.com", "10.0.0.1:9000")), "10.0.0.1:9000");
    assert_eq!(probe(named("192.0.2.1", "0.0.0.0:9000")), "127.0.0.1:9000");
    assert_eq!(probe(named("192.0.2.1", "[::]:9000")), "[::1]:9000");
}

#[test]
fn binds_are_those_of_consuls_listeners() {
    assert_eq!(binds(&configured(&json!({}))), ["10.0.0.1:8443"]);
    let tagged = json!({ "envoy_gateway_bind_tagged_addresses": "true" });
    assert_eq!(binds(&configured(&tagged)), ["10.0.0.1:8443", "198.18.0.1:443"]);
    let old = json!({
        "envoy_mesh_gateway_bind_tagged_addresses": "1",
        "envoy_mesh_gateway_no_default_bind": 1,
    });
    assert_eq!(binds(&configured(&old)), ["10.0.0.1:8443", "198.18.0.1:443"]);
    let named = json!({
        "envoy_gateway_no_default_bind": true,
        "envoy_gateway_bind_addresses": {
            "bar": { "Address": "2001:db8::ff", "Port": "9999" },
            "baz": { "address": "127.0.0.1", "port": 8765 },
            "foo": { "Address": "127.0.0.1", "Port": 8765 },
            "host": { "Address": "lb.example.com", "Port": 1 },
            "port": { "Address": "127.0.0.1" },
        },
    });
    let named = configured(&named);
    assert_eq!(binds(&named), ["[2001:db8::ff]:9999", "127.0.0.1:8765"]);
    let names: Vec<_> = named.not_bindable().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "port"]);
}

#[test]
fn a_definition_may_have_next_to_nothing() {
    let least = br#"{"Kind":"mesh-gateway","ID":"gw","Service":"gw","Port":4431,"Address":""}"#;
    let least = Definition::parse(least).unwrap();
    assert!(least.is_mesh_gateway());
    assert_eq!(binds(&least), ["0.0.0.0:4431"]);
    let ordinary = Definition::parse(br#"{"ID":"web","Service":"web","Proxy":{}}"#).unwrap();
    assert!(!ordinary.is_mesh_gateway());
    assert_eq!(binds(&ordinary), [""; 0], "port 0 is none");
    for garbage in ["", "[]", "{}", r#"{"ID":"a","Service":"b","Port":70000}"#] {
        assert!(Definition::parse(garbage.as_bytes()).is_err(), "{garbage}");
    }
}

#[test]
fn an_option_that_cannot_be_read_is_named_and_counts_as_absent() {
    let timeout = |value: Value| {
        let options = configured(&json!({ "connect_timeout_ms": value })).options;
        (options.connect_timeout.as_millis(), options.problems.len())
    };
    assert_eq!(timeout(json!(3000)), (3000, 0));
    assert_eq!(timeout(json!("3000")), (3000, 0));
    assert_eq!(timeout(json!(0)), (5000, 0));
    assert_eq!(timeout(json!(-1)), (5000, 0));
    assert_eq!(timeout(json!("3s")), (5000, 1));
    let mistyped = configured(&json!({
        "envoy_gateway_no_default_bind": "yes",
        "envoy_gateway_bind_addresses": { "a": "10.0.0.1:1", "b": { "Port": 2 } },
    }));
    assert_eq!(binds(&mistyped), ["10.0.0.1:8443", "0.0.0.0:2"]);
    let expected = [
        "Proxy.Config: envoy_gateway_bind_addresses.a is \"10.0.0.1:1\": expected {\"address\": \
         IP, \"port\": PORT}; it counts as absent",
        "Proxy.Config: envoy_gateway_no_default_bind is \"yes\": expected true or false; it counts \
         as absent",
    ];
    assert_eq!(mistyped.options.problems, expected);
}

#[test]
fn how_other_datacenters_are_reached_is_read() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let options = |config: Value| configured(&config).options;
    let all = options(json!({
        "envoy_dns_discovery_type": "strict_dns",
        "envoy_gateway_remote_tcp_enable_keepalive": "true",
        "envoy_gateway_remote_tcp_keepalive_time": "120",
        "envoy_gateway_remote_tcp_keepalive_interval": 60,
        "envoy_gateway_remote_tcp_keepalive_probes": 7.0,
        "envoy_prometheus_bind_addr": "0.0.0.0:9102",
    }));
    assert_eq!(all.dns_discovery, Some(DnsDiscovery::AllAddresses));
    let keepalive =
        RemoteKeepalive { idle: seconds(120), interval: seconds(60), probe_count: Some(7) };
    assert_eq!(all.remote_keepalive, Some(keepalive));
    assert_eq!(all.prometheus_bind, Some(SocketAddr::from(([0, 0, 0, 0], 9102))));
    assert_eq!(all.problems, [""; 0]);
    // Without the switch the rest says nothing; with it alone, Linux says the rest.
    let off = options(json!({ "envoy_gateway_remote_tcp_keepalive_time": 1 }));
    assert_eq!(off, Options::default());
    let alone = options(json!({ "envoy_gateway_remote_tcp_enable_keepalive": true }));
    assert_eq!(alone.remote_keepalive, Some(RemoteKeepalive::default()));

    for (config, problem) in [
        (json!({ "envoy_dns_discovery_type": "EDS" }), "is \"EDS\": expected LOGICAL_DNS or"),
        (json!({ "envoy_dns_discovery_type": 1 }), "is 1: expected LOGICAL_DNS or STRICT_DNS"),
        (
            json!({ "envoy_gateway_remote_tcp_keepalive_time": 40_000 }),
            "keepalive_time is 40000: expected seconds, at most 32767",
        ),
        (
            json!({ "envoy_gateway_remote_tcp_keepalive_probes": "many" }),
            "keepalive_probes is \"many\": expected a count, at most 127",
        ),
        (
            json!({ "envoy_prometheus_bind_addr": "localhost:1" }),
            "is \"localhost:1\": expected an IP address and a port",
        ),
        (json!({ "envoy_gateway_bind_addresses": [] }), "is []: expected a map of names"),
    ] {
        let options = options(config);
        assert_eq!(options.problems.len(), 1, "{:?}", options.problems);
        assert!(options.problems[0].contains(problem), "{:?}", options.problems);
        assert_eq!(Options { problems: Vec::new(), ..options }, Options::default());
    }
}

#[test]
fn only_another_reason_is_news() {
    let agent = || "http://127.0.0.1:8500".to_owned();
    let path = || "/v1/agent/check/update/x".to_owned();
    let status = |status| {
        let (message, advice) = ("Permission denied".to_owned(), String::new());
        RegisterError::Agent(AgentError::Status {
            agent: agent(),
            path: path(),
            status,
            message,
            advice,
        })
    };
    let cut_off = AgentError::CutOff { agent: agent(), path: path(), bytes_count: 0 };
    let refused = AgentError::Unreachable { agent: agent(), reason: "refused".to_owned() };
    let (cut_off, refused) = (RegisterError::from(cut_off), RegisterError::from(refused));
    assert!(cut_off.is_like(&refused), "an agent that goes away");
    assert!(status(403).is_like(&status(403)));
    assert!(!status(403).is_like(&status(500)));
    assert!(!status(403).is_like(&refused));
    let missing = RegisterError::NotDefined { id: "gw".to_owned() };
    assert!(!missing.is_like(&refused));
    assert!(missing.is_like(&missing.clone()));
}
