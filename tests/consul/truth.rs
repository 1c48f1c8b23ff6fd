//! What Consul is told of a gateway's health is true: from its first moment to its last.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::program::{ENGINES, Launch};
use crate::support::scene::{Scene, id, register_service};
use crate::support::until;

/// From an order to the moment when Consul's catalog has what it means.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The TTL is 15 s; Consul notices within a second or two of it.
const LAPSE_TIME_MAX: Duration = Duration::from_secs(20);

/// Waits until the catalog has each of the gateways once, and a beat that holds.
fn wait_for_beats(datacenter: &Datacenter, what: &str, holds: impl Fn(&Value) -> bool) {
    datacenter.wait(what, "/v1/health/checks/mesh-gateway", |checks| {
        let checks = checks.as_array()?;
        ENGINES
            .iter()
            .all(|engine| {
                let beat = format!("sluice:{}", id(engine));
                let mut beats = checks.iter().filter(|check| check["CheckID"] == beat);
                beats.next().is_some_and(&holds) && beats.next().is_none()
            })
            .then_some(())
    });
}

fn is(status: &str) -> impl Fn(&Value) -> bool {
    move |check| check["Status"] == status
}

#[test]
fn critical_until_the_first_table_is_in() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let echo = register_service(&datacenter);
    // It may register, and see nothing.
    let token = datacenter.new_token("gateway", r#"service "mesh-gateway" { policy = "write" }"#);
    let start = |engine: &&str| {
        let launch = Launch::registered(engine, &datacenter.url(), &id(engine));
        launch.flag("--token", &token.secret).start()
    };
    let mut gateways: Vec<_> = ENGINES.iter().map(start).collect();
    wait_for_beats(&datacenter, "critical", is("critical"));
    for gateway in &gateways {
        gateway.wait_routes("it says what lacks", |routes| {
            routes["source"]["parts"].to_string().contains("lacks node:read").then_some(())
        });
        assert_eq!(gateway.readiness(), Some(503));
        echo.visit(gateway.address()).expect_err("it has no table");
    }
    for engine in ENGINES {
        // The catalog gets texts minutes later than states.
        until("the agent has the reason", || {
            let (status, why) = datacenter.agent_check(&format!("sluice:{}", id(engine)))?;
            assert_eq!(status, "critical");
            why.contains("Consul has not answered all").then_some(())
        });
    }
    wait_for_beats(&datacenter, "critical still", is("critical"));
    datacenter.set_rules("gateway", GATEWAY_RULES);
    wait_for_beats(&datacenter, "passing", is("passing"));
    for gateway in &mut gateways {
        assert_eq!(gateway.readiness(), Some(200));
        echo.visit(gateway.address()).unwrap();
    }
}

#[test]
fn critical_at_once_when_told_to_end_while_sessions_still_flow() {
    let datacenter = Plan::new("dc1").start();
    let with = |launch: Launch| launch.flag("--drain-delay", "6s").flag("--drain-timeout", "2s");
    let mut scene = Scene::start(&datacenter, &datacenter.url(), with);
    wait_for_beats(&datacenter, "passing", is("passing"));
    let told = Instant::now();
    scene.gateways.iter().for_each(|gateway| gateway.signal(Signal::SIGTERM));
    wait_for_beats(&datacenter, "critical", |check| {
        check["Status"] == "critical" && check["Output"] != ""
    });
    let time = told.elapsed();
    println!("figure: critical {} ms after SIGTERM", time.as_millis());
    assert!(time < AT_ONCE, "{time:?}");
    // New ones too: nobody who has not heard of it yet is turned away.
    scene.must_flow("before the drain delay is over");
    for gateway in &scene.gateways {
        assert_eq!(gateway.readiness(), Some(503));
    }
    scene.end_traffic();
    for gateway in &mut scene.gateways {
        assert_eq!(gateway.wait_exit(), Some(0), "{}", gateway.text());
    }
    // It stays registered, for whoever looks for what is missing.
    wait_for_beats(&datacenter, "critical to the end", is("critical"));
}

#[test]
fn killed_its_beat_lapses_and_restarted_it_takes_its_place_again() {
    let datacenter = Plan::new("dc1").start();
    let mut scene = Scene::start(&datacenter, &datacenter.url(), |launch| launch);
    wait_for_beats(&datacenter, "passing", is("passing"));
    scene.end_traffic();
    let killed = Instant::now();
    scene.gateways.iter_mut().for_each(crate::support::program::Program::kill);
    wait_for_beats(&datacenter, "the TTL lapses", |check| {
        check["Status"] == "critical" && check["Output"].as_str().unwrap().contains("TTL expired")
    });
    let time = killed.elapsed();
    println!("figure: critical {} ms after SIGKILL", time.as_millis());
    assert!(time < LAPSE_TIME_MAX, "{time:?}");
    scene.gateways.iter_mut().for_each(crate::support::program::Program::start_again);
    wait_for_beats(&datacenter, "passing again", is("passing"));
    scene.begin_traffic();
    let instances = datacenter.get("/v1/catalog/service/mesh-gateway").json();
    assert_eq!(instances.as_array().unwrap().len(), ENGINES.len(), "{instances:#}");
    scene.end_traffic();
}
