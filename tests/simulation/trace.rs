//! What happened, in order: kept only when somebody will read it.

use sluice::kernel::Tick;

/// A list of events, or nothing.
#[derive(Debug)]
pub(crate) struct Trace(Option<Vec<String>>);

impl Trace {
    pub(crate) fn off() -> Self {
        Self(None)
    }

    pub(crate) fn on() -> Self {
        Self(Some(Vec::new()))
    }

    pub(crate) fn note(&mut self, now: Tick, event: impl FnOnce() -> String) {
        if let Some(events) = &mut self.0 {
            events.push(format!("{:>12.6} s  {}", now.0 as f64 / 1e6, event()));
        }
    }

    /// The last events.
    pub(crate) fn last(&self, count: usize) -> String {
        let events = self.0.as_deref().unwrap_or_default();
        events[events.len().saturating_sub(count)..].join("\n")
    }
}
