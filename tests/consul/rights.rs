//! A token that loses a right: nothing that was there is lost, traffic goes on, and the right is
//! named wherever an operator looks.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::doctor::report::Report;
use crate::support::acl::{GATEWAY_RULES, Token};
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::hosts::free_host;
use crate::support::program::{Launch, Program};
use crate::support::scene::{SERVICE, Scene, failing, id, register_service, server_name};
use crate::support::until;

const WRITE: &str = "service \"mesh-gateway\" { policy = \"write\" }";
const SERVICES: &str = "service_prefix \"\" { policy = \"read\" }";
const NODES: &str = "node_prefix \"\" { policy = \"read\" }";
const POLICY: &str = "gateway";

/// Gateways with a route of every kind, and a second token of the same policy: with it, all is
/// asked again at once.
struct Case {
    scene: Scene,
    file: PathBuf,
    first: Token,
    second: Token,
    datacenter: Datacenter,
    _other: Datacenter,
}

impl Case {
    fn start() -> Self {
        let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
        let other = Plan::new("dc2").with_acls().joined_to(&datacenter).start();
        let echo = register_service(&datacenter);
        configure(&datacenter, echo.address);
        let at = (free_host(), 8443).into();
        other.put_gateway("far", at, at);
        let first = datacenter.new_token(POLICY, GATEWAY_RULES);
        let second = datacenter.another_token(POLICY);
        let file = datacenter.path().join("token");
        fs::write(&file, &first.secret).unwrap();
        let with = |launch: Launch| launch.path("--token-file", &file);
        let mut scene = Scene::before(echo, &datacenter.url(), with);
        let name = |service: &str| server_name(&datacenter, service);
        let trust_domain = name("").split_off(".default.dc1.internal.".len());
        for routed in [
            name(&format!("v1.{SERVICE}")),
            name("legacy"),
            format!("*.dc2.internal.{trust_domain}"),
        ] {
            scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&routed, true));
        }
        scene.forget_lines();
        Self { scene, file, first, second, datacenter, _other: other }
    }

    /// Takes rights away, and waits until the gateways have asked for everything since.
    fn leave(&mut self, rules: &str) {
        self.datacenter.set_rules(POLICY, rules);
        let secret = self.second.secret.clone();
        self.show(&secret);
    }

    /// Puts another token in the file, and waits until everything was asked with it.
    fn show(&mut self, secret: &str) {
        let before: Vec<_> = self.scene.gateways.iter().map(parts).collect();
        fs::write(&self.file, secret).unwrap();
        for (gateway, before) in self.scene.gateways.iter().zip(before) {
            until("everything is asked again", || {
                let now = parts(gateway);
                let is_new = |(now, before): (&Asked, &Asked)| {
                    now.answered > before.answered || now.failures > 0.0
                };
                now.iter().zip(&before).all(is_new).then_some(())
            });
        }
    }

    /// What was routed is routed still, and these words are where an operator looks.
    fn must_keep_all(&self, before: &[Value], told: &str, doctor: &str) {
        self.scene.must_flow("without the right");
        for (gateway, before) in self.scene.gateways.iter().zip(before) {
            assert_eq!(&gateway.table(), before, "{}", gateway.text());
            // What is held would go after a minute.
            let held = gateway.routes()["source"]["held"].clone();
            assert_eq!(held, json!([]), "{}", gateway.text());
            let (code, listing) = gateway.list(&[]);
            assert_eq!(code, Some(0));
            assert!(listing.contains(told), "{told:?} is not in\n{listing}");
        }
        for lines in self.scene.lines() {
            let count = lines.iter().filter(|line| line.text.contains(told)).count();
            assert!((1..=2).contains(&count), "{told:?} as often as it is news: {lines:#?}");
        }
        let file = self.file.to_str().unwrap();
        Report::of_consul(&self.datacenter, &["--token-file", file]).must_fail("token", doctor);
    }

    fn tables(&self) -> Vec<Value> {
        self.scene.gateways.iter().map(Program::table).collect()
    }

    /// All is well once the token has its rights again.
    fn must_heal(mut self) {
        self.datacenter.set_rules(POLICY, GATEWAY_RULES);
        let token = self.datacenter.another_token(POLICY);
        fs::write(&self.file, token.secret).unwrap();
        self.scene.wait_well("the token has its rights");
        self.datacenter.register(&self.scene.echo.sidecar_of("later"));
        let later = server_name(&self.datacenter, "later");
        self.scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&later, true));
        self.scene.end_traffic();
    }
}

