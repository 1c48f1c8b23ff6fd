use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Freed, Interner, Usage};
use crate::route::{ClusterId, EndpointId};

const GRACE: Duration = Duration::from_secs(60);

/// What workers say, set by hand.
#[derive(Default)]
struct Said {
    adopted: Cell<u64>,
    busy_cluster: Cell<Option<ClusterId>>,
    busy_endpoint: Cell<Option<EndpointId>>,
}

impl Usage for Said {
    fn adopted_version(&self) -> u64 {
        self.adopted.get()
    }
    fn is_cluster_idle(&self, id: ClusterId) -> bool {
        self.busy_cluster.get() != Some(id)
    }
    fn is_endpoint_idle(&self, id: EndpointId) -> bool {
        self.busy_endpoint.get() != Some(id)
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// Interns clusters of one endpoint each.
fn table(interner: &mut Interner, version: u64, keys: &[&str]) -> Vec<(ClusterId, EndpointId)> {
    interner.begin(version);
    let ids = keys.iter().map(|key| {
        let cluster = interner.cluster(key);
        (cluster, interner.endpoint(cluster, address(443)))
    });
    let ids = ids.collect();
    interner.finish();
    ids
}

#[test]
fn an_id_is_free_after_adoption_idleness_and_grace_and_not_before() {
    let mut interner = Interner::default();
    let (cluster, endpoint) = table(&mut interner, 1, &["a"])[0];
    table(&mut interner, 2, &["b"]);
    let said = Said::default();
    let start = Instant::now();
    let nothing = Freed::default();
    let directory = interner.directory();

    said.adopted.set(1);
    assert_eq!(interner.reclaim(&said, start + 9 * GRACE, GRACE), nothing, "not adopted");
    said.adopted.set(2);
    said.busy_endpoint.set(Some(endpoint));
    assert_eq!(interner.reclaim(&said, start + 10 * GRACE, GRACE), nothing, "still connected");
    said.busy_endpoint.set(None);
    said.busy_cluster.set(Some(cluster));
    let idle = start + 20 * GRACE;
    assert_eq!(interner.reclaim(&said, idle, GRACE), nothing, "grace begins now");
    let almost = idle + GRACE - Duration::from_nanos(1);
    assert_eq!(interner.reclaim(&said, almost, GRACE), nothing);
    let freed = interner.reclaim(&said, idle + GRACE, GRACE);
    assert_eq!(freed, Freed { clusters: vec![], endpoints: vec![endpoint] }, "a session is left");
    assert!(directory.endpoint(endpoint).is_none());
    assert_eq!(directory.cluster(cluster).as_deref(), Some("a"), "and its name is there");
    said.busy_cluster.set(None);
    let later = idle + 5 * GRACE;
    assert_eq!(interner.reclaim(&said, later, GRACE), nothing);
    let freed = interner.reclaim(&said, later + GRACE, GRACE);
    assert_eq!(freed, Freed { clusters: vec![cluster], endpoints: vec![] });
    assert!(directory.cluster(cluster).is_none());

    let (reused, _) = table(&mut interner, 3, &["b", "c"])[1];
    assert_eq!(reused, cluster);
    assert_eq!(directory.cluster(cluster).as_deref(), Some("c"));
}

#[test]
fn a_key_that_comes_back_keeps_its_id_and_starts_over() {
    let mut interner = Interner::default();
    let first = table(&mut interner, 1, &["a"]);
    table(&mut interner, 2, &[]);
    let said = Said::default();
    let start = Instant::now();
    said.adopted.set(2);
    interner.reclaim(&said, start, GRACE);
    assert_eq!(table(&mut interner, 3, &["a"]), first);
    said.adopted.set(3);
    assert_eq!(interner.reclaim(&said, start + 2 * GRACE, GRACE), Freed::default(), "in use");
    table(&mut interner, 4, &[]);
    assert_eq!(interner.reclaim(&said, start + 2 * GRACE, GRACE), Freed::default(), "not adopted");
    said.adopted.set(4);
    assert_eq!(interner.reclaim(&said, start + 2 * GRACE, GRACE), Freed::default(), "new grace");
    let freed = interner.reclaim(&said, start + 3 * GRACE, GRACE);
    assert_eq!((freed.clusters.len(), freed.endpoints.len()), (1, 1));
}

#[test]
fn a_short_return_starts_the_grace_over() {
    let mut interner = Interner::default();
    table(&mut interner, 1, &["a"]);
    table(&mut interner, 2, &[]);
    let said = Said::default();
    said.adopted.set(2);
    let start = Instant::now();
    interner.reclaim(&said, start, GRACE);
    table(&mut interner, 3, &["a"]);
    table(&mut interner, 4, &[]);
    said.adopted.set(4);
    assert_eq!(interner.reclaim(&said, start + GRACE, GRACE), Freed::default());
}

#[test]
fn a_cluster_outlives_its_endpoints() {
    let mut interner = Interner::default();
    let (_, endpoint) = table(&mut interner, 1, &["a"])[0];
    table(&mut interner, 2, &[]);
    let said = Said::default();
    said.adopted.set(2);
    said.busy_endpoint.set(Some(endpoint));
    let start = Instant::now();
    interner.reclaim(&said, start, GRACE);
    assert_eq!(interner.reclaim(&said, start + 2 * GRACE, GRACE), Freed::default());
}

/// The keys of a table, by how many versions workers lag behind, half graces that pass, and a
/// cluster in use.
fn step() -> impl Strategy<Value = (HashSet<u8>, u64, u32, Option<u32>)> {
    let keys = prop::collection::hash_set(0..12_u8, 0..8);
    (keys, 0..3_u64, 0..4_u32, prop::option::of(0..12_u32))
}

proptest! {
    /// Whatever comes, goes, is adopted and is used: no two keys that anyone may still mean have
    /// one id, and every id that was given has the name of its key.
    #[test]
    fn no_id_means_two_things(
        steps in prop::collection::vec(
            step(),
            1..40,
        ),
    ) {
        let mut interner = Interner::default();
        let directory = interner.directory();
        let said = Said::default();
        let start = Instant::now();
        // By version: what workers that still have it mean.
        let mut tables: Vec<HashMap<u32, String>> = vec![HashMap::new()];
        let mut pass = Duration::ZERO;
        for (version, (keys, lag, time, busy)) in (1_u64..).zip(steps) {
            let keys: Vec<String> = keys.into_iter().map(|key| format!("k{key}")).collect();
            let list: Vec<&str> = keys.iter().map(String::as_str).collect();
            let ids = table(&mut interner, version, &list);
            let meant: HashMap<u32, String> =
                ids.iter().map(|(cluster, _)| cluster.0).zip(keys.iter().cloned()).collect();
            prop_assert_eq!(meant.len(), keys.len());
            let endpoints: HashSet<EndpointId> = ids.iter().map(|(_, id)| *id).collect();
            prop_assert_eq!(endpoints.len(), keys.len());
            tables.push(meant);
            let adopted = version.saturating_sub(lag).max(said.adopted.get());
            said.adopted.set(adopted);
            said.busy_cluster.set(busy.map(ClusterId));
            pass += GRACE / 2 * time;
            let in_use = busy.and_then(|id| directory.cluster(ClusterId(id)));
            interner.reclaim(&said, start + pass, GRACE);
            prop_assert_eq!(busy.and_then(|id| directory.cluster(ClusterId(id))), in_use);
            let reachable = tables.iter().skip(usize::try_from(adopted).unwrap());
            for (id, key) in reachable.flatten() {
                let name = directory.cluster(ClusterId(*id));
                prop_assert_eq!(name.as_deref(), Some(key.as_str()));
            }
        }
    }
}
