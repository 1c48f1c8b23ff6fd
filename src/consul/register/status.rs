//! How it stands with the registration: for the log, `/routes`, gauges, and whoever waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use super::{Definition, Health, RegisterError};

/// How it stands with the registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The agent was not told anything yet.
    Waiting,
    /// The agent knows us, and this was the last it was told.
    Told(Health),
    /// The agent cannot be told.
    Failing {
        /// Why not, in one sentence for the operator.
        reason: String,
        /// Since when.
        since: Instant,
        /// Attempts in vain since then.
        attempt_count: u32,
    },
}

/// What is known of the registration everywhere. A change of its state is logged once.
#[derive(Debug)]
pub struct RegistrationStatus {
    state: watch::Sender<State>,
    registration_count: AtomicU64,
    /// What the agent said last of the service with our id.
    seen: watch::Sender<Option<Definition>>,
}

impl Default for RegistrationStatus {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::Waiting),
            registration_count: AtomicU64::new(0),
            seen: watch::Sender::new(None),
        }
    }
}

impl RegistrationStatus {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// To wait for a change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// How many times the agent was told who we are: more than once, where it forgot us or was
    /// away.
    #[must_use]
    pub fn registration_count(&self) -> u64 {
        self.registration_count.load(Ordering::Relaxed)
    }

    /// Takes note of what the agent says of the service with our id.
    pub(crate) fn saw(&self, definition: Definition) {
        self.seen.send_replace(Some(definition));
    }

    pub(super) fn seen(&self) -> watch::Receiver<Option<Definition>> {
        self.seen.subscribe()
    }

    pub(super) fn introduced(&self) {
        self.registration_count.fetch_add(1, Ordering::Relaxed);
    }

    /// The agent was told.
    pub(super) fn told(&self, id: &str, health: &Health) {
        let before = self.state.borrow().clone();
        let now = State::Told(health.clone());
        match before {
            State::Waiting => tracing::info!(id, "the Consul agent knows this gateway"),
            State::Failing { since, attempt_count, .. } => tracing::info!(
                id,
                after_s = since.elapsed().as_secs(),
                attempts = attempt_count,
                "the Consul agent knows this gateway again"
            ),
            State::Told(_) => {}
        }
        self.state.send_if_modified(|state| {
            let is_news = *state != now;
            *state = now;
            is_news
        });
    }

    /// The agent could not be told. `is_news`: unlike the failure before.
    pub(super) fn failed(&self, id: &str, error: &RegisterError, is_news: bool) {
        if is_news {
            tracing::warn!(id, "{error}; it is tried again");
        }
        self.state.send_modify(|state| {
            let (since, before) = match state {
                State::Failing { since, attempt_count, .. } => (*since, *attempt_count),
                State::Waiting | State::Told(_) => (Instant::now(), 0),
            };
            let attempt_count = before.saturating_add(1);
            *state = State::Failing { reason: error.to_string(), since, attempt_count };
        });
    }
}
