//! What the service manager hears of a gateway, and when: it follows from the gateway's health,
//! as what Consul hears does.

use std::future::pending;

use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, interval};

use super::builder::Reloaded;
use super::heartbeat::Heartbeat;
use super::service_manager::{self, ServiceManager};
use super::shared::Shared;
use super::source::Reread;
use crate::consul::register::Health;

/// Tells the service manager of one gateway. Until there is a service manager it tells nobody.
#[derive(Debug)]
pub(crate) struct Reporter {
    manager: Option<ServiceManager>,
    health: watch::Receiver<Health>,
    told: Option<Health>,
    heartbeat: Heartbeat,
    beat: Option<Interval>,
    /// Answers when all was read again.
    reloads: Option<oneshot::Receiver<Reloaded>>,
}

/// What there is to report.
#[derive(Debug)]
pub(crate) enum Due {
    /// Whether the gateway serves has changed.
    Health,
    /// A sign of life.
    Beat,
    /// The end of a reload.
    Reloaded(Box<Reloaded>),
}

impl Reporter {
    /// Of a gateway of which nothing was told yet.
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            manager: None,
            health: shared.health(),
            told: None,
            heartbeat: Heartbeat::new(shared.workers.len()),
            beat: None,
            reloads: None,
        }
    }

    /// From now on this one is told.
    pub(crate) fn begin(&mut self, manager: ServiceManager, shared: &Shared) {
        self.beat = manager.watchdog.map(|watchdog| interval(Heartbeat::period(watchdog)));
        self.manager = Some(manager);
        self.tell_health(shared);
    }

    /// Waits until there is something to report.
    pub(crate) async fn due(&mut self) -> Due {
        tokio::select! {
            Ok(()) = self.health.changed() => Due::Health,
            () = tick(&mut self.beat) => Due::Beat,
            reloaded = answer(&mut self.reloads) => Due::Reloaded(reloaded),
        }
    }

    /// Tells whether the gateway serves, if that is news.
    pub(crate) fn tell_health(&mut self, shared: &Shared) {
        let health = self.health.borrow_and_update().clone();
        if self.manager.is_none() || self.told.as_ref() == Some(&health) {
            return;
        }
        match &health {
            Health::Starting(why) => service_manager::starting(why),
            Health::Passing => service_manager::ready(shared, None),
            Health::Leaving(_) => service_manager::stopping(shared),
        }
        self.told = Some(health);
    }

    /// Asks for patience while the gateway starts or ends: both may rightly take long.
    pub(crate) fn ask_for_patience(&self) {
        if matches!(self.told, Some(Health::Starting(_) | Health::Leaving(_))) {
            service_manager::busy();
        }
    }

    /// All is to be read again. Whoever does so is to say what came of it. Of several reloads at
    /// once the last one counts: it has read what is there now.
    pub(crate) fn reload(&mut self) -> oneshot::Sender<Reloaded> {
        let (reply, answer) = oneshot::channel();
        if self.told == Some(Health::Passing) {
            service_manager::reloading();
        }
        self.reloads = Some(answer);
        reply
    }

    /// It was.
    pub(crate) fn tell_reloaded(&mut self, reloaded: &Reloaded, shared: &Shared) {
        self.reloads = None;
        // A gateway that was told to end meanwhile is not ready again.
        if self.told == Some(Health::Passing) {
            service_manager::ready(shared, objections(reloaded).as_deref());
        }
    }

    /// Gives the sign of life, if all workers turn. Those that have not turned since the last one
    /// are returned: an idle one may sleep for longer than the service manager waits.
    pub(crate) fn beat(&mut self, shared: &Shared, alive: &[u16]) -> Vec<u16> {
        let missing = self.heartbeat.missing(&shared.workers, alive);
        if missing.is_empty() {
            service_manager::alive();
        }
        missing
    }
}

/// What of a reload is not as its operator wants.
fn objections(reloaded: &Reloaded) -> Option<String> {
    let mut objections = Vec::new();
    match &reloaded.configuration {
        Some(Err(_)) => {
            objections.push("the configuration is wrong, and the one before it is kept".to_owned());
        }
        Some(Ok(taken)) if !taken.needs_restart.is_empty() => {
            objections.push(format!("needs a restart: {}", taken.needs_restart.join(", ")));
        }
        Some(Ok(_)) | None => {}
    }
    if reloaded.routes == Reread::Refused {
        objections.push("the routes file is wrong, and the routes before it are kept".to_owned());
    }
    (!objections.is_empty()).then(|| objections.join("; "))
}

async fn tick(beat: &mut Option<Interval>) {
    match beat {
        Some(beat) => drop(beat.tick().await),
        None => pending().await,
    }
}

async fn answer(reloads: &mut Option<oneshot::Receiver<Reloaded>>) -> Box<Reloaded> {
    let Some(answer) = reloads else { return pending().await };
    // Who was to answer is gone: nothing was read.
    let nothing = Reloaded { routes: Reread::Same, configuration: None };
    Box::new(answer.await.unwrap_or(nothing))
}
