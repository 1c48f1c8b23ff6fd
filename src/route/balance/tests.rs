use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Dice, pick};
use crate::kernel::Tick;
use crate::limits::{EJECTION_BASE, EJECTION_FAILURES};
use crate::route::{
    Cluster, ClusterId, Endpoint, EndpointId, Interner, Loads, Policy, Routes, RoutingTable,
};

const NOW: Tick = Tick(1_000_000);

/// A table of one cluster, and figures for it. Endpoint `i` has the id `i`.
struct Scene {
    table: RoutingTable,
    loads: Loads,
    random: u64,
}

impl Scene {
    fn new(policy: Policy, weights: &[u8]) -> Self {
        Self::with(policy, weights, |_| {})
    }

    fn with(policy: Policy, weights: &[u8], change: impl Fn(&mut Cluster)) -> Self {
        let endpoints = (0_u16..).zip(weights).map(|(port, weight)| Endpoint {
            weight: *weight,
            ..Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port + 1)))
        });
        let mut cluster = Cluster::new("a", endpoints.collect());
        cluster.policy = policy;
        change(&mut cluster);
        let mut routes = Routes::default();
        routes.add_cluster(cluster);
        let table = RoutingTable::from_routes(&routes).unwrap();
        Self { table, loads: Loads::default().grown(1, weights.len()), random: 1 }
    }

    fn pick(&mut self, tried: &[EndpointId]) -> Option<EndpointId> {
        self.random = self.random.wrapping_add(0x1234_5678_9abc_def1);
        let cluster = self.table.cluster(ClusterId(0)).unwrap();
        let pick = pick(&cluster, &self.loads, NOW, self.random, tried)?;
        assert_eq!(u32::from(pick.address.port()), pick.id.0 + 1, "the address is the endpoint's");
        Some(pick.id)
    }

    /// How often each of `count` endpoints is picked.
    fn picks(&mut self, rounds: u32, count: usize, tried: &[EndpointId]) -> Vec<u32> {
        let mut picks: HashMap<EndpointId, u32> = HashMap::new();
        for _ in 0..rounds {
            *picks.entry(self.pick(tried).unwrap()).or_default() += 1;
        }
        (0_u32..).take(count).map(|id| picks.get(&EndpointId(id)).copied().unwrap_or(0)).collect()
    }

    fn eject(&self, id: u32) {
        (0..EJECTION_FAILURES).for_each(|_| {
            self.loads.failed(EndpointId(id), NOW);
        });
        assert!(self.loads.is_ejected(EndpointId(id), NOW));
    }
}

/// Pearson's statistic; the seeds are fixed, so this is no matter of luck.
fn chi_square(picks: &[u32], shares: &[f64]) -> f64 {
    let total: f64 = picks.iter().copied().map(f64::from).sum();
    let whole: f64 = shares.iter().sum();
    let mut sum = 0.0;
    for (picked, share) in picks.iter().zip(shares) {
        let expected = total * share / whole;
        if expected == 0.0 {
            assert_eq!(*picked, 0, "{picks:?}");
        } else {
            sum += (f64::from(*picked) - expected).powi(2) / expected;
        }
    }
    sum
}

/// The 99.9 % quantile for up to 9 degrees of freedom is below this.
const UNLIKELY: f64 = 28.0;

#[test]
fn idle_endpoints_are_picked_by_weight() {
    for policy in [Policy::LeastConnections, Policy::Random] {
        let equal = Scene::new(policy, &[1; 5]).picks(50_000, 5, &[]);
        assert!(chi_square(&equal, &[1.0; 5]) < UNLIKELY, "{policy:?} {equal:?}");
        let weights = [1, 2, 4, 128, 9];
        let shares = weights.map(f64::from);
        let weighted = Scene::new(policy, &weights).picks(100_000, 5, &[]);
        assert!(chi_square(&weighted, &shares) < UNLIKELY, "{policy:?} {weighted:?}");
    }
}

#[test]
fn few_eligible_among_many_keep_their_shares() {
    for policy in [Policy::LeastConnections, Policy::Random, Policy::RoundRobin] {
        let mut weights = vec![3; 1_000];
        (weights[0], weights[998], weights[999]) = (1, 2, 5);
        let mut scene = Scene::with(policy, &weights, |cluster| {
            for (index, endpoint) in cluster.endpoints.iter_mut().enumerate() {
                endpoint.healthy = [0, 500, 998, 999].contains(&index);
            }
        });
        let picks = scene.picks(5_000, 1_000, &[EndpointId(500)]);
        let mut shares = vec![0.0; 1_000];
        (shares[0], shares[998], shares[999]) = (1.0, 2.0, 5.0);
        let statistic = chi_square(&picks, &shares);
        assert!(statistic < UNLIKELY, "{policy:?} {statistic}");
    }
}

