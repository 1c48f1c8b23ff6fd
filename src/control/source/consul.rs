//! Routes from Consul's answers, and the last good ones on disk.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::config::SessionLimits;
use crate::config::consul::ConsulPlan;
use crate::consul::register::{Definition, DnsDiscovery, Registration, RemoteKeepalive};
use crate::consul::snapshot::{ConsulTable, RemoteOptions, Snapshot, TableOptions};
use crate::consul::watch::{Part, Reading, Status, Verdict};
use crate::control::hold::Hold;
use crate::control::resolver::Host;
use crate::control::state_file::{self, Expected, RestoreError, State};
use crate::kernel::Keepalive;
use crate::limits::{CONNECT_TIMEOUT, STATE_CONFIRM_INTERVAL, STATE_SAVE_INTERVAL};
use crate::route::Routes;
use crate::sys::socket;

/// An answer of Consul's, brought to the builder.
#[derive(Debug)]
pub(crate) struct Offer {
    /// To which question.
    pub(crate) part: Part,
    /// The answer.
    pub(crate) body: bytes::Bytes,
    /// How it was read.
    pub(crate) reading: Reading,
    /// Where to say what became of it.
    pub(crate) reply: oneshot::Sender<Verdict>,
}

/// Routes from Consul's answers.
#[derive(Debug)]
pub(crate) struct ConsulSource {
    hold: Hold,
    options: TableOptions,
    connect_timeout_of_flag: Duration,
    gateway: String,
    status: Arc<Status>,
    /// What was read of a registration that others made, to be kept on disk.
    definition: Option<Vec<u8>>,
    /// What cannot be read of the gateway's options.
    problems: Vec<String>,
    /// The domain of Consul's agents, where it is known.
    server_domain: Option<String>,
    state_dir: Option<PathBuf>,
    saved_at: Option<Instant>,
    is_unsaved: bool,
    save_failure: Option<String>,
    /// What there was on disk, for people, until Consul has answered all of it anew.
    restored: Option<String>,
    /// What Consul has not answered yet.
    unanswered: Vec<Part>,
}

/// What was on disk.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    snapshot: Snapshot,
    /// What Consul said of a registration that others made.
    pub(crate) definition: Option<Vec<u8>>,
    server_domain: Option<String>,
    told: Option<String>,
}

impl Kept {
    /// Reads what an earlier process kept, if there is a folder for it.
    pub(crate) fn read(plan: &ConsulPlan) -> Self {
        let Some(folder) = &plan.state_dir else { return Self::default() };
        let expected = Expected {
            gateway: plan.registration.id(),
            datacenter: None,
            age_max: plan.state_age_max.unwrap_or(Duration::MAX),
            now: SystemTime::now(),
        };
        match state_file::restore(folder, &expected) {
            Ok(restored) => {
                let age = restored.age.map(|age| age.as_secs());
                let told = match age {
                    Some(age) => format!("{age} s old when the gateway started"),
                    None => "of unknown age: the clock has gone back since it was saved".into(),
                };
                let State { snapshot, definition, server_domain, .. } = restored.state;
                Self { snapshot, definition, server_domain, told: Some(told) }
            }
            Err(error @ RestoreError::Absent { .. }) => {
                tracing::info!("{error}");
                Self::default()
            }
            Err(error) => {
                tracing::warn!("{error}");
                Self::default()
            }
        }
    }
}

