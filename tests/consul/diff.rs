//! `sluice diff`: our table against a real Envoy, which Consul told what a gateway in our place is
//! told. Equal at first; then with every kind of difference, each planted in what Envoy has.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::SOON;
use crate::support::ads::{Ads, Destination, Picture};
use crate::support::datacenter::Datacenter;
use crate::support::envoy::{Envoy, Resources};
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::program::{Launch, Program, sluice};
use crate::support::until;

/// What a comparison said, and its exit code.
#[derive(Debug)]
struct Compared {
    code: Option<i32>,
    json: Value,
}

impl Compared {
    fn of(words: &[&str]) -> Self {
        let output = sluice(&[&["diff", "--json"], words].concat());
        let json = serde_json::from_slice(&output.stdout);
        let json = json.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self { code: output.status.code(), json }
    }

    /// What of all names differs, or is noted: `aspect: Envoy …; here …`.
    fn lines(&self, of: &str) -> Vec<String> {
        let findings = self.json[of].as_array().unwrap().iter();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let line = |it: &Value| {
            format!(
                "{}: Envoy {}; here {}",
                text(it, "aspect"),
                text(it, "envoy"),
                text(it, "here")
            )
        };
        findings.map(line).collect()
    }
}

/// A gateway of ours in dc1, what Consul tells an Envoy beside it, and that Envoy.
struct Lab {
    first: Datacenter,
    second: Datacenter,
    gateway: Program,
    resources: Resources,
    envoy: Envoy,
    trust_domain: String,
}

/// Names of services, subsets, servers and datacenters.
const ROUTE_COUNT: usize = 9;
/// Where the instances of `web` are.
const WEB: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), port)
}

fn put_services(datacenter: &Datacenter) {
    for (service, port) in [("web", 80), ("UPPER", 81)] {
        datacenter.register(&json!({ "Name": service, "Port": port }));
    }
    for (id, host) in [("web-1", WEB[0]), ("web-2", WEB[1])] {
        let more = json!({ "Meta": { "version": id }, "Weights": { "Passing": 3, "Warning": 1 } });
        datacenter.put_sidecar_with("web", id, address(host, 21_000), more);
    }
    datacenter.check("service:web-2", "fail");
    datacenter.put_sidecar("UPPER", "upper-1", address("10.0.0.3", 21_000));
    datacenter.config_entry(&json!({
        "Kind": "service-resolver", "Name": "web", "ConnectTimeout": "8s",
        "Subsets": { "v1": { "Filter": "Service.Meta.version == `web-1`" } },
    }));
}

