//! Every Consul is dead, and the gateway starts.

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::Plan;
use crate::support::program::{ENGINES, Launch};
use crate::support::scene::{Scene, id, register_service, server_name};
use crate::support::until;

#[test]
fn with_a_state_it_serves_from_it_and_says_so() {
    let mut datacenter = Plan::new("dc1").start();
    let folder = datacenter.path().to_owned();
    let state = |launch: &Launch| folder.join(format!("state-{}", launch.host()));
    let mut scene = Scene::start(&datacenter, &datacenter.url(), |launch| {
        let folder = state(&launch);
        launch.path("--state-dir", &folder)
    });
    for gateway in &scene.gateways {
        let file = folder.join(format!("state-{}/sluice.state", gateway.address().ip()));
        until("its state is saved", || file.exists().then_some(()));
    }
    datacenter.kill();
    scene.must_flow("when Consul is dead");
    scene.end_traffic();
    scene.forget_lines();
    for gateway in &mut scene.gateways {
        gateway.kill();
        gateway.start_again();
        gateway.wait_ready();
        let warning = gateway.wait_line("serving from the state on disk until Consul answers");
        assert_eq!(warning.level, "WARN");
        let told = gateway.routes()["source"]["restored"].to_string();
        assert!(told.contains("s old when the gateway started"), "{told}");
        let (code, listing) = gateway.list(&[]);
        assert_eq!(code, Some(0), "{listing}");
        assert!(listing.contains("# from disk: "), "{listing}");
        assert!(listing.contains("cannot be reached"), "{listing}");
        assert_eq!(gateway.list(&[&scene.echo.name]).0, Some(0));
    }
    scene.begin_traffic();
    datacenter.start();
    scene.wait_well("Consul is back");
    for gateway in &mut scene.gateways {
        gateway.wait_line("nothing is from the state on disk any more");
        gateway.wait_routes("no state any more", |routes| {
            routes["source"]["restored"].is_null().then_some(())
        });
    }
    datacenter.register(&scene.echo.sidecar_of("later"));
    let later = server_name(&datacenter, "later");
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&later, true));
    scene.end_traffic();
    // The agent kept the registration, and has each gateway once.
    let services = datacenter.get("/v1/agent/services").json();
    let gateways = services.as_object().unwrap().values();
    assert_eq!(gateways.filter(|service| service["Kind"] == "mesh-gateway").count(), 2);
}

#[test]
fn without_a_state_it_listens_and_refuses_until_consul_is_back() {
    let mut datacenter = Plan::new("dc1").start();
    let echo = register_service(&datacenter);
    let url = datacenter.url();
    datacenter.kill();
    let start = |engine: &&str| Launch::registered(engine, &url, &id(engine)).start();
    let mut gateways: Vec<_> = ENGINES.iter().map(start).collect();
    for gateway in &mut gateways {
        until("it listens", || (gateway.readiness()? == 503).then_some(()));
        let refusal = echo.visit(gateway.address()).expect_err("there are no routes");
        assert!(refusal.contains("UnrecognisedName"), "{refusal}");
        let (code, listing) = gateway.list(&[&echo.name]);
        assert_eq!(code, Some(1), "{listing}");
        gateway.wait_line("no routes yet: every connection is refused until Consul answers");
        gateway.wait_line("cannot be reached");
        let registration = "it is not registered, and says why";
        gateway.wait_routes(registration, |routes| {
            routes["source"]["registration"]
                .as_str()?
                .contains("nobody listens there")
                .then_some(())
        });
        let lines = gateway.log();
        let empty = lines.iter().filter(|line| line.text.contains("no routes yet")).count();
        assert_eq!(empty, 1, "{lines:#?}");
    }
    datacenter.start();
    for gateway in &mut gateways {
        gateway.wait_ready();
        echo.visit(gateway.address()).unwrap();
    }
}

#[test]
fn a_state_that_is_not_the_gateways_or_damaged_is_not_served() {
    let datacenter = Plan::new("dc1").with_acls().start();
    let token = datacenter.new_token("gateway", GATEWAY_RULES).secret;
    let echo = register_service(&datacenter);
    let folder = datacenter.path().join("state");
    let launch = |id: &str, agent: &str| {
        let launch = Launch::registered(ENGINES[0], agent, id).flag("--token", &token);
        launch.path("--state-dir", &folder)
    };
    let mut first = launch("first", &datacenter.url()).start_ready();
    let file = folder.join("sluice.state");
    until("its state is saved", || file.exists().then_some(()));
    first.kill();
    let text = std::fs::read(&file).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains(&token), "a token is on disk");

    // Nobody answers at this agent's address.
    let nobody = "127.0.0.1:9";
    let mut other = launch("other", nobody).start();
    let line = other.wait_line("is of the gateway \"first\", and this one is \"other\"");
    assert_eq!(line.level, "WARN");
    until("it listens", || (other.readiness()? == 503).then_some(()));
    echo.visit(other.address()).expect_err("it serves from another's state");
    drop(other);

    let mut damaged = text.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let mut same = launch("first", nobody).start();
    assert_eq!(same.wait_line("its checksum is").level, "WARN");
    until("it listens", || (same.readiness()? == 503).then_some(()));
    drop(same);

    std::fs::write(&file, &text).unwrap();
    let mut old = launch("first", nobody).flag("--state-max-age", "1ms").start();
    assert_eq!(old.wait_line("--state-max-age").level, "WARN");
    drop(old);
    let served = launch("first", nobody).start_ready();
    assert!(served.routes()["source"]["restored"].is_string());
    echo.visit(served.address()).unwrap();
}
