//! Servers of several datacenters that reach each other through gateways alone: the addresses that
//! they tell each other are those of nobody.

mod third;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::federation::wait_joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::{Launch, Sluice};
use crate::support::program;
use crate::support::until;

/// How long the servers may be cut off by a gateway that is restarted at once.
const RESTART_TIME_MAX: Duration = Duration::from_secs(20);
/// How long services may be, when all gateways of their datacenter were replaced. It tells others
/// of its gateways at most every 5 s.
const SERVICES_TIME_MAX: Duration = Duration::from_secs(20);
/// And servers: Consul gives up a connection of theirs on which nothing comes back after 40 s.
const SERVERS_TIME_MAX: Duration = Duration::from_secs(60);
/// How long one who dials waits for what does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Servers of two datacenters, and gateways that are still to be started.
struct Servers {
    first: Datacenter,
    second: Datacenter,
    near: Launch,
    far: Launch,
}

impl Servers {
    fn start() -> Self {
        let first = Plan::new("dc1").behind_gateways(None).start();
        let near = exposing(&first, "io_uring", "gateway");
        let primary = (&first, &[near.wan()][..]);
        let second = Plan::new("dc2").behind_gateways(Some(primary)).start();
        let far = exposing(&second, "epoll", "gateway");
        Self { first, second, near, far }
    }

    /// The gateways, which join the datacenters.
    fn join(&self) -> [Sluice; 2] {
        let near = self.near.clone().start();
        wait_joined(&[&self.first, &self.second]);
        let gateways = [near, self.far.clone().start()];
        self.wait_both_ways("joined");
        gateways
    }

    /// Waits until each datacenter can write to the other one.
    fn wait_both_ways(&self, when: &str) {
        for [here, there] in [[&self.first, &self.second], [&self.second, &self.first]] {
            let value = json!(format!("{when}, from {}", here.name));
            let path = format!("/v1/kv/from-{}", here.name);
            until(&format!("{when}: {} writes to {}", here.name, there.name), || {
                writes(here, &path, there, &value).then_some(())
            });
            assert_eq!(there.get(&format!("{path}?raw")).json(), value);
        }
    }

    /// Each server knows both of them as alive.
    fn wait_alive(&self) {
        for datacenter in [&self.first, &self.second] {
            until("all servers are alive", || {
                let members = datacenter.get("/v1/agent/members?wan=1").json();
                let members = members.as_array()?;
                // serf's `StatusAlive`.
                let are_alive = members.iter().all(|member| member["Status"] == 1);
                (members.len() == 2 && are_alive).then_some(())
            });
        }
    }
}

/// A gateway to servers, on an engine, which registers itself.
fn exposing(datacenter: &Datacenter, engine: &'static str, id: &str) -> Launch {
    Launch::registered(datacenter, engine, id).word("--expose-servers")
}

fn writes(here: &Datacenter, path: &str, there: &Datacenter, value: &Value) -> bool {
    let path = format!("{path}?dc={}", there.name);
    here.ask("PUT", &path, None, value).is_some_and(|answer| answer.body.trim() == "true")
}

#[test]
fn servers_federate_through_gateways_alone() {
    let servers = Servers::start();
    let Servers { first, second, .. } = &servers;
    until("dc2 has tried to join", || second.log().contains("Join cluster failed").then_some(()));
    assert_eq!(second.get("/v1/catalog/datacenters").json(), json!(["dc2"]));
    let began = Instant::now();
    let [near, far] = servers.join();
    println!("figure: servers federated by two gateways within {:?}", began.elapsed());
    servers.wait_alive();
    // Those of one datacenter reach the other one through a gateway of their own, and each server
    // by its own name.
    for (gateway, name) in [
        (&near, "server.dc1.consul"),
        (&near, "dc1-s1.server.dc1.consul"),
        (&near, "server.dc2.consul"),
        (&far, "dc2-s1.server.dc2.consul"),
    ] {
        until(name, || (gateway.dials_of(name) > 0).then_some(()));
    }
    // While dc2 had no gateway, there was no way to its servers.
    let refused = [&near, &far].map(Sluice::refused_in_all);
    servers.wait_both_ways("no name is refused any more");
    assert_eq!([&near, &far].map(Sluice::refused_in_all), refused);
    // The same gateways lead to services.
    let backend = Backend::with_identity(&second.identity("web"), 1);
    second.register(&json!({ "Name": "web", "Port": 80 }));
    second.put_sidecar("web", "web-1", backend.address);
    let (caller, web) = (Caller::new(&first.identity("client")), second.target("web"));
    until("a service of dc2", || caller.reach(near.lan, &web).ok());
    for datacenter in [first, second] {
        let mut oracle = Oracle::beside(datacenter, "gateway");
        let (count, _) = oracle.agree("servers that federate through gateways");
        println!("figure: {}: {count} names as Consul tells an Envoy", datacenter.name);
        assert!(oracle.leads_to(&format!("{}-s1.server.{0}.consul", datacenter.name)));
        assert!(oracle.leads_to("server.dc1.consul") && oracle.leads_to("server.dc2.consul"));
    }
}

