//! What one worker knows of its endpoints: connections, failures, ejections.
//!
//! One thread writes, with plain loads and stores; anyone may read. Figures go by id and so
//! outlive tables. Memory comes in chunks that control allocates: a delivery brings a longer
//! directory over the same chunks, and the worker allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{ClusterId, EndpointId};
use crate::kernel::Tick;
use crate::limits::{EJECTION_BASE, EJECTION_FAILURES, EJECTION_MAX};

/// Ids per chunk: 8 KiB of endpoint figures, 14 KiB of cluster figures.
const CHUNK: u32 = 256;

/// The figures of one worker. A handle: clones share the figures.
///
/// The methods that change something are for the worker alone; called elsewhere they lose
/// counts (and nothing worse). Ids beyond [`Loads::grown`] are ignored.
#[derive(Clone, Debug)]
pub struct Loads {
    endpoints: Directory<EndpointLoad>,
    clusters: Directory<ClusterLoad>,
}

type Directory<T> = Arc<[Arc<[T]>]>;

#[derive(Debug, Default)]
struct EndpointLoad {
    active: AtomicU32,
    /// In a row.
    failures: AtomicU16,
    /// In a row.
    ejections: AtomicU16,
    /// A [`Tick`]; 0 if it was never ejected.
    ejected_until: AtomicU64,
    /// In all, as is the next.
    opened_count: AtomicU64,
    failed_count: AtomicU64,
}

#[derive(Debug, Default)]
struct ClusterLoad {
    sessions: AtomicU32,
    /// Where round robin stands.
    cursor: AtomicU32,
    dials: AtomicU64,
    dials_failed: AtomicU64,
    dials_timed_out: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    /// A [`Tick`]; 0 if it never had traffic.
    used_at: AtomicU64,
}

/// What one worker, or several, counted of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterFigures {
    /// Sessions that there are.
    pub sessions: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed, timeouts included.
    pub dials_failed: u64,
    /// Dials that took longer than their connect timeout.
    pub dials_timed_out: u64,
    /// Bytes from downstream to upstream: of a session that lives, in steps of
    /// [`crate::limits::TALLY_BYTES`].
    pub bytes_up: u64,
    /// Bytes from upstream to downstream, likewise.
    pub bytes_down: u64,
    /// When it last had traffic, if it ever had.
    pub used_at: Option<Tick>,
}

impl ClusterFigures {
    /// Of two workers together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            dials: self.dials.wrapping_add(other.dials),
            dials_failed: self.dials_failed.wrapping_add(other.dials_failed),
            dials_timed_out: self.dials_timed_out.wrapping_add(other.dials_timed_out),
            bytes_up: self.bytes_up.wrapping_add(other.bytes_up),
            bytes_down: self.bytes_down.wrapping_add(other.bytes_down),
            used_at: self.used_at.max(other.used_at),
        }
    }
}

impl Default for Loads {
    fn default() -> Self {
        Self { endpoints: Arc::new([]), clusters: Arc::new([]) }
    }
}

/// Hot path: called for every connection.
impl Loads {
    /// A connection to the endpoint is being made, or was taken over. Returns whether it could
    /// be counted: not if the id is of a table that was not adopted yet.
    #[inline]
    pub fn opened(&self, id: EndpointId) -> bool {
        let Some(load) = self.endpoint(id) else { return false };
        load.active.store(load.active.load(Relaxed).saturating_add(1), Relaxed);
        add(&load.opened_count, 1);
        true
    }

    /// It is gone, however.
    #[inline]
    pub fn closed(&self, id: EndpointId) {
        if let Some(load) = self.endpoint(id) {
            let active = load.active.load(Relaxed);
            debug_assert!(active > 0, "closed what was not opened");
            load.active.store(active.saturating_sub(1), Relaxed);
        }
    }

    /// The endpoint accepted a connection: its failures in a row end.
    #[inline]
    pub fn succeeded(&self, id: EndpointId) {
        if let Some(load) = self.endpoint(id) {
            // Checked before written: the line stays shared with whoever reads it.
            if load.failures.load(Relaxed) != 0 {
                load.failures.store(0, Relaxed);
            }
            if load.ejections.load(Relaxed) != 0 {
                load.ejections.store(0, Relaxed);
            }
        }
    }