impl ConsulSource {
    /// Starts from what was kept, if anything was.
    pub(crate) fn new(
        plan: &ConsulPlan,
        sessions: &SessionLimits,
        kept: Kept,
        status: Arc<Status>,
    ) -> Self {
        let mut options = TableOptions {
            connect_timeout: sessions.connect_timeout,
            panic_threshold_percent: sessions.panic_threshold_percent,
            partition: plan.agent.partition.clone().unwrap_or_default(),
            ..TableOptions::default()
        };
        // Until the agent says it again.
        let definition = match &plan.registration {
            Registration::Owned(owned) => Some(owned.definition()),
            Registration::Foreign { .. } => {
                kept.definition.as_deref().and_then(|body| Definition::parse(body).ok())
            }
        };
        if let Some(definition) = definition {
            apply(&definition, sessions.connect_timeout, &mut options);
        }
        let server_domain = plan.server_domain.clone().or(kept.server_domain);
        if let Some(domain) = &server_domain {
            options.server_domain.clone_from(domain);
        }
        let hold = Hold::new(kept.snapshot, options.clone());
        if let Some(told) = hold.table().and(kept.told.as_ref()) {
            tracing::warn!("serving from the state on disk until Consul answers: {told}");
        }
        Self {
            hold,
            options,
            connect_timeout_of_flag: sessions.connect_timeout,
            gateway: plan.registration.id().to_owned(),
            status,
            definition: kept.definition,
            problems: Vec::new(),
            server_domain,
            state_dir: plan.state_dir.clone(),
            saved_at: None,
            is_unsaved: false,
            save_failure: None,
            restored: kept.told,
            unanswered: Part::ALL.into_iter().filter(|part| !part.is_optional()).collect(),
        }
    }

    /// Takes an answer in. Says whether the table is another one now.
    pub(crate) fn take(&mut self, offer: Offer) -> bool {
        let Offer { part, body, reading, reply } = offer;
        let was_held = self.is_held(part);
        let outcome = self.hold.offer(part, &body, reading, Instant::now());
        self.is_unsaved |= outcome.verdict == Verdict::Taken;
        match (&outcome.verdict, was_held, reading) {
            (Verdict::Taken | Verdict::Same, false, _) => self.answered(part),
            (Verdict::Taken, true, Reading::Confirmed) => {
                tell_ended(part, "it was confirmed, and is applied");
                self.answered(part);
            }
            (Verdict::Taken | Verdict::Same, true, _) => {
                tell_ended(part, "what it would remove is there again");
                self.answered(part);
            }
            (Verdict::Held(_), false, _) => self.tell_held(part),
            (Verdict::Held(_), true, _) | (Verdict::Rejected(_), ..) => {}
        }
        // Whoever asked is gone when the gateway ends.
        let _ = reply.send(outcome.verdict);
        outcome.table_changed
    }

    /// Once Consul has answered everything, nothing is from the disk any more.
    fn answered(&mut self, part: Part) {
        self.unanswered.retain(|waiting| *waiting != part);
        if self.unanswered.is_empty() && self.restored.take().is_some() {
            tracing::info!("Consul has answered: nothing is from the state on disk any more");
        }
    }

    /// Says what is held, when it begins to be.
    fn tell_held(&self, part: Part) {
        for held in self.hold.held(Instant::now()).filter(|held| held.part == part) {
            tracing::warn!(
                part = part.name(),
                "Consul's answer would remove {}: that is held back for {} s and then read again; \
                 `sluice routes accept` takes it now",
                held.removal,
                held.left.as_secs()
            );
        }
    }

    /// Believes what is held. Says whether anything was.
    pub(crate) fn accept(&mut self) -> bool {
        let held: Vec<Part> = self.hold.held(Instant::now()).map(|held| held.part).collect();
        self.hold.accept();
        self.is_unsaved |= !held.is_empty();
        held.iter().for_each(|part| tell_ended(*part, "it was accepted"));
        !held.is_empty()
    }

    fn is_held(&self, part: Part) -> bool {
        self.hold.held(Instant::now()).any(|held| held.part == part)
    }

    /// Other limits of sessions.
    pub(crate) fn set_sessions(&mut self, sessions: &SessionLimits) {
        if self.options.connect_timeout == self.connect_timeout_of_flag {
            self.options.connect_timeout = sessions.connect_timeout;
        }
        self.connect_timeout_of_flag = sessions.connect_timeout;
        self.options.panic_threshold_percent = sessions.panic_threshold_percent;
        self.hold.set_options(self.options.clone());
    }

    /// What the agent says of the gateway itself. Says whether the table is another one now.
    pub(crate) fn define(&mut self, definition: &Definition) -> bool {
        let problems = &definition.options.problems;
        if self.problems != *problems {
            problems.iter().for_each(|problem| tracing::warn!("{problem}"));
            self.problems.clone_from(problems);
        }
        apply(definition, self.connect_timeout_of_flag, &mut self.options);
        self.hold.set_options(self.options.clone())
    }

