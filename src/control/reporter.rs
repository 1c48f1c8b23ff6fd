//! What the service manager hears of a gateway, and when: it follows from the gateway's health,
//! as what Consul hears does.

use std::future::pending;

use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, interval};

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
    /// Answers when the routes were read again.
    reread: Option<oneshot::Receiver<Reread>>,
}

/// What there is to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Whether the gateway serves has changed.
    Health,
    /// A sign of life.
    Beat,
    /// The end of a reload.
    Reread(Reread),
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
            reread: None,
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
            reread = answer(&mut self.reread) => Due::Reread(reread),
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

    /// Routes are to be read again. Whoever does so is to say what came of it.
    pub(crate) fn reload(&mut self) -> oneshot::Sender<Reread> {
        let (reply, answer) = oneshot::channel();
        if self.told == Some(Health::Passing) {
            service_manager::reloading();
            self.reread = Some(answer);
        }
        reply
    }

    /// They were.
    pub(crate) fn tell_reread(&mut self, reread: Reread, shared: &Shared) {
        self.reread = None;
        // A gateway that was told to end meanwhile is not ready again.
        if self.told == Some(Health::Passing) {
            let kept = "the routes file is wrong, and the routes before it are kept";
            service_manager::ready(shared, (reread == Reread::Refused).then_some(kept));
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

async fn tick(beat: &mut Option<Interval>) {
    match beat {
        Some(beat) => drop(beat.tick().await),
        None => pending().await,
    }
}

async fn answer(reread: &mut Option<oneshot::Receiver<Reread>>) -> Reread {
    match reread {
        // Who was to answer is gone: nothing was read.
        Some(answer) => answer.await.unwrap_or(Reread::Same),
        None => pending().await,
    }
}
