//! Instances of one service: another one, and what their checks say.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::mesh::backend::Backend;
use crate::support::mesh::figure::follows;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Session};
use crate::support::mesh::sluice::{Sluice, both_engines};

/// So many sessions in a row do not reach one of two equal instances by chance.
const RUN: u32 = 16;
const A: u64 = 0xa;
const B: u64 = 0xb;

/// A service with an instance on each of two nodes, and gateways in front of it.
struct Lab {
    gateways: [Sluice; 2],
    caller: Caller,
    web: Target,
    /// One through each gateway to each instance: equal loads, until sessions end them.
    live: Vec<Session>,
    /// Where the second instance is registered.
    node: Datacenter,
    datacenter: Datacenter,
    _backends: [Backend; 2],
}

impl Lab {
    fn start() -> Self {
        let datacenter = Plan::new("dc1").start();
        let node = Plan::new("dc1").client_of(&datacenter, "dc1-c1").start();
        let (web, identity) = (datacenter.target("web"), datacenter.identity("web"));
        let caller = Caller::new(&datacenter.identity("client"));
        let backends = [A, B].map(|tag| Backend::with_identity(&identity, tag));
        let gateways = both_engines(&datacenter);
        let live = Vec::new();
        let mut lab = Self { gateways, caller, web, live, node, datacenter, _backends: backends };
        lab.register_both();
        lab
    }

    fn register_both(&mut self) {
        let [a, b] = [self._backends[0].address, self._backends[1].address];
        // While it warns, the first instance has the largest weight that there is.
        let weights = json!({ "Weights": { "Passing": 1, "Warning": 128 } });
        let changed = self.datacenter.put_sidecar_with("web", "a", a, weights);
        self.follows("a first instance", changed, 3, A);
        self.keep_live(A);
        let changed = self.node.put_sidecar("web", "b", b);
        self.follows("a second instance", changed, 1, B);
        self.keep_live(B);
    }

    /// Waits until sessions through each gateway reach an instance, so many in a row. Live ones
    /// go on all the while.
    fn follows(&mut self, what: &str, changed: Instant, in_a_row: u32, tag: u64) {
        let (caller, web, live) = (&self.caller, &self.web, &mut self.live);
        follows(what, changed, &self.gateways, in_a_row, |gateway| {
            live.iter_mut().for_each(|session| session.exchange(256));
            caller.reach(gateway.lan, web).is_ok_and(|reached| reached == tag)
        });
    }

    fn keep_live(&mut self, tag: u64) {
        for gateway in &self.gateways {
            let session = std::iter::repeat_with(|| self.caller.open(gateway.lan, &self.web))
                .map(Result::unwrap)
                .find(|session| session.tag == tag);
            self.live.extend(session);
        }
    }

    /// One instance is not to be reached after a change, and is again after another.
    fn leaves_and_returns(
        &mut self,
        what: &str,
        tag: u64,
        change: impl Fn(&Datacenter, &Datacenter, bool),
    ) {
        let other = if tag == A { B } else { A };
        change(&self.datacenter, &self.node, true);
        self.follows(what, Instant::now(), RUN, other);
        change(&self.datacenter, &self.node, false);
        self.follows(&format!("{what}, and well again"), Instant::now(), 1, tag);
    }
}

#[test]
fn checks_and_maintenance_of_instances_count() {
    let mut lab = Lab::start();
    let verb = |is_bad| if is_bad { "fail" } else { "pass" };
    lab.leaves_and_returns("a critical instance", A, |datacenter, _, is_bad| {
        datacenter.check("service:a", verb(is_bad));
    });
    lab.leaves_and_returns("an instance in maintenance", A, |datacenter, _, is_bad| {
        datacenter.maintenance("a", is_bad);
    });
    lab.leaves_and_returns("a node in maintenance", B, |_, node, is_bad| {
        node.node_maintenance(is_bad);
    });

    lab.datacenter.check("service:a", "warn");
    lab.follows("an instance that warns, with its weight", Instant::now(), 10, A);
    for gateway in &lab.gateways {
        let answer = gateway.get(&format!("/routes?sni={}", lab.web.server_name));
        let weights: Vec<&Value> =
            answer["endpoints"].as_array().unwrap().iter().map(|at| &at["weight"]).collect();
        assert!(weights.contains(&&json!(128)) && weights.contains(&&json!(1)), "{answer:#}");
    }
    lab.datacenter.check("service:a", "pass");
    lab.follows("an instance that no longer warns", Instant::now(), 1, B);

    lab.node.deregister("b");
    lab.follows("an instance deregistered", Instant::now(), RUN, A);
    for session in &mut lab.live {
        session.exchange(1 << 18);
    }
}