    /// The endpoint refused, failed or did not answer. Returns whether it is ejected now.
    ///
    /// Failures of dials that were under way when it was ejected change nothing: they would
    /// eject it several times for one outage.
    pub fn failed(&self, id: EndpointId, now: Tick) -> bool {
        let Some(load) = self.endpoint(id) else { return false };
        add(&load.failed_count, 1);
        if load.is_ejected(now) {
            return false;
        }
        let failures = load.failures.load(Relaxed).saturating_add(1);
        if u32::from(failures) < EJECTION_FAILURES {
            load.failures.store(failures, Relaxed);
            return false;
        }
        let ejections = load.ejections.load(Relaxed).saturating_add(1);
        load.failures.store(0, Relaxed);
        load.ejections.store(ejections, Relaxed);
        load.ejected_until.store(now.after(ejection_time(ejections)).0, Relaxed);
        true
    }

    /// A session was routed to the cluster. Returns whether it could be counted.
    #[inline]
    pub fn entered(&self, id: ClusterId) -> bool {
        let Some(load) = self.cluster(id) else { return false };
        load.sessions.store(load.sessions.load(Relaxed).saturating_add(1), Relaxed);
        true
    }

    /// The session has ended, and its record is written.
    #[inline]
    pub fn left(&self, id: ClusterId) {
        if let Some(load) = self.cluster(id) {
            let sessions = load.sessions.load(Relaxed);
            debug_assert!(sessions > 0, "left what was not entered");
            load.sessions.store(sessions.saturating_sub(1), Relaxed);
        }
    }

    /// An endpoint of the cluster is dialed.
    #[inline]
    pub fn dialed(&self, id: ClusterId, now: Tick) {
        if let Some(load) = self.cluster(id) {
            add(&load.dials, 1);
            load.used_at.store(now.0, Relaxed);
        }
    }

    /// A session of the cluster moved so many bytes since it last told.
    #[inline]
    pub fn moved(&self, id: ClusterId, up_bytes: u64, down_bytes: u64, now: Tick) {
        if let Some(load) = self.cluster(id) {
            add(&load.bytes_up, up_bytes);
            add(&load.bytes_down, down_bytes);
            load.used_at.store(now.0, Relaxed);
        }
    }

    /// A dial of the cluster failed.
    pub fn dial_failed(&self, id: ClusterId) {
        if let Some(load) = self.cluster(id) {
            add(&load.dials_failed, 1);
        }
    }

    /// A dial of the cluster took too long; that it failed is told besides.
    pub fn dial_timed_out(&self, id: ClusterId) {
        if let Some(load) = self.cluster(id) {
            add(&load.dials_timed_out, 1);
        }
    }

    /// The next number of the cluster's round robin.
    #[inline]
    pub(super) fn next_turn(&self, id: ClusterId) -> u32 {
        let Some(load) = self.cluster(id) else { return 0 };
        let turn = load.cursor.load(Relaxed);
        load.cursor.store(turn.wrapping_add(1), Relaxed);
        turn
    }
}

/// On any thread.
impl Loads {
    /// Connections to the endpoint, those being made included.
    #[inline]
    #[must_use]
    pub fn active(&self, id: EndpointId) -> u32 {
        self.endpoint(id).map_or(0, |load| load.active.load(Relaxed))
    }

    /// Whether the endpoint is ejected at `now`.
    #[inline]
    #[must_use]
    pub fn is_ejected(&self, id: EndpointId, now: Tick) -> bool {
        self.endpoint(id).is_some_and(|load| load.is_ejected(now))
    }

    /// Until when the endpoint is ejected, if it ever was and no success followed.
    #[must_use]
    pub fn ejected_until(&self, id: EndpointId) -> Option<Tick> {
        let until = self.endpoint(id)?.ejected_until.load(Relaxed);
        (until != 0).then_some(Tick(until))
    }

    /// Failures in a row since the last success or ejection.
    #[must_use]
    pub fn failures(&self, id: EndpointId) -> u32 {
        self.endpoint(id).map_or(0, |load| load.failures.load(Relaxed).into())
    }