impl Lab {
    /// `far`: where the gateway of dc2 is dialed.
    fn start(far: &str) -> Self {
        let [first, second] = joined();
        put_services(&first);
        second.register(&json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "Address": "10.2.0.1", "Port": 8443,
            "TaggedAddresses": { "wan": { "Address": far, "Port": 443 } },
        }));
        let gateway = Launch::registered("epoll", &first.url(), "ours").word("--expose-servers");
        let gateway = gateway.start_ready();
        first.register(&json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": "theirs",
            "Address": free_host().to_string(), "Port": 8443,
            "Meta": { "consul-wan-federation": "1" },
        }));
        let trust_domain = first.trust_domain();
        let dc2 = format!("*.dc2.internal.{trust_domain}");
        gateway.wait_routed(&dc2, true);
        let mut ads = Ads::of(&first, "theirs", "mesh-gateway", None).unwrap();
        let is_whole = |Picture { routes, .. }: &Picture| {
            let is_well = |leads: &Destination| leads.endpoints.iter().all(|it| it.is_healthy);
            let critical = routes.iter().filter(|(_, leads)| !is_well(leads));
            let critical: Vec<&str> = critical.map(|(name, _)| name.as_str()).collect();
            let all_lead = routes.values().all(|leads| !leads.endpoints.is_empty());
            let web = routes.iter().find(|(name, _)| name.starts_with("web."));
            let is_told = web.is_some_and(|(name, web)| {
                critical == [name] && web.endpoints.len() == 2 && web.connect_timeout.as_secs() == 8
            });
            is_told && all_lead && routes.len() == ROUTE_COUNT
        };
        until("Consul tells everything", || {
            is_whole(&ads.next(SOON).unwrap().expect("it tells no more")).then_some(())
        });
        let resources = Resources::of(&ads);
        let envoy = Envoy::start(&resources);
        Self { first, second, gateway, resources, envoy, trust_domain }
    }

    fn name(&self, service: &str) -> String {
        format!("{service}.default.dc1.internal.{}", self.trust_domain)
    }

    /// Compares with the table of the gateway.
    fn compared(&self) -> Compared {
        let (envoy, admin) = (self.envoy.admin.to_string(), self.admin());
        Compared::of(&["--envoy-admin", &envoy, "--admin", &admin])
    }

    /// Waits until nothing differs.
    fn wait_equal(&self) -> Compared {
        let began = Instant::now();
        loop {
            let compared = self.compared();
            if compared.code == Some(0) {
                return compared;
            }
            assert!(began.elapsed() < SOON, "never equal: {:#?}", compared.lines("differences"));
        }
    }

    fn admin(&self) -> String {
        Launch::admin(self.gateway.address().ip().to_string().parse().unwrap())
    }

    /// Envoy has this planted, and nothing else differs; the names that do.
    fn differs(&mut self, plant: impl FnOnce(&mut Resources), expected: &[&str]) -> Vec<String> {
        let mut resources = self.resources.clone();
        plant(&mut resources);
        assert_ne!(resources, self.resources, "nothing is planted for {expected:?}");
        self.envoy.set(&resources);
        let compared = until(&format!("{expected:?}"), || {
            let compared = self.compared();
            (compared.lines("differences") == expected).then_some(compared)
        });
        assert_eq!(compared.code, Some(1), "{compared:#?}");
        assert_eq!(compared.json["is_equal"], false);
        let names = compared.json["differences"][0]["names"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn an_envoy_that_consul_configures_is_equal_and_every_planted_difference_is_found() {
    let mut lab = Lab::start("198.18.2.1");
    let equal = lab.wait_equal();
    let upper = format!("UPPER.default.dc1.internal.{}", lab.trust_domain);
    let spelling = format!("spelling: Envoy {upper}; here {}", upper.to_lowercase());
    let notes = [
        "policy: Envoy round_robin; here least_connections",
        "panic threshold: Envoy 50 %; here 0 %",
        "connection limit: Envoy 1024 connections; here none",
        &spelling,
    ];
    assert_eq!(equal.lines("differences"), [""; 0]);
    assert_eq!(equal.lines("notes"), notes);
    let all = equal.json["notes"][0]["names"].as_array().unwrap();
    assert_eq!(all.len(), ROUTE_COUNT, "{equal:#?}");
    // As before there is a gateway of ours: what the agent says is compared.
    let (envoy, url) = (lab.envoy.admin.to_string(), lab.first.url());
    let agent = ["--envoy-admin", &envoy, "--admin", "off", "--http-addr", &url];
    let of_agent = Compared::of(&[&agent[..], &["--proxy-id", "theirs"]].concat());
    assert_eq!((of_agent.code, of_agent.lines("differences")), (Some(0), vec![]), "{of_agent:#?}");

    // What we tell in Envoy's shape is what we have, down to what is only a note of an Envoy.
    let admin = lab.admin();
    let own = Compared::of(&["--envoy-admin", &admin, "--admin", &admin]);
    assert_eq!((own.code, own.lines("differences")), (Some(0), vec![]), "{own:#?}");
    assert_eq!(own.lines("notes"), [""; 0]);

    plant_routes(&mut lab);
    plant_clusters(&mut lab);
    plant_endpoints(&mut lab);
    people_read_it(&lab);

    lab.envoy.set(&lab.resources);
    lab.wait_equal();
}

fn plant_routes(lab: &mut Lab) {
    let (web, ghost) = (lab.name("web"), lab.name("ghost"));
    let dc2 = format!("*.dc2.internal.{}", lab.trust_domain);
    let is_of_dc2 =
        |chain: &Value| chain["filter_chain_match"]["server_names"] == json!([dc2.clone()]);
    let names = lab.differs(
        |envoy| envoy.chains().retain(|chain| !is_of_dc2(chain)),
        &["route: Envoy nothing; here leads to 1 endpoint"],
    );
    assert_eq!(names, [dc2.as_str()]);
    let names = lab.differs(
        |envoy| envoy.clusters.retain(|cluster| cluster["name"] != web.as_str()),
        &["route: Envoy nothing; here leads to 2 endpoints"],
    );
    assert_eq!(names, [web.as_str()]);
    let names = lab.differs(
        |envoy| {
            let mut more = envoy.cluster(&web).clone();
            more["name"] = ghost.as_str().into();
            envoy.clusters.push(more);
        },
        &["route: Envoy leads to 0 endpoints; here nothing"],
    );
    assert_eq!(names, [ghost]);
    let there = format!("dc2.internal.{}", lab.trust_domain);
    let upper = format!("UPPER.default.dc1.internal.{}", lab.trust_domain);
    let cluster = format!("cluster: Envoy {upper}; here {there}");
    let names = lab.differs(
        |envoy| {
            let chain = envoy.chains().iter_mut().find(|chain| is_of_dc2(chain)).unwrap();
            chain["filters"][0]["typed_config"]["cluster"] = upper.as_str().into();
        },
        &[
            &cluster,
            "endpoint 10.0.0.3:21000: Envoy weight 1 healthy; here nothing",
            "endpoint 198.18.2.1:443: Envoy nothing; here weight 1 healthy",
        ],
    );
    assert_eq!(names, [dc2]);
}

fn plant_clusters(lab: &mut Lab) {
    let web = lab.name("web");
    let names = lab.differs(
        |envoy| envoy.cluster(&web)["connect_timeout"] = "5s".into(),
        &["timeout: Envoy 5s; here 8s"],
    );
    assert_eq!(names, [web.as_str()]);
    lab.differs(
        |envoy| envoy.cluster(&web)["lb_policy"] = "RANDOM".into(),
        &["policy: Envoy random; here least_connections"],
    );
    // Host names where there is an address.
    let dc2 = format!("dc2.internal.{}", lab.trust_domain);
    let names = lab.differs(
        |envoy| {
            let cluster = envoy.cluster(&dc2);
            cluster["type"] = "STRICT_DNS".into();
            cluster["load_assignment"] = json!({ "cluster_name": dc2, "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": { "socket_address": {
                    "address": "localhost", "port_value": 443 }}}}],
            }]});
        },
        &["endpoint localhost:443: Envoy weight 1 healthy; \
           here none of its addresses (127.0.0.1:443)"],
    );
    assert_eq!(names.len(), 2, "{names:?}");
    lab.differs(
        |envoy| {
            let cluster = envoy.cluster(&web);
            cluster["type"] = "ORIGINAL_DST".into();
            cluster["lb_policy"] = "CLUSTER_PROVIDED".into();
        },
        &[
            "discovery: Envoy ORIGINAL_DST; here addresses and host names",
            "policy: Envoy cluster_provided; here least_connections",
            "endpoint 10.0.0.1:21000: Envoy nothing; here weight 3 healthy",
            "endpoint 10.0.0.2:21000: Envoy nothing; here weight 3 unhealthy",
        ],
    );
}

