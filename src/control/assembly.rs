//! Puts a gateway together: wires what its threads share, and starts them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::builder::{Builder, Job};
use super::crew::Member;
use super::drain::Drain;
use super::gateway::{Gateway, Remote};
use super::link::Link;
use super::log_writer::LogWriter;
use super::overseer::Overseer;
use super::plan::Budget;
use super::reconfigure::{self, Running};
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
use crate::limits::{ACCESS_LOG_QUEUE, REFUSAL_QUEUE, STOP_GRACE};
use crate::route::mailbox::{Inbox, Mailbox};
use crate::sys::waker::Waker;

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
        let (mut inboxes, mut reached) = (Vec::new(), Vec::new());
        for member in &members {
            let (mailbox, inbox) = Mailbox::new();
            let wake = Arc::clone(&member.waker);
            self.builder.publisher().add_worker(mailbox, move || wake.wake());
            inboxes.push(inbox);
            reached.push((Arc::new(Orders::default()), Arc::clone(&member.waker)));
        }
        self.builder.publish_first(&self.shared)?;

        let (ended_sender, ended) = unbounded_channel();
        let (workers, queues) = self.begin(members, inboxes, &reached, &ended_sender)?;
        // From here on only workers hold senders: none is left when the last one has ended.
        drop(ended_sender);
        self.shared.advance(Phase::Serving);
        self.start_control(workers, reached, queues, ended, admin)
    }

    /// Has the workers begin.
    fn begin(
        &self,
        members: Vec<Member>,
        inboxes: Vec<Inbox>,
        reached: &[Reached],
        ended: &UnboundedSender<Ended>,
    ) -> Result<(Vec<Handle>, Queues), StartError> {
        let mut workers: Vec<Handle> = Vec::new();
        let mut queues = Queues::default();
        let settings = self.settings(reached.len());
        let members = members.into_iter().zip(inboxes).zip(reached);
        for (id, ((member, inbox), (orders, waker))) in (0..).zip(members) {
            let Member { recruit, listener_count, .. } = member;
            // Not touched, and so not resident, before a record comes.
            let (records, queue) = rtrb::RingBuffer::new(ACCESS_LOG_QUEUE);
            queues.access_log.push(queue);
            let (refusals, queue) = rtrb::RingBuffer::new(REFUSAL_QUEUE);
            queues.refusals.push(queue);
            let stats = self.shared.workers.get(usize::from(id)).cloned().unwrap_or_default();
            let parts = WorkerParts {
                id,
                settings: settings.clone(),
                stats,
                orders: Arc::clone(orders),
                inbox,
                records: Some(records),
                refusals: Some(refusals),
                listener_count,
            };
            if recruit.begin.send(Begin { parts, ended: ended.clone() }).is_err() {
                workers.iter().for_each(|worker| worker.order(Stage::Stopping));
                let (engine, reason) = (self.engine.name(), "its thread has ended".to_owned());
                return Err(StartError::WorkerFailed { worker: id, engine, reason });
            }
            let (orders, waker) = (Arc::clone(orders), Arc::clone(waker));
            workers.push(Handle { thread: recruit.thread, orders, waker });
        }
        Ok((workers, queues))
    }

    fn settings(&self, worker_count: usize) -> Settings {
        let federation = self.builder.federation();
        reconfigure::settings(&self.config, self.budget, worker_count, federation)
    }

    fn start_control(
        mut self,
        workers: Vec<Handle>,
        reached: Vec<Reached>,
        queues: Queues,
        ended: UnboundedReceiver<Ended>,
        admin: Option<admin::Setup>,
    ) -> Result<Gateway, StartError> {
        let (commands_sender, commands) = unbounded_channel();
        let (jobs, inbox) = channel();
        let examples = Arc::new(Examples::new(queues.refusals));
        let directory = self.builder.publisher().directory();
        let log_writer = LogWriter {
            format: self.config.access_log,
            queues: queues.access_log,
            directory: directory.clone(),
            output: io::stdout(),
        };
        let insight = admin::Insight {
            workers: workers.iter().map(Handle::asker).collect(),
            directory,
            refusals: Arc::clone(&examples),
        };
        let remote = Remote::new(Arc::clone(&self.shared), commands_sender, jobs.clone());
        let agent = self.consul.as_ref().map(|ties| ties.client.clone());
        let (scraped_at, wanted) = watch::channel(None);
        let scraped = self.consul.is_some().then(|| admin::Scraped::new(&self.config, wanted));
        let link = self.consul.take().map(|ties| Link {
            client: ties.client,
            registration: ties.registration,
            asks_domain: ties.asks_domain,
            status: ties.status,
            registered: ties.registered,
            jobs: jobs.clone(),
            health: self.shared.health(),
            scraped_at,
        });
        let overseer = Overseer {
            shared: Arc::clone(&self.shared),
            workers,
            drain: Drain::new(self.config.drain),
            examples,
            commands,
            ended,
            admin: admin.map(|setup| (setup, insight)),
            scraped,
            remote: remote.clone(),
            stays: false,
            link,
            reporter: Reporter::new(&self.shared),
        };
        let settings = self.settings(reached.len());
        let shared = self.shared;
        let (log_orders, log_ordered) = channel();
        let (log_runs, log_ended) = channel::<()>();
        spawn("sluice-log", move || {
            let _log_runs = log_runs;
            log_writer.run(&log_ordered);
        })?;
        let running = Running {
            settings,
            federation: Arc::clone(self.builder.federation()),
            config: self.config,
            budget: self.budget,
            workers: reached,
            agent,
            access_log: log_orders,
        };
        let builder = spawn("sluice-builder", {
            let (jobs, shared) = (jobs.clone(), Arc::clone(&shared));
            move || self.builder.run(running, &inbox, &jobs, &shared)
        })?;
        let with_uring = self.engine == Engine::Uring;
        let control = spawn("sluice-control", move || {
            let outcome = runtime::block_on(with_uring, overseer.run());
            let outcome = outcome.unwrap_or(Err(RunError::ControlLost));
            // The log ends with the builder, from which it takes orders; what the workers recorded
            // is written first. But whoever reads the log may have stopped reading, and must not
            // keep a process from its end.
            let _ = jobs.send(Job::Stop);
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

/// How a worker is told something.
type Reached = (Arc<Orders>, Arc<Waker>);

/// What workers record.
#[derive(Default)]
struct Queues {
    access_log: Vec<Queue>,
    refusals: Vec<Queue>,
}

type Queue = rtrb::Consumer<SessionRecord>;

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let thread = thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(StartError::system("starting a thread"))
}
