//! Agents and servers that go away: traffic flows on, what is wrong can be read, and all is well
//! again by itself.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::acl::GATEWAY_RULES;
use crate::support::client_agent::ClientAgent;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::program::{ENGINES, Launch};
use crate::support::scene::{Scene, failing, id, server_name};

/// How long it takes at most, after the agent is back, until it knows the gateway again and all
/// is followed: the longest pause between two attempts to register is 5 s.
const BACK_TIME_MAX: Duration = Duration::from_secs(8);
/// What is logged at most of something that goes away and comes back.
const LINE_COUNT_MAX: usize = 4;

fn start() -> (Datacenter, ClientAgent, Scene) {
    let datacenter = Plan::new("dc1").start();
    let agent = ClientAgent::start(&datacenter);
    let scene = Scene::start(&datacenter, &agent.url(), |launch| launch);
    (datacenter, agent, scene)
}

/// The gateway routes by what Consul says now, not only by what it said.
fn must_follow(datacenter: &Datacenter, scene: &Scene, service: &str) {
    datacenter.register(&scene.echo.sidecar_of(service));
    let name = server_name(datacenter, service);
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&name, true));
}

/// The catalog has the gateways, passing.
fn must_be_known(datacenter: &Datacenter) {
    for engine in ENGINES {
        let id = id(engine);
        datacenter.wait(&id, "/v1/health/service/mesh-gateway?passing", |instances| {
            let known = |instance: &serde_json::Value| instance["Service"]["ID"] == id;
            instances.as_array()?.iter().any(known).then_some(())
        });
    }
}

/// The gateway is known and follows, no session has failed, and little was logged.
fn ends_well(datacenter: &Datacenter, mut scene: Scene, line_count_max: usize) {
    must_be_known(datacenter);
    must_follow(datacenter, &scene, "later");
    for lines in scene.lines() {
        assert!(lines.len() <= line_count_max, "{lines:#?}");
    }
    scene.end_traffic();
}

/// The agent is killed and comes back, with or without what it knew.
fn kill_the_agent(with_its_data: bool) {
    let (datacenter, mut agent, mut scene) = start();
    must_be_known(&datacenter);
    agent.kill();
    let reason = format!("the Consul agent at {} cannot be reached: nobody listens", agent.url());
    scene.wait_routes("it says why", |routes| {
        let registration = routes["source"]["registration"].as_str().unwrap_or_default();
        registration.starts_with("failing") && failing(routes).iter().any(|it| it.contains(&reason))
    });
    for gateway in &scene.gateways {
        let (code, listing) = gateway.list(&[]);
        assert_eq!(code, Some(0), "{listing}");
        assert!(listing.contains(&format!("failing: {reason}")), "{listing}");
        assert!(gateway.routes()["source"]["behind_s"].is_u64(), "{listing}");
        assert_eq!(gateway.readiness(), Some(200), "it routes, and so it is ready");
    }
    scene.must_flow("while the agent is away");
    scene.must_have_logged_once(&["; the routes stay as they are", "; it is tried again"]);

    scene.forget_lines();
    if !with_its_data {
        agent.forget();
    }
    agent.start_again();
    let back = Instant::now();
    scene.wait_well("the agent is back");
    let time = back.elapsed();
    println!("figure: well {} ms after the agent (data: {with_its_data})", time.as_millis());
    assert!(time < BACK_TIME_MAX, "{time:?}");
    must_be_known(&datacenter);
    must_follow(&datacenter, &scene, "later");
    scene.must_have_logged_once(&["answers again", "knows this gateway again"]);
    scene.end_traffic();
}

#[test]
fn an_agent_is_killed_and_comes_back_with_its_data() {
    kill_the_agent(true);
}

#[test]
fn an_agent_is_killed_and_comes_back_without_its_data() {
    kill_the_agent(false);
}

#[test]
fn an_agent_stands_still_and_goes_on() {
    let (datacenter, agent, scene) = start();
    agent.pause();
    let reason = "is it stopped, or overloaded?";
    scene.wait_routes("it says why", |routes| {
        routes["source"]["registration"].as_str().is_some_and(|told| told.contains(reason))
    });
    for gateway in &scene.gateways {
        assert!(gateway.list(&[]).1.contains(reason), "{}", gateway.list(&[]).1);
    }
    scene.must_flow("while the agent stands still");
    agent.resume();
    scene.wait_well("the agent goes on");
    ends_well(&datacenter, scene, LINE_COUNT_MAX);
}

#[test]
fn the_servers_are_killed_and_come_back() {
    let (mut datacenter, agent, scene) = start();
    datacenter.kill();
    scene.wait_routes("it says why", |routes| !failing(routes).is_empty());
    scene.must_flow("while the servers are away");
    datacenter.start();
    scene.wait_well("the servers are back");
    assert!(agent.service(&id(ENGINES[0])).is_some());
    ends_well(&datacenter, scene, LINE_COUNT_MAX);
}

#[test]
fn a_token_loses_its_rights_and_gets_them_back() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let token = datacenter.new_token("gateway", GATEWAY_RULES);
    let with = |launch: Launch| launch.flag("--token", &token.secret);
    let mut scene = Scene::start(&datacenter, &datacenter.url(), with);
    let table = scene.gateways[0].table();
    // The agent now answers lists with 200 and nothing in them.
    datacenter.set_rules("gateway", "");
    // What is held is answered when something changes, and by what the token may then.
    datacenter.register(&json!({ "Name": "unrelated", "Port": 80 }));
    scene.wait_routes("it says what lacks", |routes| {
        let told = failing(routes).concat();
        told.contains("lacks node:read")
            && routes["source"]["registration"].as_str().unwrap().contains("service:write")
    });
    scene.must_flow("without any right");
    assert_eq!(scene.gateways[0].table(), table);
    for lines in scene.lines() {
        // Each part has a reason of its own, and each is told once.
        let mut texts: Vec<_> = lines.iter().map(|line| &line.text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), lines.len(), "{lines:#?}");
    }
    datacenter.set_rules("gateway", GATEWAY_RULES);
    scene.wait_well("it has its rights again");
    must_follow(&datacenter, &scene, "later");
    scene.end_traffic();
}

#[test]
fn a_token_is_deleted_and_its_file_gets_another() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let first = datacenter.new_token("gateway", GATEWAY_RULES);
    let file = datacenter.path().join("token");
    fs::write(&file, &first.secret).unwrap();
    let with = |launch: Launch| launch.path("--token-file", &file);
    let scene = Scene::start(&datacenter, &datacenter.url(), with);
    datacenter.delete_token(&first);
    scene.wait_routes("it says why", |routes| {
        let told = failing(routes).concat();
        told.contains("403 (ACL not found)")
            && told.contains("--token-file")
            && routes["source"]["registration"].as_str().unwrap().contains("ACL not found")
    });
    scene.must_flow("without a token");
    let second = datacenter.new_token("gateway-again", GATEWAY_RULES);
    fs::write(&file, &second.secret).unwrap();
    scene.wait_well("it has a token again");
    for gateway in &scene.gateways {
        let text = gateway.text() + &gateway.routes().to_string() + &gateway.list(&[]).1;
        for secret in [&first.secret, &second.secret] {
            assert!(!text.contains(secret), "a token is told");
        }
    }
    // That there is another token is told, too.
    ends_well(&datacenter, scene, LINE_COUNT_MAX + 1);
}
