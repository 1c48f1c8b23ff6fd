//! Consul itself says what an Envoy gateway would do: on the same catalog, our table is equal,
//! name by name, endpoint by endpoint.
//!
//! Catalogs are made by seeds and changed step by step; after each step both must agree, but for
//! what `differences.toml` lists with its reason. Each of those must really occur.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice::consul::snapshot::{ConsulTable, TableOptions};

use crate::support::SOON;
use crate::support::ads::{Ads, Picture};
use crate::support::datacenter::{Datacenter, Plan};

mod differences;
mod facts;
mod federation;
mod generated;
mod golden;
mod intended;
mod sidecar;

use differences::Differences;
use facts::Facts;
use generated::Generator;

const GATEWAY: &str = "the-gateway";
/// Consul brings changes of a proxy's together for 200 ms before it tells them.
const QUIET: Duration = Duration::from_millis(300);
/// After this long it has told everything that it will by itself.
const NUDGE_AFTER: Duration = Duration::from_millis(1500);
/// What Consul's registration says, and what the operator of ours would.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3250);

/// A gateway that Consul knows, and what it would be told.
pub struct Oracle<'a> {
    datacenter: &'a Datacenter,
    connect_timeout: Duration,
    ads: Ads,
    latest: Picture,
    trust_domain: String,
    differences: Differences,
}

impl<'a> Oracle<'a> {
    /// Registers the gateway, which leads to servers, too.
    fn new(datacenter: &'a Datacenter) -> Self {
        datacenter.register(&json!({
            "Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": GATEWAY,
            "Address": "127.0.0.1", "Port": 8443, "Meta": {"consul-wan-federation": "1"},
            "Proxy": {"Config": {
                "connect_timeout_ms": u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap(),
            }},
        }));
        Self { connect_timeout: CONNECT_TIMEOUT, ..Self::beside(datacenter, GATEWAY) }
    }

    /// Asks in the name of a gateway that is registered, and which leads to servers, too.
    pub fn beside(datacenter: &'a Datacenter, id: &str) -> Self {
        let mut ads = Ads::of(datacenter, id, "mesh-gateway", None).unwrap();
        let latest = ads.next(SOON).unwrap().expect("Consul tells nothing");
        let trust_domain = datacenter.trust_domain();
        let differences = Differences::listed();
        let connect_timeout = TableOptions::default().connect_timeout;
        Self { datacenter, connect_timeout, ads, latest, trust_domain, differences }
    }

    /// Whether Consul tells an Envoy of a name.
    pub fn leads_to(&self, name: &str) -> bool {
        self.latest.routes.contains_key(name)
    }

    /// Our table of the moment.
    fn table(&self) -> ConsulTable {
        let (connect_timeout, expose_servers) = (self.connect_timeout, true);
        let options = TableOptions { connect_timeout, expose_servers, ..TableOptions::default() };
        self.datacenter.snapshot().table(&options)
    }

    /// Waits until both tables are equal but for what is listed, and stay so. Says how many
    /// names they have, and what is listed.
    pub fn agree(&mut self, on: &str) -> (usize, Vec<String>) {
        self.agree_nudged(on, || {})
    }

    /// The same. While they differ, Consul is nudged: it does not notice what makes the index of
    /// an answer go back, such as a native instance that leaves sidecars behind, nor always that
    /// the last instance of a service is gone.
    fn agree_nudged(&mut self, on: &str, mut nudge: impl FnMut()) -> (usize, Vec<String>) {
        let began = Instant::now();
        let mut nudged = began;
        loop {
            let ours = Facts::of_sluice(&self.table(), &self.trust_domain);
            let consuls = Facts::of_consul(&self.latest, &self.trust_domain);
            let lines = Facts::differences(&consuls, &ours);
            let unlisted = self.differences.unlisted(&lines);
            assert!(began.elapsed() < SOON / 2, "{on}\ndiffers in\n{}", unlisted.join("\n"));
            if !unlisted.is_empty() && nudged.elapsed() > NUDGE_AFTER {
                nudge();
                nudged = Instant::now();
            }
            match self.ads.next(QUIET) {
                Ok(Some(picture)) => self.latest = picture,
                Ok(None) if unlisted.is_empty() => return (consuls.count(), lines),
                Ok(None) => {}
                Err(status) => panic!("{on}\nConsul ends its stream: {status}"),
            }
        }
    }
}

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const STEP_COUNT: usize = 8;
/// Changes before the first step, and before each other.
const CHANGE_COUNT: [usize; 2] = [30, 6];

#[test]
fn tables_of_generated_catalogs_equal_consuls() {
    let datacenter = Plan::new("dc1").start();
    let mut oracle = Oracle::new(&datacenter);
    let (mut name_count, mut nudge_count) = (0, 0);
    for seed in SEEDS {
        let mut generator = Generator::new(seed);
        for step in 0..STEP_COUNT {
            let change = |_| generator.change(&datacenter);
            let changes: String = (0..CHANGE_COUNT[step.min(1)]).map(change).collect();
            let on = format!("step {step} of seed {seed}:\n{changes}");
            let agreed = oracle.agree_nudged(&on, || {
                nudge_count += 1;
                generator.nudge(&datacenter);
            });
            name_count = agreed.0.max(name_count);
        }
        Generator::clear(&datacenter);
    }
    assert!(name_count > 12, "at most {name_count} names: the catalogs are too poor");
    let count = SEEDS.len() * STEP_COUNT;
    println!("figure: {count} catalogs, of up to {name_count} names; {nudge_count} nudges");
}