#[test]
fn a_gateway_that_is_restarted_heals_the_federation() {
    let servers = Servers::start();
    let mut gateways = servers.join();
    let launches = [&servers.near, &servers.far];
    for (gateway, launch) in gateways.iter_mut().zip(launches) {
        gateway.kill();
        let cut_off = writes(&servers.first, "/v1/kv/lost", &servers.second, &json!("lost"));
        assert!(!cut_off, "there is another way than through {}", gateway.engine);
        let began = Instant::now();
        *gateway = launch.clone().start();
        servers.wait_both_ways("restarted");
        let time = began.elapsed();
        println!("figure: federation well {time:?} after a restart on {}", gateway.engine);
        assert!(time < RESTART_TIME_MAX, "{time:?}");
        servers.wait_alive();
    }
}

/// All gateways of a datacenter go in a way, and others come.
fn replace(goes: impl FnOnce(&mut Sluice)) {
    let servers = Servers::start();
    let [near, mut far] = servers.join();
    let backend = Backend::with_identity(&servers.second.identity("web"), 1);
    servers.second.put_sidecar("web", "web-1", backend.address);
    let caller = Caller::new(&servers.first.identity("client")).patient_for(PATIENCE);
    let web = servers.second.target("web");
    until("a service of dc2", || caller.reach(near.lan, &web).ok());

    goes(&mut far);
    servers.second.deregister("gateway");
    let began = Instant::now();
    let new = ["io_uring", "epoll"]
        .map(|engine| exposing(&servers.second, engine, &format!("another-{engine}")).start());
    until("a service behind the new gateways", || caller.reach(near.lan, &web).ok());
    let time = began.elapsed();
    println!("figure: services after all gateways were replaced: {time:?}");
    assert!(time < SERVICES_TIME_MAX, "{time:?}");
    servers.wait_both_ways("replaced");
    let time = began.elapsed();
    println!("figure: servers after all gateways were replaced: {time:?}");
    assert!(time < SERVERS_TIME_MAX, "{time:?}");
    servers.wait_alive();
    drop(new);
}

#[test]
fn servers_and_services_are_reached_after_all_gateways_of_a_datacenter_were_replaced() {
    replace(Sluice::kill);
}

/// Connections through them, and the question that is held through them, are not reset.
#[test]
fn they_are_reached_after_all_gateways_vanished_without_a_word() {
    replace(|gateway| gateway.pause());
}

#[test]
fn names_of_servers_end_with_the_domain_of_the_agent_or_of_the_flag() {
    let datacenter = Plan::new("dc1").with_acls().with("domain", "mesh.example.".into()).start();
    let rules = format!("{GATEWAY_RULES}\nagent_prefix \"\" {{ policy = \"read\" }}");
    let [may_read, may_not] = [("may", rules.as_str()), ("may-not", GATEWAY_RULES)]
        .map(|(name, rules)| datacenter.new_token(name, rules).secret);
    let launch = |id: &str, token: &str| {
        let launch = program::Launch::registered("epoll", &datacenter.url(), id);
        launch.word("--expose-servers").flag("--token", token)
    };
    let told = launch("told", &may_read).start_ready();
    told.wait_routed("dc1-s1.server.dc1.mesh.example", true);
    told.wait_routed("server.dc1.mesh.example", true);
    told.wait_routed("server.dc1.consul", false);
    let mut not_told = launch("not-told", &may_not).start_ready();
    not_told.wait_routed("server.dc1.consul", true);
    not_told.wait_line("--server-domain");
    let flag = launch("flag", &may_not).flag("--server-domain", "Mesh.example").start_ready();
    flag.wait_routed("server.dc1.mesh.example", true);
    flag.wait_routed("server.dc1.consul", false);
    assert!(!flag.text().contains("agent:read"), "{}", flag.text());
    let plain = program::Launch::registered("epoll", &datacenter.url(), "plain");
    let plain = plain.flag("--token", &may_read).start_ready();
    plain.wait_routed("server.dc1.mesh.example", false);
}

#[test]
fn a_gateway_that_starts_while_consul_is_dead_leads_to_servers_by_what_it_knew() {
    let mut datacenter = Plan::new("dc1").with("domain", "mesh.example.".into()).start();
    let folder = datacenter.path().join("state");
    let launch = program::Launch::registered("epoll", &datacenter.url(), "gateway");
    let launch = launch.word("--expose-servers").path("--state-dir", &folder);
    let mut gateway = launch.start_ready();
    gateway.wait_routed("server.dc1.mesh.example", true);
    until("the domain is on disk", || {
        let state = fs::read_to_string(folder.join("sluice.state")).ok()?;
        state.contains("\"server_domain\"").then_some(())
    });
    datacenter.kill();
    gateway.kill();
    gateway.start_again();
    gateway.wait_ready();
    gateway.wait_line("serving from the state on disk");
    for name in ["server.dc1.mesh.example", "dc1-s1.server.dc1.mesh.example"] {
        assert!(program::routed(&gateway.routes(), name), "{name}: {:#}", gateway.routes());
    }
}
