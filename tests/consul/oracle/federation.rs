//! Other datacenters, whose gateways come, change and go.

use serde_json::Value;
use sluice::consul::model::CheckServiceNode;

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::until;

use super::Oracle;
use super::generated::Generator;

const STEP_COUNT: usize = 6;
/// Of each datacenter, before each step.
const CHANGE_COUNT: usize = 4;

#[test]
fn tables_of_generated_gateways_equal_consuls() {
    let [first, second, third] = joined();
    let mut oracle = Oracle::new(&first);
    oracle.agree("no gateway yet");
    let mut generators = [(&second, Generator::new(5)), (&third, Generator::new(7))];
    let mut changes = String::new();
    let (mut host_count, mut both_count) = (0, 0);
    for step in 0..STEP_COUNT {
        for (datacenter, generator) in &mut generators {
            let change = |_| generator.change_gateways(datacenter);
            changes.extend((0..CHANGE_COUNT).map(change));
            wait_replicated(&first, datacenter);
        }
        let (_, lines) = oracle.agree(&format!("step {step}:\n{changes}"));
        host_count += usize::from(lines.iter().any(|line| line.contains("(one host)")));
        let leads_to = |datacenter: &str| {
            oracle.leads_to(&format!("{datacenter}.internal.{}", oracle.trust_domain))
        };
        both_count += usize::from(leads_to("dc2") && leads_to("dc3"));
    }
    assert!(host_count > 0 && both_count > 0, "the catalogs are too poor:\n{changes}");
    println!("figure: of {STEP_COUNT} catalogs, {host_count} with host names");
    for (datacenter, _) in &generators {
        Generator::clear(datacenter);
        wait_replicated(&first, datacenter);
    }
    let (_, lines) = oracle.agree("no gateway any more");
    assert!(!lines.iter().any(|line| line.contains("dc2") || line.contains("dc3")), "{lines:#?}");
}

/// Waits until the federation states have what is registered: they follow within 5 s.
fn wait_replicated(first: &Datacenter, other: &Datacenter) {
    let sorted = |list: &Value| {
        let list = serde_json::from_value::<Option<Vec<CheckServiceNode>>>(list.clone());
        let mut list = list.unwrap().unwrap_or_default();
        list.sort_by_cached_key(|gateway| gateway.node.name.clone());
        list
    };
    until("the federation states are up to date", || {
        let states = first.get("/v1/internal/federation-states/mesh-gateways").json();
        let registered = other.get("/v1/health/service/mesh-gateway").json();
        (sorted(&states[other.name.as_str()]) == sorted(&registered)).then_some(())
    });
}
