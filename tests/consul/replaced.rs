//! An Envoy gateway is replaced, and comes back, as README.md has it: no session fails meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::json;

use crate::support::SOON;
use crate::support::ads::Ads;
use crate::support::datacenter::Datacenter;
use crate::support::envoy::{Envoy, Resources};
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::mesh::backend::Backend;
use crate::support::mesh::identity::Target;
use crate::support::mesh::session::Caller;
use crate::support::mesh::sluice::{Launch, Sluice};
use crate::support::program::sluice;
use crate::support::until;

/// The usual name of a gateway, and so the id of one that is registered without more words.
const ENVOY: &str = "mesh-gateway";

/// A service in dc2 behind an Envoy gateway, which Consul tells what to do; and one who dials it
/// through a gateway of dc1.
struct Lab {
    _first: Datacenter,
    second: Datacenter,
    near: Sluice,
    envoy: Envoy,
    resources: Resources,
    /// Where the Envoy gateway accepts.
    at: SocketAddr,
    caller: Caller,
    web: Target,
    _backend: Backend,
}

impl Lab {
    fn start() -> Self {
        let [first, second] = joined();
        let web = second.target("web");
        let backend = Backend::with_identity(&second.identity("web"), 1);
        second.register(&json!({ "Name": "web", "Port": 80 }));
        second.put_sidecar("web", "web-1", backend.address);
        let at = SocketAddr::from((free_host(), 8443));
        second.put_gateway(ENVOY, at, at);
        let near = Launch::registered(&first, "epoll", "near").start();
        let mut ads = Ads::of(&second, ENVOY, ENVOY, None).unwrap();
        until("Consul tells of the service, and of dc1", || {
            let routes = ads.next(SOON).unwrap()?.routes;
            let is_led = |prefix: &str| {
                let mut found = routes.iter().filter(|(name, _)| name.starts_with(prefix));
                found
                    .next()
                    .is_some_and(|(_, leads)| leads.endpoints.iter().any(|it| it.is_healthy))
            };
            (is_led("web.") && is_led("*.dc1.")).then_some(())
        });
        let resources = Resources::of(&ads);
        let envoy = Envoy::start(&resources);
        let caller = Caller::new(&first.identity("client"));
        let lab = Self {
            _first: first,
            second,
            near,
            envoy,
            resources,
            at,
            caller,
            web,
            _backend: backend,
        };
        lab.wait_used(&[at]);
        lab
    }

    /// Waits until the gateway of dc1 dials these of dc2, and no others.
    fn wait_used(&self, expected: &[SocketAddr]) {
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        until(&format!("dc1 uses {expected:?}"), || {
            let route = self.near.get(&format!("/routes?sni={}", self.web.server_name));
            let used = route["endpoints"].as_array()?.iter().filter(|it| it["healthy"] == true);
            let mut used: Vec<&str> = used.map(|it| it["address"].as_str().unwrap()).collect();
            used.sort_unstable();
            (used == expected).then_some(())
        });
    }

    /// Envoy routes as the table here says.
    fn must_be_equal(&self, here: &[&str]) {
        let envoy = self.envoy.admin.to_string();
        let output = sluice(&[&["diff", "--envoy-admin", &envoy], here].concat());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
    }

    fn replace_and_return(&mut self) {
        let agent = self.second.url();
        // Beside it, under the same name: both are used.
        let ours = Launch::registered(&self.second, "epoll", "sluice").start();
        self.wait_used(&[self.at, ours.wan]);
        let admin = format!("{}:19000", ours.lan.ip());
        self.must_be_equal(&["--admin", &admin]);
        // Envoy is taken out, and ends once nobody uses it.
        self.second.maintenance(ENVOY, true);
        self.wait_used(&[ours.wan]);
        let active = "/stats?filter=%5Elistener%5C..*downstream_cx_active";
        until("Envoy has no session", || {
            let page = self.envoy.page(active);
            let mut lines = page.lines().filter(|line| !line.contains("admin"));
            lines.all(|line| line.ends_with(": 0")).then_some(())
        });
        // And back: it is compared again with what the agent says, and taken in.
        self.envoy = Envoy::start(&self.resources);
        self.must_be_equal(&["--admin", "off", "--http-addr", &agent]);
        self.second.maintenance(ENVOY, false);
        self.wait_used(&[self.at, ours.wan]);
        let mut ours = ours;
        ours.terminate();
        self.wait_used(&[self.at]);
    }
}

#[test]
fn an_envoy_gateway_is_replaced_and_comes_back_without_a_failed_session() {
    let mut lab = Lab::start();
    let (caller, near, web) = (lab.caller.clone(), lab.near.lan, lab.web.clone());
    let (ends, count) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let (ends, count) = (&ends, &count);
        let dialing = scope.spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                caller.reach(near, &web).unwrap_or_else(|failure| panic!("{failure}"));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let replaced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lab.replace_and_return();
        }));
        ends.store(true, Ordering::Relaxed);
        dialing.join().unwrap();
        replaced.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let count = count.into_inner();
    println!("figure: {count} sessions while an Envoy gateway was replaced, none failed");
    assert!(count > 20, "{count}");
}