fn plant_endpoints(lab: &mut Lab) {
    let v1 = lab.name("v1.web");
    let names = lab.differs(
        |envoy| {
            let at = &mut envoy.endpoint(&v1)["endpoint"]["address"]["socket_address"];
            at["port_value"] = 9.into();
        },
        &[
            "endpoint 10.0.0.1:21000: Envoy nothing; here weight 3 healthy",
            "endpoint 10.0.0.1:9: Envoy weight 3 healthy; here nothing",
        ],
    );
    assert_eq!(names, [v1.as_str()]);
    lab.differs(
        |envoy| envoy.endpoint(&v1)["health_status"] = "UNHEALTHY".into(),
        &["endpoint 10.0.0.1:21000: Envoy weight 3 unhealthy; here weight 3 healthy"],
    );
    lab.differs(
        |envoy| envoy.endpoint(&v1)["load_balancing_weight"] = 7.into(),
        &["endpoint 10.0.0.1:21000: Envoy weight 7 healthy; here weight 3 healthy"],
    );
}

/// The last planted difference, as a person is told.
fn people_read_it(lab: &Lab) {
    let (envoy, admin) = (lab.envoy.admin.to_string(), lab.admin());
    let output = sluice(&["diff", "--envoy-admin", &envoy, "--admin", &admin]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with(&format!("Envoy at http://{envoy}: 9 names\n")), "{text}");
    let expected = format!(
        "DIFFERS  endpoint 10.0.0.1:21000: Envoy weight 7 healthy; here weight 3 healthy\n\
         \x20        {}",
        lab.name("v1.web")
    );
    assert!(text.contains(&expected) && text.contains("\nnote     policy: "), "{text}");
    assert!(text.ends_with("1 difference, but for what is meant (4 notes)\n"), "{text}");
}

#[test]
fn host_names_of_gateways_are_compared_by_their_addresses() {
    let lab = Lab::start("localhost");
    let compared = lab.wait_equal();
    assert_eq!(compared.lines("differences"), [""; 0]);
    // An address beside it counts here, and Envoy is not told of it.
    lab.second.put_gateway("another", address("10.2.0.2", 8443), address("198.18.2.2", 443));
    let note = "endpoint 198.18.2.2:443: Envoy nothing; here weight 1 healthy".to_owned();
    until("the other gateway is noted", || {
        let compared = lab.compared();
        (compared.lines("notes").contains(&note) && compared.code == Some(0)).then_some(())
    });
}
