//! Builds a table, on control's side.

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::kernel::Keepalive;
use crate::route::interner::Interner;
use crate::route::model::{Pattern, WEIGHT_MAX};
use crate::route::{Cluster, ClusterId, Endpoint, EndpointId, Routes, Target};

use super::layout::{
    ClusterRecord, ENDPOINT_BYTES, EndpointView, KeepaliveRecord, Layout, RuleRecord, SLOT_BYTES,
    SlotRecord, Text,
};
use super::{RoutingTable, split_hash};

/// Why no table can be made of some routes: a defect of their producer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BuildError {
    /// Two routes have the same pattern.
    #[error("two routes are for {0}")]
    DuplicatePattern(Pattern),
    /// Two clusters have the same key.
    #[error("two clusters are called {0:?}")]
    DuplicateCluster(String),
    /// A route leads to a cluster that is not there.
    #[error("the route for {0} leads to a cluster that is not in the table")]
    NoSuchCluster(Pattern),
    /// More than 4 GiB, or 4 billion of something.
    #[error("the routes are too many for one table")]
    TooLarge,
}

impl RoutingTable {
    /// Makes a table of routes, with ids from the interner.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(
        routes: &Routes,
        interner: &mut Interner,
        version: u64,
    ) -> Result<Self, BuildError> {
        check(routes)?;
        let mut builder = Builder::default();
        interner.begin(version);
        let ids = builder.clusters(&routes.clusters, interner);
        interner.finish();
        let ids = ids?;
        builder.rules(routes, &ids)?;
        let default_cluster = routes.default_cluster.and_then(|index| ids.get(index)).copied();
        Ok(Self { default_cluster, ..builder.finish(version)? })
    }

    /// Makes a table with ids of its own, for looking at it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn from_routes(routes: &Routes) -> Result<Self, BuildError> {
        Self::build(routes, &mut Interner::default(), 1)
    }
}

fn keepalive(keepalive: Keepalive) -> KeepaliveRecord {
    let seconds = |time: Duration| u16::try_from(time.as_secs().max(1)).unwrap_or(u16::MAX);
    KeepaliveRecord {
        idle: seconds(keepalive.idle),
        interval: seconds(keepalive.interval),
        probe_count: u8::try_from(keepalive.probe_count).unwrap_or(u8::MAX),
    }
}

