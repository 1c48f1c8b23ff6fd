//! What of a configuration can change while the gateway runs.

use std::fmt;
use std::sync::Arc;

use super::layers::Loaded;
use super::{Config, LogConfig, SessionLimits};

/// The flags that take effect without a restart. What is not here is bound, pinned or registered
/// once.
const LIVE: [&str; 19] = [
    "access-log",
    "access-log-every",
    "access-log-start",
    "allow",
    "connect-timeout",
    "default-cluster",
    "dial-attempts",
    "drain-delay",
    "drain-spread",
    "drain-timeout",
    "half-close-timeout",
    "hello-timeout",
    "hellos-per-source-max",
    "idle-timeout",
    "log-level",
    "metrics-clusters",
    "panic-threshold",
    "proxy-protocol-from",
    "refuse",
];

/// Reads the configuration again, from wherever it was read first.
#[derive(Clone)]
pub struct Rereader(Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>);

impl Rereader {
    /// A rereader; what is wrong comes as text for the operator, a line for each.
    pub fn new(read: impl Fn() -> Result<Loaded, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is wrong now.
    pub fn read(&self) -> Result<Loaded, String> {
        (self.0)()
    }
}

impl fmt::Debug for Rereader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rereader")
    }
}

/// What became of a configuration that was read again.
#[derive(Clone, Debug)]
pub struct TakenOver {
    /// What is in force now.
    pub config: Config,
    /// The log of the process.
    pub log: LogConfig,
    /// The flags that took effect.
    pub changed: Vec<String>,
    /// The flags that changed, and keep their old value until the gateway is started anew.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// Takes over from a newer configuration what can change while the gateway runs.
    #[must_use]
    pub fn taken_over(&self, newer: Loaded) -> TakenOver {
        let Loaded { config: newer, log } = newer;
        let is_live = |flag: &str| LIVE.contains(&flag);
        let (changed, needs_restart) =
            self.effective.changed(&newer.effective).into_iter().partition(|flag| is_live(flag));
        let config = Self {
            // Listeners give theirs to what they accept.
            sessions: SessionLimits { keepalive: self.sessions.keepalive, ..newer.sessions },
            drain: newer.drain,
            access_log: newer.access_log,
            access_log_moments: newer.access_log_moments,
            metrics_cluster_count_max: newer.metrics_cluster_count_max,
            effective: self.effective.updated(&newer.effective, is_live),
            ..self.clone()
        };
        TakenOver { config, log, changed, needs_restart }
    }
}

#[cfg(test)]
mod tests {
    use super::LIVE;
    use crate::cli::words::flags_of_run;

    #[test]
    fn what_is_live_is_a_flag() {
        let flags = flags_of_run();
        for name in LIVE {
            assert!(flags.iter().any(|flag| flag.name == name), "{name}");
        }
        assert!(LIVE.is_sorted(), "in alphabetical order, each once");
    }
}