#[test]
fn connections_spread_by_weight_when_they_stay() {
    let mut scene = Scene::new(Policy::LeastConnections, &[1, 1, 2, 4]);
    for _ in 0..8_000 {
        let id = scene.pick(&[]).unwrap();
        scene.loads.opened(id);
    }
    for (id, weight) in (0..).zip([1, 1, 2, 4]) {
        let active = scene.loads.active(EndpointId(id));
        assert!(active.abs_diff(1_000 * weight) <= 40 * weight, "{id}: {active}");
    }
}

#[test]
fn connections_are_compared_by_weight() {
    let picks = |active: [u32; 2]| {
        let mut scene = Scene::new(Policy::LeastConnections, &[1, 4]);
        for (id, active) in (0..).zip(active) {
            (0..active).for_each(|_| assert!(scene.loads.opened(EndpointId(id))));
        }
        scene.picks(500, 2, &[])
    };
    assert_eq!(picks([10, 39]), [0, 500]);
    assert_eq!(picks([10, 41]), [500, 0]);
    assert!(chi_square(&picks([10, 40]), &[1.0, 4.0]) < UNLIKELY, "equal: by weight");
}

#[test]
fn a_loaded_endpoint_is_avoided() {
    let mut scene = Scene::new(Policy::LeastConnections, &[1; 4]);
    (0..100).for_each(|_| assert!(scene.loads.opened(EndpointId(2))));
    let picks = scene.picks(4_000, 4, &[]);
    assert_eq!(picks[2], 0, "of two it is never the lesser: {picks:?}");
    assert!(chi_square(&picks, &[1.0, 1.0, 0.0, 1.0]) < UNLIKELY, "{picks:?}");
}

#[test]
fn round_robin_is_exact_and_interleaved() {
    let mut scene = Scene::new(Policy::RoundRobin, &[1; 3]);
    let order: Vec<u32> = (0..6).map(|_| scene.pick(&[]).unwrap().0).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    let mut scene = Scene::new(Policy::RoundRobin, &[5, 1, 2]);
    assert_eq!(scene.picks(80, 3, &[]), [50, 10, 20]);
    let longest = (0..80).map(|_| scene.pick(&[]).unwrap().0).collect::<Vec<_>>();
    let longest = longest.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
    assert!(longest <= Some(2), "five in eight need not stand together: {longest:?}");
}

#[test]
fn tried_and_ejected_endpoints_are_passed_over() {
    for policy in [Policy::LeastConnections, Policy::RoundRobin, Policy::Random] {
        let mut scene = Scene::new(policy, &[1; 4]);
        scene.eject(1);
        let picks = scene.picks(400, 4, &[EndpointId(0)]);
        assert_eq!((picks[0], picks[1]), (0, 0), "{policy:?}");
        assert!(picks[2] > 0 && picks[3] > 0, "{policy:?}");
        let all = [0, 1, 2, 3].map(EndpointId);
        assert_eq!(scene.pick(&all), None, "{policy:?}");
    }
}

#[test]
fn ejection_gives_way_when_it_leaves_nobody() {
    let mut scene = Scene::new(Policy::LeastConnections, &[1; 3]);
    scene.eject(0);
    scene.eject(1);
    assert_eq!(scene.picks(100, 3, &[]), [0, 0, 100]);
    let rest = scene.picks(100, 3, &[EndpointId(2)]);
    assert!(rest[0] > 0 && rest[1] > 0, "{rest:?}");
    scene.eject(2);
    let all = scene.picks(300, 3, &[]);
    assert!(all.iter().all(|picked| *picked > 0), "{all:?}");
}

