//! Another datacenter, whose gateways come, change and go.

use serde_json::Value;
use sluice::consul::model::CheckServiceNode;

use crate::support::datacenter::Datacenter;
use crate::support::federation::joined;
use crate::support::until;

use super::Oracle;
use super::generated::Generator;

const STEP_COUNT: usize = 6;
const CHANGE_COUNT: usize = 6;

#[test]
fn tables_of_generated_gateways_equal_consuls() {
    let [first, second] = joined();
    let mut oracle = Oracle::new(&first);
    oracle.agree("no gateway yet");
    let mut generator = Generator::new(5);
    let mut changes = String::new();
    for step in 0..STEP_COUNT {
        let change = |_| generator.change_gateways(&second);
        changes.extend((0..CHANGE_COUNT).map(change));
        wait_replicated(&first, &second);
        oracle.agree(&format!("step {step}:\n{changes}"));
    }
    Generator::clear(&second);
    wait_replicated(&first, &second);
    let (_, lines) = oracle.agree("no gateway any more");
    assert!(!lines.iter().any(|line| line.contains("dc2")), "{lines:#?}");
}

/// Waits until the federation states have what is registered: they follow within 5 s.
fn wait_replicated(first: &Datacenter, second: &Datacenter) {
    let sorted = |list: &Value| {
        let list = serde_json::from_value::<Option<Vec<CheckServiceNode>>>(list.clone());
        let mut list = list.unwrap().unwrap_or_default();
        list.sort_by_cached_key(|gateway| gateway.node.name.clone());
        list
    };
    until("the federation states are up to date", || {
        let states = first.get("/v1/internal/federation-states/mesh-gateways").json();
        let registered = second.get("/v1/health/service/mesh-gateway").json();
        (sorted(&states["dc2"]) == sorted(&registered)).then_some(())
    });
}
