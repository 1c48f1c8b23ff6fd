//! Gateways of another datacenter that come, move and go.

use std::time::Instant;

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::figure::follows;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Failure, Session};
use crate::support::mesh::sluice::{Launch, Sluice, both_engines};

/// So many sessions in a row do not go through one of two equal gateways by chance.
const RUN: u32 = 12;

/// A service in dc2, whose two gateways the test registers as it likes, and gateways in dc1.
struct Lab {
    near: [Sluice; 2],
    far: [Sluice; 2],
    caller: Caller,
    web: Target,
    live: Vec<Session>,
    second: Datacenter,
    _first: Datacenter,
    _backend: Backend,
}

impl Lab {
    fn start() -> Self {
        let [first, second] = joined();
        let web = second.target("web");
        let backend = Backend::with_identity(&second.identity("web"), 1);
        second.put_sidecar("web", "web-1", backend.address);
        let caller = Caller::new(&first.identity("client"));
        let far = [("io_uring", "a"), ("epoll", "b")]
            .map(|(engine, id)| Launch::defined(&second, engine, id).start());
        let near = both_engines(&first);
        let live = Vec::new();
        Self { near, far, caller, web, live, second, _first: first, _backend: backend }
    }

    /// Waits until sessions through each gateway of dc1 go through one of dc2's, so many in a
    /// row. Live ones go on all the while.
    fn follows(&mut self, what: &str, changed: Instant, in_a_row: u32, through: usize) {
        let (caller, web, live) = (&self.caller, &self.web, &mut self.live);
        let taken = &self.far[through];
        follows(what, changed, &self.near, in_a_row, |gateway| {
            live.iter_mut().for_each(|session| session.exchange(256));
            let before = taken.count("accepted");
            caller.reach(gateway.lan, web).is_ok() && taken.count("accepted") > before
        });
    }

    fn keep_live(&mut self, through: usize) {
        for gateway in &self.near {
            let taken = &self.far[through];
            let session = std::iter::repeat_with(|| {
                let before = taken.count("accepted");
                let session = self.caller.open(gateway.lan, &self.web).unwrap();
                (taken.count("accepted") > before).then_some(session)
            });
            self.live.extend(session.flatten().next());
        }
    }

    fn all_refuse(&mut self, what: &str, changed: Instant) {
        let (caller, web, live) = (&self.caller, &self.web, &mut self.live);
        follows(what, changed, &self.near, 3, |gateway| {
            live.iter_mut().for_each(|session| session.exchange(256));
            caller.reach(gateway.lan, web).is_err_and(|failure| failure.is_unrecognized_name())
        });
    }
}

#[test]
fn all_gateways_of_a_datacenter_are_replaced_at_once() {
    let mut lab = Lab::start();
    // Each process accepts on two addresses, and so is two gateways.
    let put = |lab: &Lab, process: usize| {
        let Sluice { lan, wan, .. } = lab.far[process];
        lab.second.put_gateway(&format!("{process}-lan"), lan, lan);
        lab.second.put_gateway(&format!("{process}-wan"), lan, wan)
    };
    let changed = put(&lab, 0);
    lab.follows("two remote gateways", changed, RUN, 0);
    lab.far[0].kill();
    for id in ["0-lan", "0-wan"] {
        lab.second.deregister(id);
    }
    let changed = put(&lab, 1);
    lab.follows("all remote gateways replaced", changed, RUN, 1);
    for gateway in &lab.near {
        let endpoints = &gateway.get(&format!("/routes?sni={}", lab.web.server_name))["endpoints"];
        assert_eq!(endpoints.as_array().map(Vec::len), Some(2), "{endpoints:#}");
        let held = &gateway.get("/routes")["source"]["held"];
        assert_eq!(held.as_array().map(Vec::len), Some(0), "{held:#}");
    }
}

#[test]
fn a_gateway_of_another_datacenter_is_used_where_and_while_it_is() {
    let mut lab = Lab::start();
    let [a, b] = [0, 1].map(|index: usize| (lab.far[index].lan, lab.far[index].wan));
    lab.all_refuse("no gateway yet", Instant::now());

    let changed = lab.second.put_gateway("a", a.0, a.1);
    lab.follows("a remote gateway added", changed, 3, 0);
    lab.keep_live(0);
    let changed = lab.second.put_gateway("b", b.0, b.1);
    lab.follows("a second remote gateway", changed, 1, 1);
    lab.keep_live(1);

    lab.second.maintenance("a", true);
    lab.follows("a remote gateway turned critical", Instant::now(), RUN, 1);
    lab.second.maintenance("a", false);
    lab.follows("a remote gateway well again", Instant::now(), 1, 0);

    lab.second.deregister("b");
    lab.follows("a remote gateway removed", Instant::now(), RUN, 0);
    // The other process serves at its address still.
    let changed = lab.second.put_gateway("a", a.0, b.1);
    lab.follows("a remote gateway moved", changed, 3, 1);

    lab.second.deregister("a");
    let sni = lab.web.server_name.clone();
    for gateway in &lab.near {
        crate::support::until("the removal of all is held back", || {
            let source = &gateway.get("/routes")["source"];
            let held = source["held"].as_array()?;
            held.iter().any(|held| held.as_str().unwrap().contains("dc2")).then_some(())
        });
        lab.caller.reach(gateway.lan, &lab.web).unwrap();
        assert_eq!(gateway.routes(&["accept"]), (true, "accepted\n".to_owned()));
    }
    lab.all_refuse("the last remote gateway removed, and that accepted", Instant::now());
    for gateway in &lab.near {
        let (is_routed, told) = gateway.routes(&[&sni]);
        assert!(!is_routed && told.contains("no_gateways"), "{told}");
    }
    for session in &mut lab.live {
        session.exchange(1 << 18);
    }
    let failure = lab.caller.open(lab.near[0].lan, &lab.web).err();
    assert!(failure.as_ref().is_some_and(Failure::is_unrecognized_name), "{failure:?}");
}