#[test]
fn ejection_gives_way_when_it_leaves_fewer_than_the_threshold() {
    let ejected = |count: u32, threshold: u8| {
        let scene = Scene::with(Policy::LeastConnections, &[1; 4], |cluster| {
            cluster.panic_threshold_percent = threshold;
        });
        (0..count).for_each(|id| scene.eject(id));
        scene
    };
    assert_eq!(ejected(3, 0).picks(400, 4, &[]), [0, 0, 0, 400]);
    assert_eq!(ejected(2, 50).picks(400, 4, &[])[..2], [0, 0], "at the threshold is no panic");
    for mut scene in [ejected(3, 50), ejected(1, 76), ejected(1, 100)] {
        let picks = scene.picks(400, 4, &[]);
        assert!(picks.iter().all(|picked| *picked > 0), "{picks:?}");
    }
}

#[test]
fn the_threshold_counts_the_unhealthy_and_the_ejected_together() {
    let mut scene = Scene::with(Policy::LeastConnections, &[1; 4], |cluster| {
        cluster.panic_threshold_percent = 60;
        cluster.endpoints.iter_mut().take(1).for_each(|e| e.healthy = false);
    });
    assert_eq!(scene.picks(400, 4, &[])[0], 0);
    scene.eject(3);
    let picks = scene.picks(400, 4, &[]);
    assert!(picks.iter().all(|picked| *picked > 0), "{picks:?}");
}

#[test]
fn an_unhealthy_endpoint_is_dialed_only_in_panic() {
    let unhealthy = |count: usize, threshold: u8| {
        Scene::with(Policy::LeastConnections, &[1; 4], |cluster| {
            cluster.panic_threshold_percent = threshold;
            cluster.endpoints.iter_mut().take(count).for_each(|e| e.healthy = false);
        })
    };
    assert_eq!(unhealthy(3, 0).picks(100, 4, &[]), [0, 0, 0, 100]);
    assert_eq!(unhealthy(3, 0).pick(&[EndpointId(3)]), None, "the others are known to be dead");
    let none_healthy = unhealthy(4, 0).picks(400, 4, &[]);
    assert!(none_healthy.iter().all(|picked| *picked > 0), "{none_healthy:?}");
    let below_threshold = unhealthy(3, 50).picks(400, 4, &[]);
    assert!(below_threshold.iter().all(|picked| *picked > 0), "{below_threshold:?}");
    assert_eq!(unhealthy(2, 50).picks(100, 4, &[])[..2], [0, 0], "at the threshold is no panic");
}

#[test]
fn a_cluster_without_endpoints_has_nothing_to_pick() {
    for policy in [Policy::LeastConnections, Policy::RoundRobin, Policy::Random] {
        assert_eq!(Scene::new(policy, &[]).pick(&[]), None);
        assert_eq!(Scene::new(policy, &[1]).pick(&[]), Some(EndpointId(0)));
    }
}

#[test]
fn ejection_persists_across_tables_and_returns_with_its_endpoint() {
    let mut interner = Interner::default();
    let endpoints = |count| {
        (1..=count).map(|i| Endpoint::new(SocketAddr::from(([10, 0, 0, i], 443)))).collect()
    };
    let mut build = |version, key: &str, count: u8| {
        let mut routes = Routes::default();
        routes.add_cluster(Cluster::new(key, endpoints(count)));
        RoutingTable::build(&routes, &mut interner, version).unwrap()
    };
    let first = build(1, "a", 2);
    let id = |table: &RoutingTable| table.clusters().next().unwrap().endpoint(0).unwrap().id();
    let mut loads = Loads::default().grown(1, 2);
    let ejected = id(&first);
    (0..EJECTION_FAILURES).for_each(|_| {
        loads.failed(ejected, NOW);
    });
    build(2, "b", 2);
    let third = build(3, "a", 200);
    loads = loads.grown(2, 202);
    let cluster = third.clusters().next().unwrap();
    assert_eq!(id(&third), ejected);
    let picked = |now| {
        let picks = (0..3_000).filter_map(|random| pick(&cluster, &loads, now, random, &[]));
        picks.filter(|pick| pick.id == ejected).count()
    };
    assert_eq!(picked(NOW), 0);
    assert!(picked(NOW.after(EJECTION_BASE)) > 0);
}

#[test]
fn dice_are_fair_and_within_bounds() {
    let mut dice = Dice(7);
    let mut counts = [0_u32; 10];
    (0..100_000).for_each(|_| counts[dice.below(10) as usize] += 1);
    assert!(chi_square(&counts, &[1.0; 10]) < UNLIKELY, "{counts:?}");
    assert_eq!((dice.below(0), dice.below(1)), (0, 0));
    assert!((0..1_000).all(|_| dice.below(u32::MAX) < u32::MAX));
}
