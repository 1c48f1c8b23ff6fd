//! The log of the process, on standard error.

use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat};

/// Sends everything that is traced to standard error. For the whole process: called by `main`
/// and not by the library.
pub fn begin(config: LogConfig) {
    let subscriber = fmt()
        .with_writer(std::io::stderr)
        .with_max_level(config.level)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second call finds a subscriber in place and leaves it there.
    let _ = match config.format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish()),
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(subscriber.finish())
        }
    };
}
