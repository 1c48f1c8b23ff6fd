//! Puts a gateway together: wires what its threads share, and starts them.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::builder::{Builder, Job};
use super::drain::Drain;
use super::gateway::{Gateway, Remote};
use super::log_writer::LogWriter;
use super::overseer::Overseer;
use super::plan::{Budget, Placement};
use super::refusals::Examples;
use super::runtime;
use super::shared::{Phase, Shared};
use super::workers::{self, Ended, Engine, Handle, Seed};
use crate::config::Config;
use crate::dataplane::orders::{Orders, Stage};
use crate::dataplane::record::SessionRecord;
use crate::dataplane::settings::Settings;
use crate::dataplane::worker::WorkerParts;
use crate::error::{RunError, StartError};
use crate::kernel::KernelOptions;
use crate::limits::{ACCESS_LOG_QUEUE, HELLO_BUFFER_COUNT, STOP_GRACE};
use crate::route::mailbox::{Inbox, Mailbox};
use crate::sys::waker::Waker;

/// What is settled before the threads start.
pub(crate) struct Assembly {
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    pub(crate) budget: Budget,
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
    pub(crate) builder: Builder,
}

impl Assembly {
    /// Starts all threads.
    pub(crate) fn start(
        mut self,
        listeners: Vec<Vec<OwnedFd>>,
        admin: Option<TcpListener>,
    ) -> Result<Gateway, StartError> {
        let mut posts = Vec::new();
        for listeners in listeners {
            let (waker, reader) = Waker::pair().map_err(StartError::system("eventfd"))?;
            let (mailbox, inbox) = Mailbox::new();
            let waker = Arc::new(waker);
            let wake = Arc::clone(&waker);
            self.builder.publisher().add_worker(mailbox, move || wake.wake());
            posts.push(Post { listeners, waker, reader, inbox });
        }
        self.builder.publish_first()?;

        let (ended_sender, ended) = unbounded_channel();
        let (workers, queues) = self.start_workers(posts, &ended_sender)?;
        // From here on only workers hold senders: none is left when the last one has ended.
        drop(ended_sender);
        self.shared.advance(Phase::Serving);
        self.start_control(workers, queues, ended, admin)
    }

    /// Starts all workers, and waits until each has its kernel.
    fn start_workers(
        &self,
        posts: Vec<Post>,
        ended: &UnboundedSender<Ended>,
    ) -> Result<(Vec<Handle>, Vec<Queue>), StartError> {
        let (made_sender, made) = channel();
        let mut workers = Vec::new();
        let mut queues = Vec::new();
        for (id, post) in (0..).zip(posts) {
            let orders = Arc::new(Orders::default());
            let records = self.config.access_log.map(|_| {
                let (records, queue) = rtrb::RingBuffer::new(ACCESS_LOG_QUEUE);
                queues.push(queue);
                records
            });
            let waker = Arc::clone(&post.waker);
            let seed = self.seed(id, post, Arc::clone(&orders), records);
            let thread = workers::start(seed, made_sender.clone(), ended.clone())
                .map_err(StartError::system("starting a worker's thread"))?;
            workers.push(Handle { thread, orders, waker });
        }
        drop(made_sender);
        for (worker, result) in made {
            if let Err(reason) = result {
                workers.iter().for_each(|worker| worker.order(Stage::Stopping));
                let engine = self.engine.name();
                return Err(StartError::WorkerFailed { worker, engine, reason });
            }
        }
        Ok((workers, queues))
    }

    fn seed(
        &self,
        id: u16,
        post: Post,
        orders: Arc<Orders>,
        records: Option<rtrb::Producer<SessionRecord>>,
    ) -> Seed {
        let index = usize::from(id);
        Seed {
            parts: WorkerParts {
                id,
                settings: self.settings(),
                stats: self.shared.workers.get(index).cloned().unwrap_or_default(),
                orders,
                inbox: post.inbox,
                records,
                listener_count: u16::try_from(post.listeners.len()).unwrap_or(u16::MAX),
            },
            options: KernelOptions {
                listeners: post.listeners,
                waker: post.reader,
                hello_buffer_count: HELLO_BUFFER_COUNT,
                spin: self.config.workers.spin,
            },
            engine: self.engine,
            cpu: self.placement.cpus.get(index).copied().flatten(),
        }
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
        admin: Option<TcpListener>,
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
        let overseer = Overseer {
            shared: Arc::clone(&self.shared),
            workers,
            drain: Drain::new(self.config.drain),
            examples,
            commands,
            ended,
            admin,
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

/// What a worker gets from outside.
struct Post {
    listeners: Vec<OwnedFd>,
    waker: Arc<Waker>,
    reader: OwnedFd,
    inbox: Inbox,
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let thread = thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(StartError::system("starting a thread"))
}
