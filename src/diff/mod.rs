//! `sluice diff`: the table here against what an Envoy routes by that runs as a mesh gateway.
//!
//! ```text
//!   /config_dump ─▶ envoy::dump ─▶ envoy::read ─┐
//!                                               ├─▶ Facts, twice ─▶ compare ─▶ Outcome
//!   /routes, or the Consul agent ─▶ ours ───────┘
//! ```
//!
//! In what both differ on purpose is a note: see [`note::Note`], and for how it is known that
//! Consul means it so, `tests/consul/oracle/differences.toml`. Nothing is changed.

mod compare;
mod envoy;
mod facts;
mod note;
mod ours;
mod outcome;
#[cfg(test)]
mod tests;

pub use outcome::Outcome;

use crate::cli::diff::DiffArgs;
use crate::config::wrong;
use crate::control::runtime;
use crate::doctor::known::{Known, NoTable, resolve_all};
use crate::error::{Exit, StartError};
use crate::limits::DIFF_AGAIN_AFTER;
use envoy::EnvoyError;

/// Why nothing could be compared. One sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The command line is wrong, or Linux refused something.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Envoy's table cannot be had.
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    /// There is none here.
    #[error("{reason}; {remedy}")]
    NoTable {
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

impl DiffError {
    /// The exit code that tells it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Start(error) => error.exit(),
            Self::Envoy(_) | Self::NoTable { .. } => Exit::Unavailable,
        }
    }
}

/// Compares both tables. They are read one after the other: a change that reached only one of
/// them by then is no difference, so what differs is looked at once more.
///
/// # Errors
/// See [`DiffError`].
pub fn compare(args: &DiffArgs) -> Result<Outcome, DiffError> {
    let url = envoy::url(&args.envoy_admin).ok_or_else(|| {
        let expected = "the address of Envoy's admin server, such as 127.0.0.1:19000";
        StartError::from(wrong("--envoy-admin", &args.envoy_admin, expected))
    })?;
    let first = compare_once(args, &url)?;
    if first.is_equal() {
        return Ok(first);
    }
    std::thread::sleep(DIFF_AGAIN_AFTER);
    compare_once(args, &url)
}

fn compare_once(args: &DiffArgs, url: &reqwest::Url) -> Result<Outcome, DiffError> {
    let read = runtime::block_on(false, envoy::table(url));
    let theirs = read.map_err(StartError::system("starting a runtime"))??;
    let known = Known::read(args.admin.as_deref(), &args.gateway, &args.agent)?;
    let known =
        known.map_err(|NoTable { reason, remedy }| DiffError::NoTable { reason, remedy })?;
    let ours = ours::table(&known);
    let resolved = resolve_all(theirs.hosts())?;
    let findings = compare::compare(&theirs, &ours, &resolved);
    Ok(Outcome {
        envoy: url.origin().ascii_serialization(),
        here: known.to_string(),
        envoy_route_count: theirs.clusters().count(),
        here_route_count: ours.clusters().count(),
        findings,
    })
}
