//! What the control thread does: serves the admin HTTP server, drains, and watches over the
//! workers.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::builder::Job;
use super::drain::Drain;
use super::gateway::Remote;
use super::link::Link;
use super::refusals::{Examples, Summaries};
use super::reporter::{Due, Reporter};
use super::service_manager::ServiceManager;
use super::shared::{Phase, Shared};
use super::workers::{Ended, Handle};
use crate::admin;
use crate::dataplane::orders::Stage;
use crate::dataplane::stats::Stats;
use crate::error::RunError;
use crate::limits::{FAREWELL, OVERSEE_TICK, WORKER_STALL};

/// What the owner of a gateway wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Tell this service manager of the gateway.
    ReportTo(ServiceManager),
    /// Read the routes again, changed or not.
    Reload,
    /// Go down as configured.
    Drain,
    /// Close everything at once.
    Stop,
    /// Close the listeners, and go on with the sessions that there are, without an end.
    CloseListeners {
        /// Whether whoever routes to us is to notice before.
        is_graceful: bool,
    },
}

/// The control thread's part of a gateway.
pub(crate) struct Overseer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Vec<Handle>,
    pub(crate) drain: Drain,
    pub(crate) examples: Arc<Examples>,
    pub(crate) commands: UnboundedReceiver<Command>,
    pub(crate) ended: UnboundedReceiver<Ended>,
    pub(crate) admin: Option<(admin::Setup, admin::Insight)>,
    /// Metrics where Consul wants them, if routes come from there.
    pub(crate) scraped: Option<admin::Scraped>,
    /// What the admin HTTP server gives orders by.
    pub(crate) remote: Remote,
    /// Whether the process stays when its workers have ended.
    pub(crate) stays: bool,
    /// The ties to Consul, if routes come from there.
    pub(crate) link: Option<Link>,
    pub(crate) reporter: Reporter,
}

impl Overseer {
    /// Oversees until all workers have ended.
    ///
    /// # Errors
    /// A worker ended without having been told to, or stands still.
    pub(crate) async fn run(mut self) -> Result<(), RunError> {
        if let Some((setup, insight)) = self.admin.take() {
            admin::serve(setup, insight, self.remote.clone());
        }
        if let Some(scraped) = self.scraped.take() {
            tokio::task::spawn_local(scraped.serve(self.remote.clone()));
        }
        let farewell = self.link.take().map(Link::begin);
        let outcome = self.oversee().await;
        self.shared.advance(Phase::Leaving);
        self.reporter.tell_health(&self.shared);
        if let Some(farewell) = farewell {
            farewell.told(FAREWELL).await;
        }
        if outcome.is_err() {
            self.order(Stage::Stopping);
            return outcome;
        }
        for worker in self.workers.drain(..) {
            // It has said farewell: only its thread's own end is waited for.
            let _ = worker.thread.join();
        }
        outcome
    }

