//! Names that lead nowhere, and a service that does not want the caller.

use rustls::AlertDescription;
use serde_json::json;

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::federation::joined;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::{Caller, Failure};
use crate::support::mesh::sluice::{Sluice, both_engines};
use crate::support::until;

/// That a gateway refuses a name with an alert, counts why, and says so to who asks.
fn is_refused(gateway: &Sluice, caller: &Caller, server_name: &str, reason: &str, sentence: &str) {
    let target = Target { server_name: server_name.to_owned(), id: String::new() };
    let before = gateway.refused(reason);
    let failure = caller.open(gateway.lan, &target).err();
    assert!(failure.as_ref().is_some_and(Failure::is_unrecognized_name), "{failure:?}");
    until(reason, || (gateway.refused(reason) == before + 1).then_some(()));
    let (is_routed, told) = gateway.routes(&[server_name]);
    assert!(!is_routed, "{told}");
    let start = format!("{server_name:?} is refused ({reason}): ");
    assert!(told.starts_with(&start) && told.contains(sentence), "{told}");
}

#[test]
fn each_name_that_leads_nowhere_is_refused_with_its_reason() {
    let [first, _second] = joined();
    let caller = Caller::new(&first.identity("client"));
    let trust_domain = first.trust_domain();
    let other = "11111111-2222-3333-4444-555555555555.consul";
    for gateway in &both_engines(&first) {
        for (name, reason, sentence) in [
            (
                format!("nobody.default.dc1.internal.{trust_domain}"),
                "unknown_name",
                "no route has this server name",
            ),
            (
                format!("web.default.dc9.internal.{trust_domain}"),
                "unknown_datacenter",
                "the server name is of an unknown datacenter",
            ),
            (
                format!("web.default.dc2.internal.{trust_domain}"),
                "no_gateways",
                "the datacenter of this server name has no mesh gateways",
            ),
            (
                format!("web.default.dc1.internal.{other}"),
                "other_trust_domain",
                "the server name is of another trust domain",
            ),
            ("web.example.com".to_owned(), "unknown_name", "no route has this name"),
        ] {
            is_refused(gateway, &caller, &name, reason, sentence);
        }
    }
}

#[test]
fn names_of_a_trust_domain_that_is_no_more_are_refused() {
    let mut datacenter = Plan::new("dc1").start();
    let caller = Caller::new(&datacenter.identity("client"));
    let old = datacenter.target("web");
    let backend = Backend::with_identity(&datacenter.identity("web"), 1);
    datacenter.put_sidecar("web", "web-1", backend.address);
    let gateways = both_engines(&datacenter);
    for gateway in &gateways {
        until("the service is routed to", || caller.reach(gateway.lan, &old).ok());
    }
    // It begins anew, with another certificate authority.
    datacenter.kill();
    datacenter.forget();
    datacenter.start();
    let backend = Backend::with_identity(&datacenter.identity("web"), 2);
    datacenter.put_sidecar("web", "web-1", backend.address);
    let new = datacenter.target("web");
    assert_ne!(new.server_name, old.server_name);
    let caller_of_new = Caller::new(&datacenter.identity("client"));
    for gateway in &gateways {
        until("the name in the new trust domain", || {
            caller_of_new.reach(gateway.lan, &new).ok().filter(|tag| *tag == 2)
        });
        let sentence = "the server name is of another trust domain";
        is_refused(gateway, &caller, &old.server_name, "other_trust_domain", sentence);
    }
}

fn reach(datacenter: &Datacenter, caller: &Caller, gateway: &Sluice) -> Result<u64, Failure> {
    caller.reach(gateway.lan, &datacenter.target("web"))
}

#[test]
fn the_alert_of_a_sidecar_that_denies_passes_through() {
    let datacenter = Plan::new("dc1").start();
    let program = Backend::plain(5);
    let proxy = datacenter.proxy("web", program.address, &json!([]));
    let caller = Caller::new(&datacenter.identity("client"));
    let gateways = both_engines(&datacenter);
    for gateway in &gateways {
        until("the sidecar is routed to", || {
            reach(&datacenter, &caller, gateway).is_ok_and(|tag| tag == 5).then_some(())
        });
    }
    datacenter.intention("client", "web", "deny");
    let denied = |outcome: Result<u64, Failure>| match outcome {
        Err(Failure::Alert(alert)) => Some(alert),
        _ => None,
    };
    // Straight to the sidecar, first: what it says itself.
    let straight = until("the sidecar denies", || {
        denied(caller.reach(proxy.address, &datacenter.target("web")))
    });
    assert_eq!(straight, AlertDescription::BadCertificate);
    for gateway in &gateways {
        let refused = gateway.refused_in_all();
        assert_eq!(denied(reach(&datacenter, &caller, gateway)), Some(straight));
        assert_eq!(gateway.refused_in_all(), refused, "the gateway refused nothing");
    }
}