    /// What names of Consul's servers end with. Says whether the table is another one now.
    pub(crate) fn set_server_domain(&mut self, domain: String) -> bool {
        self.options.server_domain.clone_from(&domain);
        self.server_domain = Some(domain);
        self.is_unsaved = true;
        self.hold.set_options(self.options.clone())
    }

    /// Has everything asked again now.
    pub(crate) fn ask_again(&self) {
        self.status.ask_anew();
    }

    /// Whether there is a table to be routed by.
    pub(crate) fn has_table(&self) -> bool {
        self.hold.table().is_some()
    }

    /// Whether there is nothing newer than what was on disk.
    pub(crate) fn restored(&self) -> Option<&str> {
        self.restored.as_deref()
    }

    /// What is held, and what was left out of the table, for people.
    pub(crate) fn describe(&self) -> (Vec<String>, Vec<String>) {
        let held = self
            .hold
            .held(Instant::now())
            .map(|held| format!("{}: would remove {}", held.part.name(), held.removal));
        let notes = self.hold.table().map(|table| table.notes()).unwrap_or_default();
        let notes = notes.iter().map(ToString::to_string);
        (held.collect(), self.problems.iter().cloned().chain(notes).collect())
    }

    /// Saves what is in force, but not more often than the disk should be asked to.
    pub(crate) fn save_if_due(&mut self) {
        let Some(folder) = &self.state_dir else { return };
        let older_than = |age| self.saved_at.is_none_or(|at| at.elapsed() >= age);
        // What has not changed has been confirmed since, and is as good as new.
        let is_confirmed = self.restored.is_none() && self.status.behind(Instant::now()).is_none();
        let is_due = match self.is_unsaved {
            true => older_than(STATE_SAVE_INTERVAL),
            false => is_confirmed && older_than(STATE_CONFIRM_INTERVAL),
        };
        if !is_due || self.hold.table().is_none() {
            return;
        }
        let state = State {
            saved_at: SystemTime::now(),
            gateway: self.gateway.clone(),
            snapshot: self.hold.accepted().clone(),
            definition: self.definition.clone(),
            server_domain: self.server_domain.clone(),
        };
        self.saved_at = Some(Instant::now());
        match state_file::save(folder, &state) {
            Ok(()) => {
                self.is_unsaved = false;
                if self.save_failure.take().is_some() {
                    tracing::info!("the state is saved again in {}", folder.display());
                }
            }
            Err(error) => {
                let failure = error.to_string();
                if self.save_failure.as_ref() != Some(&failure) {
                    tracing::warn!("{failure}");
                }
                self.save_failure = Some(failure);
            }
        }
    }

    pub(super) fn hosts(&self) -> BTreeSet<Host> {
        self.hold.table().map(ConsulTable::hosts).unwrap_or_default()
    }

    pub(super) fn routes(&self, lookup: impl FnMut(&str, u16) -> Vec<SocketAddr>) -> Routes {
        self.hold.table().map(|table| table.resolve(lookup)).unwrap_or_default()
    }
}

/// What is said of the gateway itself, put into the options of its table.
fn apply(definition: &Definition, connect_timeout_of_flag: Duration, options: &mut TableOptions) {
    options.connect_timeout = match definition.options.connect_timeout {
        // Nobody says anything else, or not any more.
        CONNECT_TIMEOUT => connect_timeout_of_flag,
        of_consul => of_consul,
    };
    options.remote = RemoteOptions {
        keepalive: definition.options.remote_keepalive.map(with_defaults),
        one_address: definition.options.dns_discovery == Some(DnsDiscovery::OneAddress),
    };
    options.expose_servers = definition.exposes_servers();
}

/// What is not said is as Linux has it.
fn with_defaults(keepalive: RemoteKeepalive) -> Keepalive {
    let linux = socket::keepalive_defaults();
    Keepalive {
        idle: keepalive.idle.unwrap_or(linux.idle),
        interval: keepalive.interval.unwrap_or(linux.interval),
        probe_count: keepalive.probe_count.unwrap_or(linux.probe_count),
    }
}

fn tell_ended(part: Part, how: &str) {
    tracing::info!(part = part.name(), "Consul's answer is not held back any more: {how}");
}
