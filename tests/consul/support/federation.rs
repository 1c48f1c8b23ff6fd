//! Datacenters that are joined over WAN.

use super::datacenter::{Datacenter, Plan};

/// As many as are asked for: dc1, which is the primary, dc2 and so on. Each knows all, and all
/// have one trust domain.
pub fn joined<const COUNT: usize>() -> [Datacenter; COUNT] {
    let mut all: Vec<Datacenter> = Vec::new();
    for number in 1..=COUNT {
        let plan = Plan::new(&format!("dc{number}"));
        all.push(match all.first() {
            Some(primary) => plan.joined_to(primary).start(),
            None => plan.start(),
        });
    }
    wait_joined(&all.iter().collect::<Vec<_>>());
    all.try_into().ok().expect("as many as were asked for")
}

/// Waits until each of these knows all, and trusts what the first one does.
pub fn wait_joined(all: &[&Datacenter]) {
    for datacenter in all {
        datacenter.wait("all datacenters", "/v1/catalog/datacenters", |names| {
            (names.as_array()?.len() >= all.len()).then_some(())
        });
    }
    let expected = all[0].trust_domain();
    for datacenter in all {
        datacenter.wait("one trust domain", "/v1/connect/ca/roots", |roots| {
            (roots["TrustDomain"] == expected.as_str()).then_some(())
        });
    }
}
