//! Three datacenters: what goes through the second one to the third.

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::figure::follows;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::{Launch, Sluice, both_engines};
use crate::support::until;

/// So many sessions in a row.
const RUN: u32 = 12;

/// A service in dc3, whose gateway the test registers as it likes, and gateways in dc2.
struct Lab {
    near: [Sluice; 2],
    far: Sluice,
    caller: Caller,
    web: Target,
    datacenters: [Datacenter; 3],
    _backend: Backend,
}

impl Lab {
    fn start() -> Self {
        let datacenters = joined();
        let [first, second, third] = &datacenters;
        let web = third.target("web");
        let backend = Backend::with_identity(&third.identity("web"), 1);
        third.put_sidecar("web", "web-1", backend.address);
        let caller = Caller::new(&first.identity("client"));
        let far = Launch::defined(third, "io_uring", "gateway").start();
        let near = both_engines(second);
        third.put_gateway("gateway", far.lan, far.wan);
        for gateway in &near {
            until("the gateway of dc3", || caller.reach(gateway.lan, &web).ok());
        }
        Self { near, far, caller, web, datacenters, _backend: backend }
    }
}

#[test]
fn requests_for_a_third_datacenter_are_forwarded_and_those_for_the_own_one_are_not() {
    let lab = Lab::start();
    for gateway in &lab.near {
        let before = lab.far.count("accepted");
        // Where gateways of other datacenters dial it.
        assert_eq!(lab.caller.reach(gateway.wan, &lab.web).unwrap(), 1);
        assert_eq!(lab.far.count("accepted"), before + 1);
    }
    let second = &lab.datacenters[1];
    second.wait("its own gateways", "/v1/internal/federation-states/mesh-gateways", |states| {
        (states["dc2"].as_array()?.len() == 2).then_some(())
    });
    let dialed = |gateway: &Sluice| gateway.count("dials");
    let before = lab.near.each_ref().map(dialed);
    for gateway in &lab.near {
        let failure = lab.caller.open(gateway.wan, &second.target("nobody")).err().unwrap();
        assert!(failure.is_unrecognized_name(), "{failure}");
    }
    assert_eq!(lab.near.each_ref().map(dialed), before, "it was sent to a gateway of dc2");
}

#[test]
fn others_go_on_without_the_primary_and_learn_of_a_gateway_that_moved() {
    let mut lab = Lab::start();
    let mut live: Vec<_> =
        lab.near.iter().map(|gateway| lab.caller.open(gateway.lan, &lab.web).unwrap()).collect();
    lab.datacenters[0].kill();
    let third = &lab.datacenters[2];
    let new = Launch::defined(third, "epoll", "another").start();
    for _ in 0..RUN {
        live.iter_mut().for_each(|session| session.exchange(4096));
        for gateway in &lab.near {
            assert_eq!(lab.caller.reach(gateway.lan, &lab.web).unwrap(), 1);
        }
    }
    let changed = third.put_gateway("gateway", new.lan, new.wan);
    follows("moved while the primary is dead", changed, &lab.near, RUN, |gateway| {
        live.iter_mut().for_each(|session| session.exchange(256));
        let before = new.count("accepted");
        lab.caller.reach(gateway.lan, &lab.web).is_ok() && new.count("accepted") > before
    });
    live.iter_mut().for_each(|session| session.exchange(1 << 18));
}
