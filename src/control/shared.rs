//! What the threads of a gateway know together. Nothing of it is on the data path.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use serde_json::Value;
use tokio::sync::watch;

use super::provenance::{Origin, Provenance};
use crate::admin::SocketFile;
use crate::config::AdminBind;
use crate::consul::register::Health;
use crate::dataplane::stats::Stats;
use crate::limits::METRICS_CLUSTER_COUNT;
use crate::refusal::Refusal;
use crate::route::{Loads, RoutingTable};

/// Where a gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Workers are being started.
    Starting = 0,
    /// Accepting and relaying.
    Serving = 1,
    /// Told to end: no longer ready, but perhaps still accepting.
    Leaving = 2,
    /// All workers have ended.
    Ended = 3,
}

/// The engine in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineReport {
    /// `io_uring` or `epoll`.
    pub name: &'static str,
    /// Why it is not io_uring, if that was wanted.
    pub fallback: Option<String>,
}

const NO_WORKERS: &str = "Sluice starts: its workers do not accept connections yet.";
const NO_TABLE: &str = "Sluice starts: Consul has not answered all that its routes are made of.";
const LEAVING: &str = "Sluice was told to end.";
const FAILED: &str = "Sluice was told to fail its health check; POST /healthcheck/ok ends that.";

/// A table, and what the workers count under its ids.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The table.
    pub table: Arc<RoutingTable>,
    /// The figures of each worker, with room for all ids of the table.
    pub loads: Arc<[Loads]>,
}

/// What the threads of a gateway know together.
#[derive(Debug)]
pub struct Shared {
    /// When it started.
    pub started: Instant,
    /// The same by the clock on the wall.
    pub started_at: SystemTime,
    /// The engine.
    pub engine: EngineReport,
    /// The counters of each worker.
    pub workers: Vec<Arc<Stats>>,
    /// The CPUs that workers are pinned to; empty if they are not.
    pub cpus: Vec<usize>,
    /// Sessions that each worker may have.
    pub session_count_max: u32,
    /// The addresses accepted on, with the ports that port 0 became.
    pub addresses: Vec<SocketAddr>,
    /// Where the admin HTTP server listens.
    pub admin: Vec<AdminBind>,
    /// Where the routes come from.
    pub provenance: Provenance,
    phase: AtomicU8,
    /// Whether an operator wants no more connections, for now.
    is_failed: AtomicBool,
    /// Whether the listeners were told to close.
    is_closed: AtomicBool,
    metrics_cluster_count_max: AtomicUsize,
    published: Mutex<Published>,
    /// As its pages tell it.
    configuration: Mutex<Value>,
    socket_files: Mutex<Vec<Weak<SocketFile>>>,
    health: watch::Sender<Health>,
}

impl Shared {
    /// Shared knowledge of a gateway that is starting.
    pub(crate) fn new(
        engine: EngineReport,
        worker_count: u16,
        cpus: Vec<usize>,
        session_count_max: u32,
        addresses: Vec<SocketAddr>,
        admin: Vec<AdminBind>,
        origin: Origin,
    ) -> Self {
        let stats = || Arc::new(Stats::new(addresses.len()));
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            engine,
            workers: (0..worker_count).map(|_| stats()).collect(),
            cpus,
            session_count_max,
            addresses,
            admin,
            provenance: Provenance::new(origin),
            phase: AtomicU8::new(Phase::Starting as u8),
            is_failed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            metrics_cluster_count_max: AtomicUsize::new(METRICS_CLUSTER_COUNT),
            published: Mutex::default(),
            configuration: Mutex::default(),
            socket_files: Mutex::default(),
            health: watch::Sender::new(Health::Starting(NO_WORKERS.into())),
        }
    }

    /// Where the gateway is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Leaving,
            _ => Phase::Ended,
        }
    }

    /// Goes on to a phase; an earlier one than the present is ignored.
    pub(crate) fn advance(&self, to: Phase) {
        self.phase.fetch_max(to as u8, Ordering::AcqRel);
        self.update_health();
    }

    /// Says that no connections are wanted, without ending anything; or that they are again.
    pub(crate) fn fail(&self, is_failed: bool) {
        self.is_failed.store(is_failed, Ordering::Release);
        self.update_health();
    }

    /// Whether an operator wants no more connections, for now.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// The listeners close.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether connections are accepted, welcome or not.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.phase() != Phase::Starting && !self.is_closed.load(Ordering::Acquire)
    }

    /// What Consul is told of this gateway, now and whenever it changes.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Whether connections are welcome: workers accept, and there is a table.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.health.borrow() == Health::Passing
    }

    fn update_health(&self) {
        let health = match (self.phase(), self.provenance.has_table()) {
            (Phase::Starting, _) => Health::Starting(NO_WORKERS.into()),
            (Phase::Serving, _) if self.is_failed() => Health::Starting(FAILED.into()),
            (Phase::Serving, false) => Health::Starting(NO_TABLE.into()),
            (Phase::Serving, true) => Health::Passing,
            (Phase::Leaving | Phase::Ended, _) => Health::Leaving(LEAVING.into()),
        };
        self.health.send_if_modified(|told| {
            // Two threads may be here at once; whoever leaves does not come back.
            let is_news = *told != health && !matches!(told, Health::Leaving(_));
            if is_news {
                *told = health;
            }
            is_news
        });
    }

    /// The table published last, for questions about it.
    #[must_use]
    pub fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&lock(&self.published).table)
    }

    /// The table published last, with what is counted under its ids.
    #[must_use]
    pub fn published(&self) -> Published {
        lock(&self.published).clone()
    }

    pub(crate) fn set_published(&self, published: Published) {
        *lock(&self.published) = published;
        self.provenance.published();
        self.update_health();
    }

    /// How many clusters metrics have series of, at most.
    #[must_use]
    pub fn metrics_cluster_count_max(&self) -> usize {
        self.metrics_cluster_count_max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_metrics_cluster_count_max(&self, count: usize) {
        self.metrics_cluster_count_max.store(count, Ordering::Relaxed);
    }

    /// The configuration in force, without secrets.
    #[must_use]
    pub fn configuration(&self) -> Value {
        lock(&self.configuration).clone()
    }

    pub(crate) fn set_configuration(&self, configuration: Value) {
        *lock(&self.configuration) = configuration;
    }

    pub(crate) fn set_socket_files(&self, files: Vec<Weak<SocketFile>>) {
        *lock(&self.socket_files) = files;
    }

    /// Removes what the admin server has in the file system, for an end without unwinding.
    pub(crate) fn remove_socket_files(&self) {
        lock(&self.socket_files).iter().filter_map(Weak::upgrade).for_each(|file| file.remove());
    }

    /// Sessions that all workers together may have.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.session_count_max).saturating_mul(self.workers.len() as u64)
    }

    /// One number, summed over the workers.
    #[must_use]
    pub fn total(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.workers.iter().map(|stats| of(stats)).fold(0, u64::saturating_add)
    }

    /// Refusals for one reason, summed over the workers.
    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.total(|stats| stats.refused_for(why))
    }
}

/// Locks what is whole at any time, so that a panic elsewhere does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