    /// Connections to the endpoint that were begun or taken over, and those that it made fail.
    #[must_use]
    pub fn opened_and_failed(&self, id: EndpointId) -> (u64, u64) {
        self.endpoint(id).map_or((0, 0), |load| {
            (load.opened_count.load(Relaxed), load.failed_count.load(Relaxed))
        })
    }

    /// Sessions of the cluster.
    #[must_use]
    pub fn sessions(&self, id: ClusterId) -> u32 {
        self.cluster(id).map_or(0, |load| load.sessions.load(Relaxed))
    }

    /// What was counted of the cluster.
    #[must_use]
    pub fn figures(&self, id: ClusterId) -> ClusterFigures {
        let Some(load) = self.cluster(id) else { return ClusterFigures::default() };
        let used_at = load.used_at.load(Relaxed);
        ClusterFigures {
            sessions: load.sessions.load(Relaxed).into(),
            dials: load.dials.load(Relaxed),
            dials_failed: load.dials_failed.load(Relaxed),
            dials_timed_out: load.dials_timed_out.load(Relaxed),
            bytes_up: load.bytes_up.load(Relaxed),
            bytes_down: load.bytes_down.load(Relaxed),
            used_at: (used_at != 0).then_some(Tick(used_at)),
        }
    }

    /// How many cluster and endpoint ids there is room for.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        let chunk = CHUNK as usize;
        (self.clusters.len().saturating_mul(chunk), self.endpoints.len().saturating_mul(chunk))
    }
}

/// For control.
impl Loads {
    /// The same figures, with room for at least so many ids.
    #[must_use]
    pub fn grown(&self, cluster_count: usize, endpoint_count: usize) -> Self {
        Self {
            endpoints: grow(&self.endpoints, endpoint_count),
            clusters: grow(&self.clusters, cluster_count),
        }
    }

    /// Forgets what is known of an endpoint, before its id names another one. Only for ids that
    /// the worker cannot reach any more: see [`super::interner`].
    pub(super) fn clear_endpoint(&self, id: EndpointId) {
        if let Some(load) = self.endpoint(id) {
            load.failures.store(0, Relaxed);
            load.ejections.store(0, Relaxed);
            for count in [&load.ejected_until, &load.opened_count, &load.failed_count] {
                count.store(0, Relaxed);
            }
        }
    }

    /// The same for a cluster: another one is not to go on from its counts.
    pub(super) fn clear_cluster(&self, id: ClusterId) {
        let Some(load) = self.cluster(id) else { return };
        let dials = [&load.dials, &load.dials_failed, &load.dials_timed_out];
        for count in dials.into_iter().chain([&load.bytes_up, &load.bytes_down, &load.used_at]) {
            count.store(0, Relaxed);
        }
    }

    /// How many handles share exactly this directory.
    #[cfg(test)]
    pub(super) fn handle_count(&self) -> usize {
        Arc::strong_count(&self.endpoints)
    }

    #[inline]
    fn endpoint(&self, id: EndpointId) -> Option<&EndpointLoad> {
        self.endpoints.get((id.0 / CHUNK) as usize)?.get((id.0 % CHUNK) as usize)
    }

    #[inline]
    fn cluster(&self, id: ClusterId) -> Option<&ClusterLoad> {
        self.clusters.get((id.0 / CHUNK) as usize)?.get((id.0 % CHUNK) as usize)
    }
}

impl EndpointLoad {
    #[inline]
    fn is_ejected(&self, now: Tick) -> bool {
        now.0 < self.ejected_until.load(Relaxed)
    }
}

/// On the thread that writes alone.
#[inline]
fn add(count: &AtomicU64, n: u64) {
    count.store(count.load(Relaxed).wrapping_add(n), Relaxed);
}

fn ejection_time(ejections: u16) -> Duration {
    EJECTION_BASE.saturating_mul(ejections.into()).min(EJECTION_MAX)
}

fn grow<T: Default>(directory: &Directory<T>, count: usize) -> Directory<T> {
    let chunk_count = count.div_ceil(CHUNK as usize);
    if chunk_count <= directory.len() {
        return Arc::clone(directory);
    }
    let fresh = directory.len()..chunk_count;
    let chunk = || (0..CHUNK).map(|_| T::default()).collect::<Arc<[T]>>();
    directory.iter().cloned().chain(fresh.map(|_| chunk())).collect()
}

#[cfg(test)]
mod tests;
