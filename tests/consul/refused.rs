//! What keeps a gateway from being registered, and what its operator reads.

use serde_json::json;
use sluice::consul::agent::AgentFlags;
use sluice::consul::register::{Health, RegisterError, Registration, preflight};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::{Gateway, NAME, client, client_of, owned, wait_for, wanted};
use crate::support::hosts::free_host;
use crate::support::program::{Launch, Program};
use crate::support::until;

fn refusal(datacenter: &Datacenter, registration: &Registration) -> RegisterError {
    let client = client(datacenter, AgentFlags::default());
    wait_for(preflight(&client, registration)).expect_err("it was not refused")
}

#[test]
fn an_id_of_another_kind_is_not_taken() {
    let datacenter = Plan::new("dc1").start();
    datacenter.register(&json!({ "Name": "web", "ID": NAME, "Port": 80 }));
    let before = datacenter.service(NAME);
    let gateway = Gateway::start(&datacenter);
    let reason = gateway.wait_failing();
    let expected = "the Consul agent has an ordinary service with the id \"mesh-gateway\", which \
         this gateway does not replace: choose another with --proxy-id or --service, or remove it \
         with `consul services deregister -id=mesh-gateway`";
    assert_eq!(reason, expected);
    assert_eq!(datacenter.service(NAME), before, "nothing is overwritten");
    let refused = refusal(&datacenter, &owned(wanted(free_host())));
    assert!(matches!(refused, RegisterError::IdTaken { .. }), "{refused}");
    // The operator does what it says.
    datacenter.deregister(NAME);
    gateway.wait_told(&Health::Passing);
}

#[test]
fn a_name_of_another_kind_is_not_shared() {
    let datacenter = Plan::new("dc1").start();
    datacenter.register(&json!({
        "Kind": "connect-proxy", "Name": NAME, "ID": "web-proxy", "Port": 80,
        "Proxy": { "DestinationServiceName": "web" },
    }));
    datacenter.wait("it is in the catalog", &format!("/v1/catalog/service/{NAME}"), |found| {
        (found.as_array()?.len() == 1).then_some(())
    });
    let gateway = Gateway::start(&datacenter);
    let expected = "Consul has a connect-proxy named \"mesh-gateway\" on the node \"dc1-s1\", and \
         a mesh gateway of that name would be mixed up with it: choose another with --service";
    assert_eq!(gateway.wait_failing(), expected);
    assert_eq!(datacenter.service(NAME), None);
}

#[test]
fn a_definition_must_be_there_and_of_a_gateway() {
    let datacenter = Plan::new("dc1").start();
    let registration = Registration::Foreign { proxy_id: "gw".to_owned() };
    let expected = "the Consul agent knows no service with the id \"gw\": define a mesh-gateway \
         with that id there, give its id with --proxy-id, or let this gateway register itself \
         with --register";
    assert_eq!(refusal(&datacenter, &registration).to_string(), expected);
    datacenter.register(&json!({ "Kind": "ingress-gateway", "Name": "gw", "Port": 80 }));
    let expected = "the service with the id \"gw\" is an ingress-gateway, not a mesh-gateway: \
         give the id of one with --proxy-id, or set its kind where it is defined";
    assert_eq!(refusal(&datacenter, &registration).to_string(), expected);
    assert_eq!(datacenter.agent_check("sluice:gw"), None);
}

#[test]
fn without_an_agent_it_says_so() {
    let host = free_host();
    let http_addr = Some(format!("{host}:8500"));
    let client = client_of(AgentFlags { http_addr, ..AgentFlags::default() });
    let gateway = Gateway::start_as(client, host, owned(wanted(host)));
    let reason = gateway.wait_failing();
    let start = format!("the Consul agent at http://{host}:8500 cannot be reached: ");
    assert!(reason.starts_with(&start), "{reason}");
}

