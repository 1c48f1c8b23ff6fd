//! Control's side: makes tables out of routes, sends every worker its copy, and takes back what
//! is not used any more.

use std::sync::Arc;
use std::time::Instant;

use super::directory::Directory;
use super::interner::{Freed, Interner, Usage};
use super::table::{BuildError, RoutingTable};
use super::{ClusterId, Delivery, EndpointId, Loads, Mailbox, Routes};
use crate::limits::ID_REUSE_GRACE;

/// Publishes tables to workers. One thread at a time; the builder thread, usually, because
/// building a large table takes longer than control may be away.
#[derive(Debug, Default)]
pub struct Publisher {
    interner: Interner,
    table: RoutingTable,
    workers: Workers,
}

#[derive(Debug, Default)]
struct Workers(Vec<Worker>);

struct Worker {
    mailbox: Arc<Mailbox>,
    loads: Loads,
    wake: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Adds a worker and sends it the present table. `wake` must end the worker's wait, from any
    /// thread.
    pub fn add_worker(&mut self, mailbox: Arc<Mailbox>, wake: impl Fn() + Send + 'static) {
        let mut worker = Worker { mailbox, loads: Loads::default(), wake: Box::new(wake) };
        worker.send(&self.table, self.interner.counts());
        self.workers.0.push(worker);
    }

    /// Makes a table and sends it to every worker; returns its version.
    ///
    /// # Errors
    /// See [`BuildError`]. The workers keep their table then.
    pub fn publish(&mut self, routes: &Routes) -> Result<u64, BuildError> {
        let version = self.table.version().saturating_add(1);
        self.table = RoutingTable::build(routes, &mut self.interner, version)?;
        for worker in &mut self.workers.0 {
            worker.send(&self.table, self.interner.counts());
        }
        Ok(version)
    }

    /// Frees retired tables, and ids that nobody uses any more. To be called now and then, also
    /// when nothing is published: every few seconds is enough.
    pub fn reclaim(&mut self, now: Instant) -> Freed {
        for worker in &self.workers.0 {
            worker.mailbox.collect();
        }
        let freed = self.interner.reclaim(&self.workers, now, ID_REUSE_GRACE);
        for worker in &self.workers.0 {
            freed.endpoints.iter().for_each(|id| worker.loads.clear_endpoint(*id));
            freed.clusters.iter().for_each(|id| worker.loads.clear_cluster(*id));
        }
        freed
    }

    /// The table published last.
    #[must_use]
    pub fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// The names of ids, for other threads.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.interner.directory()
    }

    /// The figures of each worker, in the order they were added. The handles see all ids of the
    /// table published last, not those of later ones.
    pub fn loads(&self) -> impl Iterator<Item = &Loads> {
        self.workers.0.iter().map(|worker| &worker.loads)
    }

    /// The oldest version that a worker still uses.
    #[must_use]
    pub fn adopted_version(&self) -> u64 {
        self.workers.adopted_version()
    }
}

impl Worker {
    fn send(&mut self, table: &RoutingTable, (cluster_count, endpoint_count): (usize, usize)) {
        self.loads = self.loads.grown(cluster_count, endpoint_count);
        self.mailbox.publish(Delivery::new(table.copy(), self.loads.clone()));
        (self.wake)();
    }
}

/// Workers that have ended hold nothing.
impl Workers {
    fn living(&self) -> impl Iterator<Item = (u64, &Loads)> {
        let living = |worker: &Worker| worker.mailbox.adopted_version();
        self.0.iter().filter_map(move |worker| Some((living(worker)?, &worker.loads)))
    }
}

impl Usage for Workers {
    fn adopted_version(&self) -> u64 {
        self.living().map(|(version, _)| version).min().unwrap_or(u64::MAX)
    }

    fn is_cluster_idle(&self, id: ClusterId) -> bool {
        self.living().all(|(_, loads)| loads.sessions(id) == 0)
    }

    fn is_endpoint_idle(&self, id: EndpointId) -> bool {
        self.living().all(|(_, loads)| loads.active(id) == 0)
    }
}

#[cfg(test)]
mod tests;
