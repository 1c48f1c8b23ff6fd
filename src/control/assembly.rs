//! Puts a gateway together: wires what its threads share, and starts them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::builder::{Builder, Job};
use super::crew::Member;
use super::drain::Drain;
use super::gateway::{Gateway, Remote};
use super::link::Link;
use super::log_writer::LogWriter;
use super::overseer::Overseer;
use super::plan::Budget;
use super::refusals::Examples;
use super::reporter::Reporter;
use super::runtime;
use super::shared::{Phase, Shared};
use super::workers::{Begin, Ended, Engine, Handle};
use crate::admin;
use crate::config::Config;
use crate::consul::agent::Client;
use crate::consul::register::{Registration, RegistrationStatus};
use crate::consul::watch::Status;
use crate::dataplane::orders::{Orders, Stage};
use crate::dataplane::record::SessionRecord;
use crate::dataplane::settings::Settings;
use crate::dataplane::worker::WorkerParts;
use crate::error::{RunError, StartError};
use crate::limits::{ACCESS_LOG_QUEUE, STOP_GRACE};
use crate::route::mailbox::{Inbox, Mailbox};

/// What is settled before the gateway serves.
pub(crate) struct Assembly {
    pub(crate) config: Config,
    pub(crate) budget: Budget,
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
    pub(crate) builder: Builder,
    pub(crate) consul: Option<Ties>,
}

/// What the ties to Consul are made of.
pub(crate) struct Ties {
    pub(crate) client: Client,
    pub(crate) registration: Registration,
    /// Whether the agent is to be asked for its domain: nobody said it.
    pub(crate) asks_domain: bool,
    pub(crate) status: Arc<Status>,
    pub(crate) registered: Arc<RegistrationStatus>,
}

impl Assembly {
    /// Starts all threads that are not started yet, and has the workers serve.
    pub(crate) fn start(
        mut self,
        members: Vec<Member>,
        admin: Option<admin::Setup>,
    ) -> Result<Gateway, StartError> {
        let mut inboxes = Vec::new();
        for member in &members {
            let (mailbox, inbox) = Mailbox::new();
            let wake = Arc::clone(&member.waker);
            self.builder.publisher().add_worker(mailbox, move || wake.wake());
            inboxes.push(inbox);
        }
        self.builder.publish_first(&self.shared)?;

        let (ended_sender, ended) = unbounded_channel();
        let (workers, queues) = self.begin(members, inboxes, &ended_sender)?;
        // From here on only workers hold senders: none is left when the last one has ended.
        drop(ended_sender);
        self.shared.advance(Phase::Serving);
        self.start_control(workers, queues, ended, admin)
    }

    /// Has the workers begin.
    fn begin(
        &self,
        members: Vec<Member>,
        inboxes: Vec<Inbox>,
        ended: &UnboundedSender<Ended>,
    ) -> Result<(Vec<Handle>, Vec<Queue>), StartError> {
        let mut workers: Vec<Handle> = Vec::new();
        let mut queues = Vec::new();
        for (id, (member, inbox)) in (0..).zip(members.into_iter().zip(inboxes)) {
            let Member { recruit, waker, listener_count } = member;
            let orders = Arc::new(Orders::default());
            let records = self.config.access_log.map(|_| {
                let (records, queue) = rtrb::RingBuffer::new(ACCESS_LOG_QUEUE);
                queues.push(queue);
                records
            });
            let stats = self.shared.workers.get(usize::from(id)).cloned().unwrap_or_default();
            let parts = WorkerParts {
                id,
                settings: self.settings(),
                stats,
                orders: Arc::clone(&orders),
                inbox,
                records,
                listener_count,
            };
            if recruit.begin.send(Begin { parts, ended: ended.clone() }).is_err() {
                workers.iter().for_each(|worker| worker.order(Stage::Stopping));
                let (engine, reason) = (self.engine.name(), "its thread has ended".to_owned());
                return Err(StartError::WorkerFailed { worker: id, engine, reason });
            }
            workers.push(Handle { thread: recruit.thread, orders, waker });
        }
        Ok((workers, queues))
    }

    fn settings(&self) -> Settings {
        let sessions = &self.config.sessions;
        Settings {
            hello_timeout: sessions.hello_timeout,
            idle_timeout: sessions.idle_timeout,
            half_close_timeout: sessions.half_close_timeout,
            dial_attempts_max: sessions.dial_attempts_max,
            refuse_with: sessions.refuse_with,
            upstream_keepalive: sessions.keepalive,
            session_count_max: self.budget.session_count_max,
            pipe_count_max: self.budget.pipe_count_max,
            drain_spread: self.config.drain.spread,
            access_log: self.config.access_log.is_some(),
        }
    }

    fn start_control(
        mut self,
        workers: Vec<Handle>,
        queues: Vec<Queue>,
        ended: UnboundedReceiver<Ended>,
        admin: Option<admin::Setup>,
    ) -> Result<Gateway, StartError> {
        let (commands_sender, commands) = unbounded_channel();
        let (jobs, inbox) = channel();
        let examples = Arc::new(Examples::default());
        let directory = self.builder.publisher().directory();
        let log_writer = self.config.access_log.map(|format| LogWriter {
            format,
            queues,
            directory,
            examples: Arc::clone(&examples),
            output: io::stdout(),
        });
        let remote = Remote::new(Arc::clone(&self.shared), commands_sender, jobs.clone());
        let link = self.consul.take().map(|ties| Link {
            client: ties.client,
            registration: ties.registration,
            asks_domain: ties.asks_domain,
            status: ties.status,
            registered: ties.registered,
            jobs: jobs.clone(),
            health: self.shared.health(),
        });
        let overseer = Overseer {
            shared: Arc::clone(&self.shared),
            workers,
            drain: Drain::new(self.config.drain),
            examples,
            commands,
            ended,
            admin,
            remote: remote.clone(),
            stays: false,
            link,
            reporter: Reporter::new(&self.shared),
        };
        let shared = self.shared;
        let builder = spawn("sluice-builder", {
            let (jobs, shared) = (jobs.clone(), Arc::clone(&shared));
            move || self.builder.run(&inbox, &jobs, &shared)
        })?;
        let (stop_log, stopped) = channel::<()>();
        let (log_runs, log_ended) = channel::<()>();
        let write = |writer: LogWriter<_>| {
            spawn("sluice-log", move || {
                let _log_runs = log_runs;
                writer.run(&stopped);
            })
        };
        log_writer.map(write).transpose()?;
        let with_uring = self.engine == Engine::Uring;
        let control = spawn("sluice-control", move || {
            let outcome = runtime::block_on(with_uring, overseer.run());
            let outcome = outcome.unwrap_or(Err(RunError::ControlLost));
            let _ = jobs.send(Job::Stop);
            // What the workers recorded is written first. But whoever reads the log may have
            // stopped reading, and must not keep a process from its end.
            drop(stop_log);
            let _ = log_ended.recv_timeout(STOP_GRACE);
            if outcome.is_ok() {
                let _ = builder.join();
            }
            shared.advance(Phase::Ended);
            outcome
        })?;
        Ok(Gateway::new(remote, control))
    }
}

type Queue = rtrb::Consumer<SessionRecord>;

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let thread = thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(StartError::system("starting a thread"))
}
