//! The routing table: immutable, in one allocation, looked up by every worker in its own copy.
//!
//! One hash table holds exact names and suffixes alike. Its hash is SipHash-1-3 with random
//! keys: what is looked up comes from any client, what is in the table from anyone who may
//! register a service, so neither may be able to aim at one slot. Runs of full slots are bounded
//! by the table's content and its load of at most two thirds, whatever is looked up.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::limits::SERVER_NAME_BYTES_MAX;
use crate::refusal::Refusal;

use super::ClusterId;

mod build;
mod cluster;
mod layout;

pub use build::BuildError;
pub use cluster::ClusterView;
pub use layout::EndpointView;

use layout::{Layout, RULE_BYTES, RuleRecord, SLOT_BYTES, SlotRecord, Text, record};

/// Names to clusters, clusters to endpoints.
#[derive(Debug, Default)]
pub struct RoutingTable {
    arena: Box<[u8]>,
    layout: Layout,
    keys: RandomState,
    version: u64,
    default_cluster: Option<ClusterId>,
}

/// Lookup.
impl RoutingTable {
    /// The cluster that a canonical name leads to: by the exact rule, else by the longest
    /// suffix, else the default one. Any bytes may be looked up.
    ///
    /// # Errors
    /// What the rule says, or [`Refusal::UnknownName`] if there is none.
    pub fn lookup(&self, canonical_name: &str) -> Result<ClusterId, Refusal> {
        let found = self.find(canonical_name.as_bytes());
        match found.map_or(Err(Refusal::UnknownName), target) {
            Err(Refusal::UnknownName) => self.default_cluster.ok_or(Refusal::UnknownName),
            decided => decided,
        }
    }

    /// Where names lead that no route has, and hellos without a name, if anywhere.
    #[must_use]
    pub fn default_cluster(&self) -> Option<ClusterId> {
        self.default_cluster
    }

    /// The rule that decides what becomes of a canonical name, if there is one.
    #[must_use]
    pub fn explain(&self, canonical_name: &str) -> Option<Rule<'_>> {
        self.find(canonical_name.as_bytes()).map(|rule| self.rule(rule))
    }

    /// The cluster of this id, if this table has it.
    #[inline]
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> Option<ClusterView<'_>> {
        ClusterView::read(&self.arena, &self.layout, id)
    }

    fn find(&self, name: &[u8]) -> Option<RuleRecord> {
        // A key with a dot in front is a suffix's.
        if name.len() > SERVER_NAME_BYTES_MAX || name.first() == Some(&b'.') {
            return None;
        }
        if let Some(rule) = self.find_key(name) {
            return Some(rule);
        }
        if self.layout.suffix_depths == 0 {
            return None;
        }
        // Only depths that some suffix has are hashed: names of 100 labels cost no more.
        let dots = || name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        let depth_max = dots().count();
        dots().enumerate().find_map(|(passed, (at, _))| {
            let depth = depth_max.saturating_sub(passed);
            let bit = 1_u128.checked_shl(u32::try_from(depth).ok()?.checked_sub(1)?)?;
            if self.layout.suffix_depths & bit == 0 {
                return None;
            }
            self.find_key(name.get(at..)?)
        })
    }

    fn find_key(&self, key: &[u8]) -> Option<RuleRecord> {
        let (start, tag) = split_hash(&self.keys, key);
        let mask = self.layout.slot_count.wrapping_sub(1);
        for step in 0..self.layout.slot_count {
            let index = start.wrapping_add(step) & mask;
            let slot = SlotRecord::read(record::<SLOT_BYTES>(&self.arena, 0, index));
            let rule_index = slot.rule_plus_one.checked_sub(1)?;
            if slot.tag == tag {
                let rule = self.rule_record(rule_index as usize);
                if self.text(rule.key) == key {
                    return Some(rule);
                }
            }
        }
        None
    }
}

/// Everything else.
impl RoutingTable {
    /// A table without a rule.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The number of this table; later ones have greater numbers, the empty one has 0.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same table once more, in its own memory.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            arena: self.arena.clone(),
            layout: self.layout,
            keys: self.keys.clone(),
            version: self.version,
            default_cluster: self.default_cluster,
        }
    }

    /// The memory it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.arena.len().saturating_add(size_of::<Self>())
    }

    /// All rules, in the order they came in.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        (0..self.layout.rule_count).map(|index| self.rule(self.rule_record(index)))
    }

    /// All clusters, by id.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterView<'_>> {
        (0..self.layout.cluster_slot_count)
            .filter_map(|id| self.cluster(ClusterId(u32::try_from(id).ok()?)))
    }

    fn rule_record(&self, index: usize) -> RuleRecord {
        RuleRecord::read(record::<RULE_BYTES>(&self.arena, self.layout.rules_at, index))
    }

    fn rule(&self, rule: RuleRecord) -> Rule<'_> {
        let key = std::str::from_utf8(self.text(rule.key)).unwrap_or_default();
        Rule { key, target: target(rule) }
    }

    fn text(&self, text: Text) -> &[u8] {
        text_at(&self.arena, &self.layout, text)
    }
}

/// A rule of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    key: &'a str,
    /// Where it leads, or why it refuses.
    pub target: Result<ClusterId, Refusal>,
}

impl<'a> Rule<'a> {
    /// Whether it is for every name that ends so; else it is for one name.
    #[must_use]
    pub fn is_suffix(&self) -> bool {
        self.key.starts_with('.')
    }

    /// The name, without the `*.` of a suffix.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.key.strip_prefix('.').unwrap_or(self.key)
    }
}

/// As it is written: `name` or `*.name`.
impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_suffix() { "*" } else { "" }, self.key)
    }
}

fn target(rule: RuleRecord) -> Result<ClusterId, Refusal> {
    match usize::from(rule.refusal_plus_one).checked_sub(1) {
        None => Ok(ClusterId(rule.cluster)),
        Some(number) => Err(Refusal::ALL.get(number).copied().unwrap_or(Refusal::UnknownName)),
    }
}

/// Where to begin, and what to compare before the key itself.
fn split_hash(keys: &RandomState, key: &[u8]) -> (usize, u32) {
    let mut hasher = keys.build_hasher();
    hasher.write(key);
    let hash = hasher.finish();
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]))
}

fn text_at<'a>(arena: &'a [u8], layout: &Layout, text: Text) -> &'a [u8] {
    let at = layout.names_at.saturating_add(text.at as usize);
    arena.get(at..at.saturating_add(text.length_bytes as usize)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
