//! The tables of a run, made at random, and what they allow.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use sluice::kernel::Errno;
use sluice::kernel::sim::{Nobody, Random};
use sluice::refusal::Refusal;
use sluice::route::{Cluster, Endpoint, Pattern, Policy, Routes, Target};

/// Names that tables have rules for, now and then. The second is under the first's suffix, so
/// that which rule wins makes a difference.
pub(crate) const NAMES: [&str; 6] = [
    "one.service.example",
    "two.service.example",
    "three.deep.service.example",
    "four.example",
    "five.example",
    "any.wild.example",
];
const RULES: [(&str, usize); 8] = [
    ("one.service.example", 0),
    ("two.service.example", 1),
    ("*.service.example", 2),
    ("*.deep.service.example", 3),
    ("four.example", 4),
    ("five.example", 5),
    ("*.wild.example", 6),
    ("*.example", 7),
];
const CLUSTER_COUNT: u8 = 8;
const ENDPOINT_COUNT: u8 = 3;

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Listens,
    Nobody(Nobody),
}

/// Every address that a table may have, with what is there.
pub(crate) fn places(random: &mut Random, some_dead: bool) -> Vec<(SocketAddr, Place)> {
    let mut places = Vec::new();
    for cluster in 0..CLUSTER_COUNT {
        for endpoint in 0..ENDPOINT_COUNT {
            let nobody = [
                Nobody::Silent,
                Nobody::Fails(Errno::ECONNREFUSED),
                Nobody::Fails(Errno::EHOSTUNREACH),
            ];
            // The first of each always works.
            let dead = endpoint > 0 && some_dead && random.one_in(3);
            let place = if dead { Place::Nobody(random.pick(&nobody)) } else { Place::Listens };
            places.push((address(cluster, endpoint), place));
        }
    }
    places
}

fn address(cluster: u8, endpoint: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, cluster, endpoint + 1], 443))
}

/// The tables published, by version, which begins at 1.
#[derive(Debug, Default)]
pub(crate) struct Tables(Vec<Routes>);

impl Tables {
    pub(crate) fn latest(&self) -> u64 {
        self.0.len() as u64
    }

    /// Makes the next table.
    pub(crate) fn add(&mut self, random: &mut Random, connect_timeout: Duration) -> &Routes {
        let mut routes = Routes::default();
        for number in 0..CLUSTER_COUNT {
            // Under another key it is another cluster, with other ids.
            let key = format!("cluster-{number}-{}", random.count_below(2));
            let mut endpoints = vec![Endpoint::new(address(number, 0))];
            for other in 1..ENDPOINT_COUNT {
                if random.one_in(2) {
                    endpoints.push(Endpoint::new(address(number, other)));
                }
            }
            if random.one_in(20) {
                endpoints.clear();
            }
            let policies = [Policy::LeastConnections, Policy::RoundRobin, Policy::Random];
            let policy = random.pick(&policies);
            routes.add_cluster(Cluster { connect_timeout, policy, ..Cluster::new(key, endpoints) });
        }
        let first = self.0.is_empty();
        for (pattern, home) in RULES {
            if !first && random.one_in(8) {
                continue;
            }
            let other = random.count_below(usize::from(CLUSTER_COUNT));
            let target = match random.below(12) {
                0 => Target::Refuse(Refusal::NoGateways),
                1..=3 => Target::Cluster(other),
                _ => Target::Cluster(home),
            };
            routes.add_route(Pattern::parse(pattern).unwrap(), target);
        }
        if random.one_in(4) {
            routes.default_cluster = Some(random.count_below(usize::from(CLUSTER_COUNT)));
        }
        self.0.push(routes);
        self.0.last().unwrap()
    }

    /// Whether a session of this name may be at this address, with a table looked up between
    /// two versions, and an endpoint chosen from that one or a later one.
    pub(crate) fn may_reach(&self, name: &str, at: SocketAddr, from: u64, to: u64) -> bool {
        self.choices(name, from, to)
            .any(|endpoints| endpoints.is_some_and(|endpoints| endpoints.contains(&at)))
    }

    /// Whether a session of this name may find no endpoint to dial.
    pub(crate) fn may_lack_endpoints(&self, name: &str, from: u64, to: u64) -> bool {
        self.choices(name, from, to)
            .any(|endpoints| endpoints.is_none_or(|endpoints| endpoints.is_empty()))
    }

    /// Whether a table between two versions refuses this name for this reason.
    pub(crate) fn may_refuse(&self, name: &str, why: Refusal, from: u64, to: u64) -> bool {
        self.between(from, to).any(|routes| resolve(routes, name) == Err(why))
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Routes> {
        let count = usize::try_from((to + 1).saturating_sub(from.max(1))).unwrap();
        self.0.iter().skip(usize::try_from(from.max(1)).unwrap() - 1).take(count)
    }

    /// The endpoints of the cluster that the name leads to; None if a later table lacks it.
    fn choices<'a>(
        &'a self,
        name: &'a str,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Option<BTreeSet<SocketAddr>>> + 'a {
        (from.max(1)..=to).flat_map(move |version| {
            let routes = &self.0[usize::try_from(version).unwrap() - 1];
            let key = resolve(routes, name).ok().map(|index| &routes.clusters[index].key);
            let later = self.between(version, to).filter(move |_| key.is_some());
            later.map(move |routes| {
                let cluster = routes.clusters.iter().find(|cluster| Some(&cluster.key) == key)?;
                Some(cluster.endpoints.iter().map(|endpoint| endpoint.address).collect())
            })
        })
    }
}

/// The naive lookup: the exact rule, else the longest suffix.
fn resolve(routes: &Routes, name: &str) -> Result<usize, Refusal> {
    let fits = |pattern: &Pattern| match pattern {
        Pattern::Exact(exact) => (exact.as_str() == name).then_some(usize::MAX),
        Pattern::Suffix(suffix) => {
            name.ends_with(&format!(".{suffix}")).then_some(suffix.as_str().len())
        }
    };
    let fitting = routes.routes.iter().filter_map(|rule| Some((fits(&rule.pattern)?, rule.target)));
    match fitting.max_by_key(|(length, _)| *length) {
        None => routes.default_cluster.ok_or(Refusal::UnknownName),
        Some((_, Target::Refuse(why))) => Err(why),
        Some((_, Target::Cluster(index))) => Ok(index),
    }
}
