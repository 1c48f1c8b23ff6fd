//! Services that come, move and go.

use std::time::{Duration, Instant};

use rustls::AlertDescription;
use serde_json::json;

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::black_hole::BlackHole;
use crate::support::mesh::figure::follows;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Failure, Session};
use crate::support::mesh::sluice::{Sluice, both_engines};

/// A datacenter with a gateway for each engine, and one who dials.
struct Lab {
    gateways: [Sluice; 2],
    caller: Caller,
    datacenter: Datacenter,
}

impl Lab {
    fn start() -> Self {
        let datacenter = Plan::new("dc1").start();
        let caller = Caller::new(&datacenter.identity("client"));
        Self { gateways: both_engines(&datacenter), caller, datacenter }
    }

    fn reach(&self, gateway: &Sluice, target: &Target) -> Result<u64, Failure> {
        self.caller.reach(gateway.lan, target)
    }

    fn is_refused(&self, gateway: &Sluice, target: &Target) -> bool {
        self.reach(gateway, target).is_err_and(|failure| failure.is_unrecognized_name())
    }

    fn live(&self, target: &Target) -> Vec<Session> {
        let open = |gateway: &Sluice| self.caller.open(gateway.lan, target).unwrap();
        self.gateways.iter().map(open).collect()
    }
}

#[test]
fn a_service_is_routed_once_registered_moved_and_deregistered() {
    let lab = Lab::start();
    let web = lab.datacenter.target("web");
    let identity = lab.datacenter.identity("web");
    let [first, second] = [1, 2].map(|tag| Backend::with_identity(&identity, tag));
    for gateway in &lab.gateways {
        assert!(lab.is_refused(gateway, &web), "nobody registered it yet");
    }

    let changed = lab.datacenter.put_sidecar("web", "web-1", first.address);
    follows("a service registered", changed, &lab.gateways, 3, |gateway| {
        lab.reach(gateway, &web).is_ok_and(|tag| tag == 1)
    });
    let mut live = lab.live(&web);

    let changed = lab.datacenter.put_sidecar("web", "web-1", second.address);
    follows("a service moved", changed, &lab.gateways, 3, |gateway| {
        live.iter_mut().for_each(|session| session.exchange(4096));
        lab.reach(gateway, &web).unwrap() == 2
    });

    lab.datacenter.deregister("web-1");
    follows("a service deregistered", Instant::now(), &lab.gateways, 3, |gateway| {
        live.iter_mut().for_each(|session| session.exchange(4096));
        lab.is_refused(gateway, &web)
    });
    for session in &mut live {
        session.exchange(1 << 20);
    }
}

#[test]
fn a_native_service_is_routed_to_where_it_listens() {
    let lab = Lab::start();
    let target = lab.datacenter.target("native");
    let backend = Backend::with_identity(&lab.datacenter.identity("native"), 7);
    lab.datacenter.register(&json!({
        "Name": "native", "Connect": { "Native": true },
        "Address": backend.address.ip().to_string(), "Port": backend.address.port(),
    }));
    follows("a native service registered", Instant::now(), &lab.gateways, 3, |gateway| {
        lab.reach(gateway, &target).is_ok_and(|tag| tag == 7)
    });
    let mut live = lab.live(&target);
    lab.datacenter.deregister("native");
    follows("a native service deregistered", Instant::now(), &lab.gateways, 3, |gateway| {
        live.iter_mut().for_each(|session| session.exchange(4096));
        lab.is_refused(gateway, &target)
    });
}

#[test]
fn the_connect_timeout_of_a_resolver_counts() {
    let lab = Lab::start();
    let target = lab.datacenter.target("slow");
    let hole = BlackHole::at((free_host(), 21_000).into());
    lab.datacenter.put_sidecar("slow", "slow-1", hole.address);
    let hasty = lab.caller.patient_for(Duration::from_millis(400));
    // Without a resolver it would take 5 s until the caller hears that nobody answers.
    let gives_up = |gateway: &Sluice| {
        let failure = hasty.reach(gateway.lan, &target).err();
        matches!(failure, Some(Failure::Alert(AlertDescription::InternalError)))
    };
    for gateway in &lab.gateways {
        assert!(!gives_up(gateway), "it has given up already");
    }
    let resolver = json!({ "Kind": "service-resolver", "Name": "slow", "ConnectTimeout": "100ms" });
    lab.datacenter.config_entry(&resolver);
    follows("a connect timeout set", Instant::now(), &lab.gateways, 1, gives_up);
}
