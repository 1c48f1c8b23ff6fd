//! The log of the process, on standard error, and its last lines in memory.

use std::sync::OnceLock;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, fmt, reload};

use super::events::Remember;
use crate::config::{LogConfig, LogFormat};

/// Changes the level. There is one for the whole process, as there is one standard error.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Sends everything that is traced to standard error. For the whole process: called by `main`
/// and not by the library.
pub fn begin(config: LogConfig) {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(config.level));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let subscriber = Registry::default();
    // A second call finds a subscriber in place and leaves it there.
    let begun = match config.format {
        LogFormat::Text => begin_with(subscriber.with(lines.with_filter(filter))),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            begin_with(subscriber.with(lines.with_filter(filter)))
        }
    };
    if begun.is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Whatever of it is logged: what happened can be asked for.
fn begin_with<S>(subscriber: S) -> Result<(), SetGlobalDefaultError>
where
    S: Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
{
    let remember = Remember.with_filter(LevelFilter::INFO);
    tracing::subscriber::set_global_default(subscriber.with(remember))
}

/// What is logged now; `None` where [`begin`] was not called.
#[must_use]
pub fn level() -> Option<LevelFilter> {
    LEVEL.get()?.clone_current()
}

/// Logs from now on what is of this level or above it. Says whether it could be set: not where
/// [`begin`] was not called.
pub fn set_level(level: LevelFilter) -> bool {
    LEVEL.get().is_some_and(|handle| handle.reload(level).is_ok())
}
