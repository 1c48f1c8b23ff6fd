//! Where the routes in force come from, for whoever asks.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use super::shared::lock;

/// Where the routes in force come from. Written by the builder, read by the admin server.
#[derive(Debug)]
pub struct Provenance {
    origin: Origin,
    state: Mutex<State>,
}

/// What makes routes.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A routes file.
    File(PathBuf),
}

#[derive(Debug, Default)]
struct State {
    published_at: Option<Instant>,
}

impl Provenance {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, state: Mutex::default() }
    }

    /// A table was published.
    pub(crate) fn published(&self) {
        lock(&self.state).published_at = Some(Instant::now());
    }

    /// Whether there is a table at all.
    #[must_use]
    pub fn has_table(&self) -> bool {
        lock(&self.state).published_at.is_some()
    }

    /// All of it, as the admin server tells it.
    #[must_use]
    pub fn describe(&self) -> Value {
        let state = lock(&self.state);
        let age_s = state.published_at.map(|at| at.elapsed().as_secs());
        match &self.origin {
            Origin::File(path) => json!({
                "from": format!("the routes file {}", path.display()),
                "published_age_s": age_s,
            }),
        }
    }
}
