//! Answers in Envoy's shapes, for the tools, dashboards and alerts that ask for them. What Sluice
//! does not count is left out rather than told as 0.
//!
//! Sources: Envoy's documentation of its admin interface and statistics, and for the labels
//! `command/connect/envoy/bootstrap_config.go` of Consul.

mod config_dump;
mod figures;
mod inventory;
mod labels;
mod query;
mod stats;
#[cfg(test)]
mod tests;

pub(super) use config_dump::config_dump;
pub(super) use figures::Figures;
pub(super) use inventory::{
    clusters, clusters_text, listeners, listeners_text, memory, server_info,
};
pub(super) use query::Query;
pub(super) use stats::{Reset, json, prometheus, text};

use crate::control::shared::{Phase, Shared};

/// The state of a server, with the number that Envoy's gauge has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live = 0,
    Draining = 1,
    Initializing = 3,
}

impl State {
    fn of(shared: &Shared) -> Self {
        match shared.phase() {
            Phase::Leaving | Phase::Ended => Self::Draining,
            Phase::Serving if shared.is_failed() => Self::Draining,
            Phase::Serving if shared.is_ready() => Self::Live,
            Phase::Starting | Phase::Serving => Self::Initializing,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
            Self::Initializing => "INITIALIZING",
        }
    }
}
