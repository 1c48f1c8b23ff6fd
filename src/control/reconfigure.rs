//! Takes over a configuration that was read again, as far as a running gateway can.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use tracing::level_filters::LevelFilter;

use super::logging;
use super::plan::Budget;
use super::shared::Shared;
use crate::config::{Config, LogFormat, TakenOver};
use crate::consul::agent::Client;
use crate::dataplane::access::Access;
use crate::dataplane::orders::Orders;
use crate::dataplane::settings::Settings;
use crate::sys::waker::Waker;

/// The addresses of the federation's gateways.
pub(crate) type Federation = Arc<HashSet<IpAddr>>;

/// The settings that a configuration has for each worker.
pub(crate) fn settings(
    config: &Config,
    budget: Budget,
    worker_count: usize,
    federation: &Federation,
) -> Settings {
    let sessions = &config.sessions;
    // Each worker counts by itself: Linux spreads the connections of one source over all of them.
    let shares = u32::try_from(worker_count.max(1)).unwrap_or(u32::MAX);
    let moments = config.access_log_moments;
    Settings {
        hello_timeout: sessions.hello_timeout,
        idle_timeout: sessions.idle_timeout,
        half_close_timeout: sessions.half_close_timeout,
        dial_attempts_max: sessions.dial_attempts_max,
        refuse_with: sessions.refuse_with,
        upstream_keepalive: sessions.keepalive,
        session_count_max: budget.session_count_max,
        pipe_count_max: budget.pipe_count_max,
        drain_spread: config.drain.spread,
        access: Access {
            hellos_per_source_max: sessions.access.hellos_per_source_max.div_ceil(shares),
            federation: Arc::clone(federation),
            ..sessions.access.clone()
        },
        access_log: config.access_log.is_some(),
        access_log_start: moments.at_start,
        access_log_every: moments.every,
    }
}

/// What is in force, and those who have to hear of something else.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) config: Config,
    pub(crate) budget: Budget,
    /// What the workers were told last.
    pub(crate) settings: Settings,
    pub(crate) federation: Federation,
    pub(crate) workers: Vec<(Arc<Orders>, Arc<Waker>)>,
    /// The ties to Consul: its certificates are read again, too.
    pub(crate) agent: Option<Client>,
    /// The access log's writer.
    pub(crate) access_log: Sender<Option<LogFormat>>,
}

impl Running {
    /// Reads the configuration again, and takes over what it can. `None`: it cannot be read again.
    ///
    /// # Errors
    /// It is wrong, and the one in force is kept. It was told on the log.
    pub(crate) fn reread(&mut self, shared: &Shared) -> Option<Result<TakenOver, String>> {
        let read = self.config.rereader.as_ref()?.read();
        let renewed = || self.agent.as_ref().map_or(Ok(()), Client::renew);
        let read = read.and_then(|newer| {
            renewed().map_err(|error| error.to_string())?;
            Ok(newer)
        });
        let taken = match read {
            Ok(newer) => self.config.taken_over(newer),
            Err(wrong) => {
                tracing::error!("{wrong}; the configuration in force is kept");
                shared.set_configuration(self.config.describe_reread(Err(&wrong)));
                return Some(Err(wrong));
            }
        };
        // A level that was set otherwise stays until the configuration has another.
        if taken.changed.iter().any(|flag| flag == "log-level") {
            logging::set_level(LevelFilter::from_level(taken.log.level));
        }
        self.config = taken.config.clone();
        shared.set_metrics_cluster_count_max(self.config.metrics_cluster_count_max);
        self.tell_workers();
        // It has ended where nobody reads it.
        let _ = self.access_log.send(self.config.access_log);
        shared.set_configuration(self.config.describe_reread(Ok(&taken.needs_restart)));
        tell(&taken);
        Some(Ok(taken))
    }

    /// The gateways of the federation are these now.
    pub(crate) fn set_federation(&mut self, federation: &Federation) {
        if *federation != self.federation {
            self.federation = Arc::clone(federation);
            self.tell_workers();
        }
    }

    fn tell_workers(&mut self) {
        let (count, federation) = (self.workers.len(), &self.federation);
        let settings = settings(&self.config, self.budget, count, federation);
        if settings == self.settings {
            return;
        }
        for (orders, waker) in &self.workers {
            orders.change(settings.clone());
            waker.wake();
        }
        self.settings = settings;
    }
}

fn tell(taken: &TakenOver) {
    let changed = taken.changed.join(", ");
    tracing::info!(changed, "the configuration was read again");
    if !taken.needs_restart.is_empty() {
        let flags = taken.needs_restart.join(", ");
        tracing::warn!(flags, "changed, and keeps its value until the gateway is started anew");
    }
}