    async fn oversee(&mut self) -> Result<(), RunError> {
        let mut tick = interval(OVERSEE_TICK);
        // After a pause of the whole process, time is counted anew: nobody stood still.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pulses: Vec<Pulse> = self.workers.iter().map(|_| Pulse::default()).collect();
        let mut summaries = Summaries::default();
        let mut alive: Vec<u16> = (0..).take(self.workers.len()).collect();
        while !alive.is_empty() || self.stays {
            let deadline = self.drain.deadline();
            tokio::select! {
                Some(command) = self.commands.recv() => self.obey(command),
                Some(ended) = self.ended.recv() => {
                    self.check_end(ended)?;
                    alive.retain(|worker| *worker != ended.worker);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()),
                    if deadline.is_some() => self.go_on(),
                due = self.reporter.due() => self.report(due, &alive),
                _ = tick.tick() => {
                    self.reporter.ask_for_patience();
                    summaries.tell(&self.shared, &self.examples);
                    self.check_pulses(&mut pulses, &alive)?;
                }
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::ReportTo(manager) => self.reporter.begin(manager, &self.shared),
            Command::Reload => {
                let reply = self.reporter.reload();
                self.remote.ask_builder(Job::Reload(reply));
            }
            Command::Drain => {
                self.stays = false;
                self.shared.advance(Phase::Leaving);
                self.drain.begin(Instant::now());
            }
            Command::Stop => {
                self.stays = false;
                self.shared.advance(Phase::Leaving);
                self.order(Stage::Stopping);
            }
            Command::CloseListeners { is_graceful } => {
                // An order to end holds.
                self.stays |= !self.drain.has_begun();
                self.shared.advance(Phase::Leaving);
                self.drain.close_listeners(Instant::now(), is_graceful);
            }
        }
    }

    fn go_on(&mut self) {
        if let Some(stage) = self.drain.due(Instant::now()) {
            let sessions = self.shared.total(|stats| stats.sessions.get());
            let doing = match stage {
                Stage::Draining => "listeners closed; waiting for sessions to end",
                Stage::Closing => "drain timeout: closing what is left",
                Stage::Serving | Stage::Stopping => "stopping workers",
            };
            tracing::info!(sessions, "{doing}");
            self.order(stage);
        }
    }

    fn order(&self, stage: Stage) {
        // None that is ordered leaves them open.
        self.shared.close();
        self.workers.iter().for_each(|worker| worker.order(stage));
    }

    fn report(&mut self, due: Due, alive: &[u16]) {
        match due {
            Due::Health => self.reporter.tell_health(&self.shared),
            Due::Reloaded(reloaded) => {
                if let Some(Ok(taken)) = &reloaded.configuration {
                    self.drain.set_times(taken.config.drain);
                }
                self.reporter.tell_reloaded(&reloaded, &self.shared);
            }
            Due::Beat => {
                for id in self.reporter.beat(&self.shared, alive) {
                    if let Some(worker) = self.workers.get(usize::from(id)) {
                        worker.waker.wake();
                    }
                }
            }
        }
    }

    fn check_end(&self, Ended { worker, panicked }: Ended) -> Result<(), RunError> {
        let orders = self.workers.get(usize::from(worker)).map(|worker| worker.orders.stage());
        let told = orders.is_some_and(|stage| stage > Stage::Serving);
        if told && !panicked { Ok(()) } else { Err(RunError::WorkerEnded { worker }) }
    }

    fn check_pulses(&self, pulses: &mut [Pulse], alive: &[u16]) -> Result<(), RunError> {
        for (id, (pulse, stats)) in (0..).zip(pulses.iter_mut().zip(&self.shared.workers)) {
            if alive.contains(&id) && pulse.is_gone(stats) {
                return Err(RunError::WorkerStalled {
                    worker: id,
                    seconds: WORKER_STALL.as_secs(),
                });
            }
        }
        Ok(())
    }
}

/// Whether a worker still turns.
#[derive(Debug, Default)]
struct Pulse {
    turns: u64,
    still_ticks: u32,
}

impl Pulse {
    /// To be asked once per tick.
    fn is_gone(&mut self, stats: &Stats) -> bool {
        let turns = stats.turns.get();
        self.still_ticks = if turns == self.turns { self.still_ticks.saturating_add(1) } else { 0 };
        self.turns = turns;
        OVERSEE_TICK.saturating_mul(self.still_ticks) >= WORKER_STALL
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::config::DrainTimes;
    use crate::control::provenance::Origin;
    use crate::control::runtime::block_on;
    use crate::control::shared::EngineReport;
    use crate::dataplane::orders::Orders;
    use crate::sys::waker::Waker;

    #[test]
    fn a_worker_that_does_not_turn_is_gone_after_the_stall() {
        let stats = Stats::default();
        let mut pulse = Pulse::default();
        let stall = WORKER_STALL.as_secs() / OVERSEE_TICK.as_secs();
        for _ in 1..stall {
            assert!(!pulse.is_gone(&stats));
        }
        stats.turns.add(1);
        assert!(!pulse.is_gone(&stats), "it turned just in time");
        for _ in 1..stall {
            assert!(!pulse.is_gone(&stats));
        }
        assert!(pulse.is_gone(&stats));
    }

    /// Oversees one worker of which only the farewell is real.
    fn overseen(commands: &[Command], panicked: bool) -> Result<(), RunError> {
        let engine = EngineReport { name: "none", fallback: None };
        let shared = Arc::new(Shared::new(
            engine,
            1,
            Vec::new(),
            1,
            Vec::new(),
            Vec::new(),
            Origin::File("routes".into()),
        ));
        let (command_sender, command_receiver) = unbounded_channel();
        let jobs = std::sync::mpsc::channel().0;
        let remote = Remote::new(Arc::clone(&shared), command_sender.clone(), jobs);
        let (ended_sender, ended) = unbounded_channel();
        commands.iter().for_each(|command| command_sender.send(*command).unwrap());
        let orders = Arc::new(Orders::default());
        let told = Arc::clone(&orders);
        let must_wait = !commands.is_empty();
        let thread = std::thread::spawn(move || {
            while must_wait && told.stage() == Stage::Serving {
                std::thread::yield_now();
            }
            ended_sender.send(Ended { worker: 0, panicked }).unwrap();
        });
        let (waker, _reader) = Waker::pair().unwrap();
        let zero = Duration::ZERO;
        let reporter = Reporter::new(&shared);
        let overseer = Overseer {
            shared,
            workers: vec![Handle { thread, orders, waker: Arc::new(waker) }],
            drain: Drain::new(DrainTimes { delay: zero, timeout: zero, spread: zero }),
            examples: Arc::default(),
            commands: command_receiver,
            ended,
            admin: None,
            scraped: None,
            remote,
            stays: false,
            link: None,
            reporter,
        };
        block_on(false, overseer.run()).unwrap()
    }

    #[test]
    fn a_worker_ends_well_only_when_told_to() {
        assert_eq!(overseen(&[Command::Stop], false), Ok(()));
        assert_eq!(overseen(&[Command::Drain], false), Ok(()));
        let lost = Err(RunError::WorkerEnded { worker: 0 });
        assert_eq!(overseen(&[], false), lost);
        assert_eq!(overseen(&[Command::Drain], true), lost, "a panic is no end, told or not");
    }
}