/// A subset, a service behind a terminating gateway.
fn configure(datacenter: &Datacenter, at: SocketAddr) {
    datacenter.config_entry(&json!({
        "Kind": "service-resolver", "Name": SERVICE,
        "Subsets": { "v1": { "Filter": "Service.Kind == \"connect-proxy\"" } },
    }));
    datacenter.put(
        "/v1/catalog/register",
        &json!({
            "Node": "outside", "Address": "127.0.0.9",
            "Service": { "Service": "legacy", "Port": 5432 },
        }),
    );
    datacenter.register(&json!({
        "Kind": "terminating-gateway", "Name": "exit", "Port": at.port(),
        "Address": at.ip().to_string(),
    }));
    datacenter.config_entry(&json!({
        "Kind": "terminating-gateway", "Name": "exit", "Services": [{ "Name": "legacy" }],
    }));
}

/// How often a part was answered and failed.
struct Asked {
    answered: f64,
    failures: f64,
}

fn parts(gateway: &Program) -> Vec<Asked> {
    let page = gateway.page("GET", "/metrics");
    let of = |series: &str| -> Vec<f64> {
        let lines = page.lines().filter(|line| line.starts_with(series));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    };
    let answered = of("sluice_consul_part_answers_total{");
    let failures = of("sluice_consul_part_failures{");
    assert_eq!((answered.len(), failures.len()), (7, 7), "{page}");
    answered
        .into_iter()
        .zip(failures)
        .map(|(answered, failures)| Asked { answered, failures })
        .collect()
}

#[test]
fn without_node_read() {
    let mut case = Case::start();
    let before = case.tables();
    case.leave(&[WRITE, SERVICES].concat());
    let told = "the token lacks node:read on all; give it a policy with";
    case.must_keep_all(&before, told, "it lacks node:read on all");
    case.must_heal();
}

#[test]
fn without_service_read() {
    let mut case = Case::start();
    let before = case.tables();
    case.leave(&[WRITE, NODES].concat());
    let told = "the token lacks service:read on all; give it a policy with";
    case.must_keep_all(&before, told, "it lacks service:read on all");
    case.must_heal();
}

#[test]
fn without_service_write() {
    let mut case = Case::start();
    let before = case.tables();
    case.leave(&[SERVICES, NODES].concat());
    let told = "the token lacks service:write on \"mesh-gateway\"";
    case.scene.wait_routes("it says what lacks", |routes| {
        routes["source"]["registration"].as_str().unwrap().contains(told)
    });
    case.must_keep_all(&before, told, "it lacks service:write on \"mesh-gateway\"");
    let routes = case.scene.gateways[0].routes();
    assert!(failing(&routes).is_empty(), "reading needs no such right: {routes:#}");
    // The check lapses at the agent, which may not write that either: to others all is well.
    let beat = format!("sluice:{}", id("epoll"));
    until("the check lapses", || {
        (case.datacenter.agent_check(&beat)?.0 == "critical").then_some(())
    });
    let checks = case.datacenter.get("/v1/health/checks/mesh-gateway").json();
    let critical = checks.as_array().unwrap().iter().find(|check| check["Status"] != "passing");
    assert!(critical.is_none(), "{critical:?}");
    case.must_heal();
}

#[test]
fn without_any_right() {
    let mut case = Case::start();
    let before = case.tables();
    case.leave("");
    let told = "the token lacks node:read on all and service:read on all";
    let lacking = "it lacks service:write on \"mesh-gateway\" and service:read on all and \
                   node:read on all";
    case.must_keep_all(&before, told, lacking);
    case.must_heal();
}

#[test]
fn with_a_token_that_was_deleted() {
    let mut case = Case::start();
    let before = case.tables();
    case.datacenter.delete_token(&case.first);
    case.datacenter.delete_token(&case.second);
    let secret = case.second.secret.clone();
    case.show(&secret);
    let told = "it does not know the token, which was deleted or has expired";
    case.must_keep_all(&before, told, "does not know the token");
    case.must_heal();
}

#[test]
fn with_a_token_that_never_existed() {
    let mut case = Case::start();
    let before = case.tables();
    case.show("11111111-2222-3333-4444-555555555555");
    let told = "it does not know the token, which was deleted or has expired";
    case.must_keep_all(&before, told, "does not know the token");
    case.must_heal();
}
