//! The log of the process, on standard error.

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

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
    let subscriber = Registry::default().with(filter);
    // A second call finds a subscriber in place and leaves it there.
    let begun = match config.format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.with(lines)),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(subscriber.with(lines))
        }
    };
    if begun.is_ok() {
        let _ = LEVEL.set(handle);
    }
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