#[test]
fn two_gateways_of_one_id_are_told_of_each_other_and_do_not_fight() {
    let datacenter = Plan::new("dc1").start();
    let launch = || Launch::registered("epoll", &datacenter.url(), "edge");
    let mut first = launch().start_ready();
    let registered = |gateway: &Program| {
        gateway.wait_routes("it is registered", |routes| {
            (routes["source"]["registration"] == "passing").then_some(())
        });
    };
    registered(&first);
    let (old, new) = (first.address(), launch().start_ready());
    let mut second = new;
    registered(&second);
    let now = second.address();
    let line =
        second.wait_line(&format!("this gateway, at {now}, takes the place of one at {old}"));
    assert_eq!(line.level, "WARN");
    let told = format!("another gateway has registered itself as \"edge\", at {now}");
    assert_eq!(first.wait_line(&told).level, "WARN");
    first.wait_routes("it looks again, and again", |routes| {
        routes["source"]["registration"].as_str()?.contains("in 3 attempts").then_some(())
    });
    let (_, listing) = first.list(&[]);
    assert!(listing.contains(&told) && listing.contains("--proxy-id"), "{listing}");
    // It serves whoever dials it, and says so.
    assert_eq!(first.readiness(), Some(200));
    let ready = first.page("GET", "/ready");
    assert!(ready.starts_with(&format!("ready, but not registered: {told}")), "{ready}");
    assert_eq!(second.page("GET", "/ready"), "ready\n");

    // Its end says nothing of the other one's health.
    first.signal(nix::sys::signal::Signal::SIGINT);
    first.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(first.wait_exit(), Some(0), "{}", first.text());
    assert_eq!(datacenter.agent_check("sluice:edge").unwrap().0, "passing");
    let count = |gateway: &Program, text: &str| {
        gateway.log().iter().filter(|line| line.text.contains(text)).count()
    };
    assert_eq!((count(&first, &told), count(&second, "takes the place")), (1, 1));
    let service = datacenter.service("edge").unwrap();
    assert_eq!(service["Address"], now.ip().to_string(), "nobody was driven out");
}

#[test]
fn two_gateways_of_one_registration_of_others_are_told_of_each_other() {
    let datacenter = Plan::new("dc1").start();
    datacenter.register(&json!({ "Kind": "mesh-gateway", "Name": "edge", "Port": 8443 }));
    let launch = || {
        let launch = Launch::new("epoll", &datacenter.url()).flag("--proxy-id", "edge");
        let at = format!("{}:8443", launch.host());
        launch.flag("--bind", &at)
    };
    let [mut first, mut second] = [(); 2].map(|()| launch().start_ready());
    let told = |other: &Program| format!("another gateway (process {}, ", other.pid());
    let [of_first, of_second] = [told(&first), told(&second)];
    for (gateway, other) in [(&mut first, of_second), (&mut second, of_first)] {
        let line = gateway.wait_line(&other);
        assert_eq!(line.level, "WARN");
        assert!(line.text.contains("attaches its health to the service \"edge\""), "{line:?}");
        let (_, listing) = gateway.list(&[]);
        assert!(listing.contains(&other) && listing.contains("--proxy-id"), "{listing}");
        let ready = gateway.page("GET", "/ready");
        assert!(ready.starts_with(&format!("ready, but not registered: {other}")), "{ready}");
    }
    // Who goes leaves the health to who stays.
    first.signal(nix::sys::signal::Signal::SIGINT);
    first.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(first.wait_exit(), Some(0), "{}", first.text());
    until("the one that stays is heard", || {
        let (status, output) = datacenter.agent_check("sluice:edge")?;
        let signed = format!("(process {}, ", second.pid());
        (status == "passing" && output.contains(&signed)).then_some(())
    });
}

#[test]
fn who_took_the_place_of_another_and_goes_gives_it_back() {
    let datacenter = Plan::new("dc1").start();
    let launch = || Launch::registered("epoll", &datacenter.url(), "edge");
    let mut first = launch().start_ready();
    let mut second = launch().start_ready();
    first.wait_line("another gateway has registered itself");
    second.kill();
    datacenter.deregister("edge");
    first.wait_line("knows this gateway again");
    let service = datacenter.service("edge").unwrap();
    assert_eq!(service["Address"], first.address().ip().to_string());
    assert_eq!(first.page("GET", "/ready"), "ready\n");
}