fn check(routes: &Routes) -> Result<(), BuildError> {
    let mut patterns = HashSet::with_capacity(routes.routes.len());
    for route in &routes.routes {
        if !patterns.insert(&route.pattern) {
            return Err(BuildError::DuplicatePattern(route.pattern.clone()));
        }
        if matches!(route.target, Target::Cluster(index) if index >= routes.clusters.len()) {
            return Err(BuildError::NoSuchCluster(route.pattern.clone()));
        }
    }
    let mut keys = HashSet::with_capacity(routes.clusters.len());
    for cluster in &routes.clusters {
        if !keys.insert(cluster.key.as_str()) {
            return Err(BuildError::DuplicateCluster(cluster.key.clone()));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Builder<'a> {
    rules: Vec<u8>,
    /// By id.
    clusters: Vec<ClusterRecord>,
    endpoints: Vec<u8>,
    names: Names<'a>,
    keys: RandomState,
    slots: Vec<SlotRecord>,
    suffix_depths: u128,
}

impl<'a> Builder<'a> {
    fn clusters(
        &mut self,
        clusters: &'a [Cluster],
        interner: &mut Interner,
    ) -> Result<Vec<ClusterId>, BuildError> {
        clusters.iter().map(|cluster| self.cluster(cluster, interner)).collect()
    }

    fn cluster(
        &mut self,
        cluster: &'a Cluster,
        interner: &mut Interner,
    ) -> Result<ClusterId, BuildError> {
        let id = interner.cluster(&cluster.key);
        let endpoints = merged(&cluster.endpoints);
        let first_weight = endpoints.first().map(|endpoint| endpoint.weight);
        let uniform = endpoints.iter().all(|endpoint| Some(endpoint.weight) == first_weight);
        let endpoint_first = to_u32(self.endpoints.len() / ENDPOINT_BYTES)?;
        let mut total_weight: u32 = 0;
        for endpoint in &endpoints {
            let share = if uniform { 1 } else { u32::from(endpoint.weight) };
            total_weight = total_weight.checked_add(share).ok_or(BuildError::TooLarge)?;
            let endpoint_id: EndpointId = interner.endpoint(id, endpoint.address);
            EndpointView::write(endpoint_id, total_weight, endpoint, &mut self.endpoints);
        }
        let endpoint_count = to_u32(endpoints.len())?;
        let healthy_count = to_u32(endpoints.iter().filter(|e| e.healthy).count())?;
        let panics = healthy_count == 0
            || u64::from(healthy_count) * 100
                < u64::from(endpoint_count) * u64::from(cluster.panic_threshold_percent);
        let mut flags = ClusterRecord::PRESENT;
        flags |= if uniform { ClusterRecord::UNIFORM } else { 0 };
        flags |= if panics { ClusterRecord::PANICS } else { 0 };
        flags |= if cluster.is_announced { ClusterRecord::ANNOUNCED } else { 0 };
        let record = ClusterRecord {
            name: self.names.add(&cluster.key)?,
            endpoint_first,
            endpoint_count,
            healthy_count,
            total_weight,
            stride: if uniform { 1 } else { stride(total_weight) },
            connect_timeout_us: u32::try_from(cluster.connect_timeout.as_micros())
                .unwrap_or(u32::MAX),
            policy: cluster.policy,
            panic_threshold_percent: cluster.panic_threshold_percent,
            flags,
            keepalive: cluster.keepalive.map(keepalive).unwrap_or_default(),
        };
        let index = id.0 as usize;
        if self.clusters.len() <= index {
            self.clusters.resize(index.saturating_add(1), ClusterRecord::default());
        }
        if let Some(slot) = self.clusters.get_mut(index) {
            *slot = record;
        }
        Ok(id)
    }

    fn rules(&mut self, routes: &'a Routes, ids: &[ClusterId]) -> Result<(), BuildError> {
        let slot_count = match routes.routes.len() {
            0 => 0,
            count => (count.saturating_mul(3) / 2).saturating_add(1).next_power_of_two(),
        };
        self.slots.resize(slot_count, SlotRecord::default());
        for (index, route) in routes.routes.iter().enumerate() {
            let key = match &route.pattern {
                Pattern::Exact(name) => self.names.add(name.as_str())?,
                Pattern::Suffix(name) => {
                    self.suffix_depths |= depth_bit(name.as_str());
                    self.names.add_suffix(name.as_str())?
                }
            };
            let (refusal_plus_one, cluster) = match route.target {
                // In range: checked before.
                Target::Cluster(index) => (0, ids.get(index).map_or(0, |id| id.0)),
                Target::Refuse(why) => ((why as u8).saturating_add(1), 0),
            };
            self.insert(key, to_u32(index.saturating_add(1))?);
            RuleRecord { key, refusal_plus_one, cluster }.write(&mut self.rules);
        }
        Ok(())
    }

    fn insert(&mut self, key: Text, rule_plus_one: u32) {
        let (start, tag) = split_hash(&self.keys, self.names.get(key));
        let mask = self.slots.len().wrapping_sub(1);
        let mut probes = (0..self.slots.len()).map(|step| start.wrapping_add(step) & mask);
        let free = probes.find(|at| self.slots.get(*at).is_some_and(|s| s.rule_plus_one == 0));
        // There is always one: a third of them stays free.
        if let Some(slot) = free.and_then(|at| self.slots.get_mut(at)) {
            *slot = SlotRecord { tag, rule_plus_one };
        }
    }

    fn finish(self, version: u64) -> Result<RoutingTable, BuildError> {
        let mut slots = Vec::with_capacity(self.slots.len().saturating_mul(SLOT_BYTES));
        self.slots.iter().for_each(|slot| slot.write(&mut slots));
        let mut clusters = Vec::new();
        self.clusters.iter().for_each(|cluster| cluster.write(&mut clusters));
        let names = self.names.bytes;
        let rules_at = slots.len();
        let clusters_at = rules_at.saturating_add(self.rules.len());
        let endpoints_at = clusters_at.saturating_add(clusters.len());
        let layout = Layout {
            slot_count: self.slots.len(),
            rules_at,
            rule_count: self.rules.len() / super::layout::RULE_BYTES,
            clusters_at,
            cluster_slot_count: self.clusters.len(),
            endpoints_at,
            names_at: endpoints_at.saturating_add(self.endpoints.len()),
            suffix_depths: self.suffix_depths,
        };
        let sections = [slots, self.rules, clusters, self.endpoints, names];
        let arena = sections.concat().into_boxed_slice();
        Ok(RoutingTable { arena, layout, keys: self.keys, version, default_cluster: None })
    }
}

/// Names, each text once: most clusters are called what their name is.
#[derive(Default)]
struct Names<'a> {
    bytes: Vec<u8>,
    seen: HashMap<&'a str, Text>,
}

impl<'a> Names<'a> {
    fn add(&mut self, text: &'a str) -> Result<Text, BuildError> {
        if let Some(there) = self.seen.get(text) {
            return Ok(*there);
        }
        let at = to_u32(self.bytes.len())?;
        self.bytes.extend(text.as_bytes());
        let there = Text { at, length_bytes: to_u32(text.len())? };
        self.seen.insert(text, there);
        Ok(there)
    }

    /// The name with its dot in front; a pattern comes only once, so it is never there yet.
    fn add_suffix(&mut self, text: &str) -> Result<Text, BuildError> {
        let at = to_u32(self.bytes.len())?;
        self.bytes.push(b'.');
        self.bytes.extend(text.as_bytes());
        Ok(Text { at, length_bytes: to_u32(text.len().saturating_add(1))? })
    }

    fn get(&self, text: Text) -> &[u8] {
        let at = text.at as usize;
        self.bytes.get(at..at.saturating_add(text.length_bytes as usize)).unwrap_or_default()
    }
}

/// Each address once: several registrations of one address are one place to connect to. It
/// works if one of them says so.
fn merged(endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let mut merged: Vec<Endpoint> = Vec::with_capacity(endpoints.len());
    let mut seen: HashMap<SocketAddr, usize> = HashMap::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let weight = endpoint.weight.clamp(1, WEIGHT_MAX);
        match seen.get(&endpoint.address).and_then(|index| merged.get_mut(*index)) {
            Some(there) => {
                there.weight = there.weight.max(weight);
                there.healthy |= endpoint.healthy;
            }
            None => {
                seen.insert(endpoint.address, merged.len());
                merged.push(Endpoint { weight, ..*endpoint });
            }
        }
    }
    merged
}

/// Near the golden section of the total, so that consecutive turns fall far apart.
fn stride(total_weight: u32) -> u32 {
    let golden = u64::from(total_weight) * 618 / 1000;
    let start = u32::try_from(golden).unwrap_or(1).max(1);
    (1..=start)
        .rev()
        .find(|stride| greatest_common_divisor(*stride, total_weight) == 1)
        .unwrap_or(1)
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or_default());
    }
    a
}

fn depth_bit(suffix: &str) -> u128 {
    let dots = suffix.bytes().filter(|byte| *byte == b'.').count();
    u32::try_from(dots).ok().and_then(|dots| 1_u128.checked_shl(dots)).unwrap_or_default()
}

fn to_u32(count: usize) -> Result<u32, BuildError> {
    u32::try_from(count).map_err(|_| BuildError::TooLarge)
}
