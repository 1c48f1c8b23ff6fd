//! Two secondaries whose primary is dead. Federation states come through the primary, so that each
//! learns of the other one's gateways only by asking there, through these gateways themselves.

use std::time::Instant;

use serde_json::Value;

use super::{Servers, exposing, writes};
use crate::support::datacenter::Plan;
use crate::support::federation::wait_joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::Sluice;
use crate::support::scene::server_name;
use crate::support::until;

/// Where a gateway dials for a name.
fn dialed(gateway: &Sluice, name: &str) -> Vec<String> {
    let answer = gateway.get(&format!("/routes?sni={name}"));
    let endpoints = answer["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut addresses: Vec<_> =
        endpoints.iter().map(|it| it["address"].as_str().unwrap().to_owned()).collect();
    addresses.sort_unstable();
    addresses
}

/// Waits until a gateway dials exactly these, and prints how long that took.
fn wait_dialed(what: &str, gateway: &Sluice, name: &str, others: &[&Sluice]) {
    let began = Instant::now();
    let mut expected: Vec<_> = others.iter().map(|other| other.wan.to_string()).collect();
    expected.sort_unstable();
    until(what, || (dialed(gateway, name) == expected).then_some(()));
    println!("figure: {what}: {:?}", began.elapsed());
}

#[test]
fn gateways_that_take_over_are_learned_of_without_the_primary_and_others_once_it_is_back() {
    // Whoever joins tells the others within a second, through their gateways; or a minute later.
    let mut servers = Servers::start();
    let [_near, ours] = servers.join();
    let primary = (&servers.first, &[servers.near.wan()][..]);
    let third = Plan::new("dc3").behind_gateways(Some(primary)).start();
    let mut old = exposing(&third, "epoll", "old").start();
    wait_joined(&[&servers.first, &servers.second, &third]);
    let Servers { first, second, .. } = &mut servers;
    let name = server_name(&third, "web");
    wait_dialed("the gateway of dc3 is known", &ours, &name, &[&old]);
    for [here, there] in [[&*second, &third], [&third, second]] {
        until(&format!("{} reaches {}", here.name, there.name), || {
            writes(here, "/v1/kv/any", there, &Value::from(1)).then_some(())
        });
    }
    let backend = Backend::with_identity(&third.identity("web"), 1);
    third.put_sidecar("web", "web-1", backend.address);
    let (caller, web) = (Caller::new(&second.identity("client")), third.target("web"));
    until("a service of dc3", || caller.reach(ours.lan, &web).ok());

    first.kill();
    let mut new = exposing(&third, "io_uring", "new").start();
    wait_dialed("another gateway of dc3, while the primary is dead", &ours, &name, &[&old, &new]);
    old.terminate();
    third.deregister("old");
    wait_dialed("the old one leaves", &ours, &name, &[&new]);
    assert!(caller.reach(ours.lan, &web).is_ok());
    until("dc2 reaches dc3", || {
        writes(second, "/v1/kv/any", &third, &Value::from(2)).then_some(())
    });

    // Nothing leads to dc3 any more by which it could be asked.
    new.kill();
    third.deregister("new");
    let newest = exposing(&third, "epoll", "newest").start();
    assert_eq!(dialed(&ours, &name), [new.wan.to_string()]);
    first.start();
    wait_dialed("once the primary is back", &ours, &name, &[&newest]);
    until("a service of dc3", || caller.reach(ours.lan, &web).ok());
}
