//! Where the routes in force come from, for whoever asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::shared::lock;
use crate::consul::register::{Health, RegistrationStatus, State as Registered};
use crate::consul::watch::Status;

/// Figures of the routes in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// How long ago a table was published, if one was.
    pub(crate) age: Option<Duration>,
    /// Answers that are held back.
    pub(crate) held_count: usize,
    /// Notes on what was left out.
    pub(crate) note_count: usize,
    /// Whether some of it is from a disk.
    pub(crate) is_restored: bool,
}

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
    /// Consul.
    Consul { status: Arc<Status>, registered: Arc<RegistrationStatus> },
}

#[derive(Debug, Default)]
struct State {
    published_at: Option<Instant>,
    held: Vec<String>,
    notes: Vec<String>,
    restored: Option<String>,
}

impl Provenance {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, state: Mutex::default() }
    }

    /// A table was published.
    pub(crate) fn published(&self) {
        lock(&self.state).published_at = Some(Instant::now());
    }

    /// What is held back, what was left out, and whether all of it is from a disk.
    pub(crate) fn set_consul(
        &self,
        held: Vec<String>,
        notes: Vec<String>,
        restored: Option<String>,
    ) {
        let mut state = lock(&self.state);
        (state.held, state.notes, state.restored) = (held, notes, restored);
    }

    /// Whether there is a table at all.
    #[must_use]
    pub fn has_table(&self) -> bool {
        lock(&self.state).published_at.is_some()
    }

    /// For how long Consul has not answered something that the table is made of; `None` while
    /// all is well, and without Consul.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Consul { status, .. } => status.behind(Instant::now()),
        }
    }

    /// Why Consul does not know the gateway, if it should and does not.
    #[must_use]
    pub fn unregistered(&self) -> Option<String> {
        match self.consul()?.1.state() {
            Registered::Failing { reason, .. } => Some(reason),
            Registered::Waiting | Registered::Told(_) => None,
        }
    }

    /// Consul's side of it, if they come from there.
    pub(crate) fn consul(&self) -> Option<(&Status, &RegistrationStatus)> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Consul { status, registered } => Some((status, registered)),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = lock(&self.state);
        Figures {
            age: state.published_at.map(|at| at.elapsed()),
            held_count: state.held.len(),
            note_count: state.notes.len(),
            is_restored: state.restored.is_some(),
        }
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
            Origin::Consul { status, registered } => json!({
                "from": format!("the Consul agent at {}", status.agent()),
                "published_age_s": age_s,
                "behind_s": status.behind(Instant::now()).map(|behind| behind.as_secs()),
                "parts": parts(status),
                "registration": registration(registered),
                "restored": state.restored,
                "held": state.held,
                "notes": state.notes,
            }),
        }
    }
}

fn parts(status: &Status) -> Vec<Value> {
    let told = status.parts().into_iter().map(|part| {
        json!({
            "part": part.part.name(),
            "index": part.index,
            "age_s": part.last_good.map(|at| at.elapsed().as_secs()),
            "bytes": part.bytes_count,
            "filtered_by_acls": part.filtered_by_acls,
            "failures": part.failures,
            "failing": part.reason,
            "held": part.held,
        })
    });
    told.collect()
}

fn registration(registered: &RegistrationStatus) -> String {
    match registered.state() {
        Registered::Waiting => "the agent was not told anything yet".to_owned(),
        Registered::Told(Health::Passing) => "passing".to_owned(),
        Registered::Told(Health::Starting(why) | Health::Leaving(why)) => {
            format!("critical: {why}")
        }
        Registered::Failing { reason, since, attempt_count } => {
            let since_s = since.elapsed().as_secs();
            format!("failing for {since_s} s, in {attempt_count} attempts: {reason}")
        }
    }
}
