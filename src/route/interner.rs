//! Keys to dense ids, and the rules of when an id may name something else.
//!
//! The same key keeps its id from table to table. A key that a table no longer has *retires*;
//! its id is free again only after
//! 1. every worker adopted a table without it, so that nobody can begin to use it,
//! 2. no worker counts anything under it, so that nobody still does,
//! 3. and the grace period passed since, so that records on their way to the log find its name.
//!
//! A key that comes back before that gets its own id, with all that workers know of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::{ClusterId, EndpointId};

/// The ids of all clusters and endpoints. Owned by control.
#[derive(Debug, Default)]
pub struct Interner {
    clusters: Ids<String>,
    endpoints: Ids<EndpointKey>,
    directory: Directory,
}

type EndpointKey = (ClusterId, SocketAddr);

/// What must be known to free ids.
pub trait Usage {
    /// The oldest version that a worker still uses.
    fn adopted_version(&self) -> u64;
    /// Whether no worker counts a session of this cluster.
    fn is_cluster_idle(&self, id: ClusterId) -> bool;
    /// Whether no worker counts a connection to this endpoint.
    fn is_endpoint_idle(&self, id: EndpointId) -> bool;
}

/// Ids that were freed, and may be given again from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Of clusters.
    pub clusters: Vec<ClusterId>,
    /// Of endpoints.
    pub endpoints: Vec<EndpointId>,
}

impl Interner {
    /// The names of ids, for other threads.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// How many ids of clusters and of endpoints there are, free ones included.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.clusters.entries.len(), self.endpoints.entries.len())
    }

    /// Begins a table of this version. What is not interned before [`Interner::finish`] is not
    /// in it.
    pub(super) fn begin(&mut self, version: u64) {
        self.clusters.version = version;
        self.endpoints.version = version;
    }

    pub(super) fn cluster(&mut self, key: &str) -> ClusterId {
        ClusterId(self.clusters.intern(key, str::to_owned))
    }

    pub(super) fn endpoint(&mut self, cluster: ClusterId, address: SocketAddr) -> EndpointId {
        EndpointId(self.endpoints.intern(&(cluster, address), |key| *key))
    }

    /// Ends the table: what it does not have retires, what is new gets its name.
    pub(super) fn finish(&mut self) {
        self.clusters.retire_absent();
        self.endpoints.retire_absent();
        let clusters = self.clusters.fresh.drain(..).map(|(id, key)| (ClusterId(id), key.into()));
        let endpoints = self.endpoints.fresh.drain(..).map(|(id, key)| (EndpointId(id), key));
        self.directory.add(clusters, endpoints);
    }

    /// Frees the ids that nobody can use or name any more.
    pub fn reclaim(&mut self, usage: &impl Usage, now: Instant, grace: Duration) -> Freed {
        let adopted = usage.adopted_version();
        let idle = |id| usage.is_endpoint_idle(EndpointId(id));
        let endpoints = self.endpoints.reclaim(adopted, now, grace, idle, |_| false);
        // An endpoint's key has its cluster's id in it, so a cluster goes after its endpoints.
        let retiring = self.endpoints.retiring.iter();
        let held: HashSet<u32> = retiring
            .filter_map(|id| Some(self.endpoints.entries.get(*id as usize)?.key.as_ref()?.0.0))
            .collect();
        let idle = |id| usage.is_cluster_idle(ClusterId(id));
        let clusters = self.clusters.reclaim(adopted, now, grace, idle, |id| held.contains(&id));
        let freed = Freed {
            clusters: clusters.into_iter().map(ClusterId).collect(),
            endpoints: endpoints.into_iter().map(EndpointId).collect(),
        };
        self.directory.remove(&freed);
        freed
    }
}

/// The ids of one kind.
#[derive(Debug)]
struct Ids<K> {
    by_key: HashMap<K, u32>,
    /// By id.
    entries: Vec<Entry<K>>,
    /// Oldest first: an id rests as long as possible.
    free: VecDeque<u32>,
    retiring: Vec<u32>,
    /// Given since the last [`Interner::finish`].
    fresh: Vec<(u32, K)>,
    version: u64,
}

#[derive(Debug)]
struct Entry<K> {
    /// None when free.
    key: Option<K>,
    /// The last version that had it.
    version: u64,
    /// The first version without it, if it retires.
    absent_from: Option<u64>,
    /// Since when nobody uses it, if it retires.
    idle_since: Option<Instant>,
}

impl<K> Default for Ids<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            entries: Vec::new(),
            free: VecDeque::new(),
            retiring: Vec::new(),
            fresh: Vec::new(),
            version: 0,
        }
    }
}

impl<K: Clone + Eq + Hash> Ids<K> {
    fn intern<Q>(&mut self, key: &Q, to_key: impl Fn(&Q) -> K) -> u32
    where
        K: std::borrow::Borrow<Q>,
        Q: ?Sized + Eq + Hash,
    {
        if let Some(id) = self.by_key.get(key).copied() {
            if let Some(entry) = self.entries.get_mut(id as usize) {
                entry.version = self.version;
            }
            return id;
        }
        let key = to_key(key);
        let entry = Entry {
            key: Some(key.clone()),
            version: self.version,
            absent_from: None,
            idle_since: None,
        };
        let id = match self.free.pop_front() {
            Some(id) => {
                if let Some(slot) = self.entries.get_mut(id as usize) {
                    *slot = entry;
                }
                id
            }
            None => {
                self.entries.push(entry);
                // 4 billion entries would not fit into memory.
                u32::try_from(self.entries.len().saturating_sub(1)).unwrap_or(u32::MAX)
            }
        };
        self.by_key.insert(key.clone(), id);
        self.fresh.push((id, key));
        id
    }

    fn retire_absent(&mut self) {
        self.retiring.clear();
        for (id, entry) in (0_u32..).zip(&mut self.entries) {
            if entry.key.is_none() {
                continue;
            }
            if entry.version == self.version {
                entry.absent_from = None;
                entry.idle_since = None;
            } else {
                entry.absent_from.get_or_insert(self.version);
                self.retiring.push(id);
            }
        }
    }

    fn reclaim(
        &mut self,
        adopted: u64,
        now: Instant,
        grace: Duration,
        is_idle: impl Fn(u32) -> bool,
        is_held: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut freed = Vec::new();
        let Self { by_key, entries, retiring, free, .. } = self;
        retiring.retain(|id| {
            let Some(entry) = entries.get_mut(*id as usize) else { return false };
            let unreachable = entry.absent_from.is_some_and(|version| version <= adopted);
            if !unreachable || !is_idle(*id) {
                entry.idle_since = None;
                return true;
            }
            let since = *entry.idle_since.get_or_insert(now);
            if now.saturating_duration_since(since) < grace || is_held(*id) {
                return true;
            }
            if let Some(key) = entry.key.take() {
                by_key.remove(&key);
            }
            freed.push(*id);
            false
        });
        free.extend(&freed);
        freed
    }
}

#[cfg(test)]
mod tests;
