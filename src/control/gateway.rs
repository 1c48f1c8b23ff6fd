//! A whole gateway, to start and to hold: what `sluice run`, the demo and tests embed. It
//! handles no signal and has no global state: a process can hold several.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::builder::{Builder, Job};
use super::drain::Drain;
use super::log_writer::LogWriter;
use super::overseer::{Command, Overseer};
use super::plan::{Budget, Placement};
use super::refusals::Examples;
use super::runtime;
use super::shared::{EngineReport, Phase, Shared};
use super::workers::{self, Ended, Engine, Handle, Seed};
use crate::config::{Config, EngineChoice};
use crate::dataplane::orders::{Orders, Stage};
use crate::dataplane::settings::Settings;
use crate::dataplane::stats::Stats;
use crate::dataplane::worker::WorkerParts;
use crate::error::{RunError, StartError};
use crate::kernel::KernelOptions;
use crate::kernel::uring;
use crate::limits::{ACCESS_LOG_QUEUE, HELLO_BUFFER_COUNT, STOP_GRACE};
use crate::route::mailbox::{Inbox, Mailbox};
use crate::sys::waker::Waker;
use crate::sys::{affinity, cgroup, listener, process};

/// A running gateway. Dropped, it stops at once.
#[derive(Debug)]
pub struct Gateway {
    remote: Remote,
    control: Option<JoinHandle<Result<(), RunError>>>,
}

/// Reaches a gateway from anywhere.
#[derive(Clone, Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    jobs: Sender<Job>,
}

impl Remote {
    /// What the gateway's threads know together: phase, engine, addresses, counters.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Goes down as configured: readiness off at once, then the drain.
    pub fn drain(&self) {
        // Before control gets to it: readiness goes off now.
        self.shared.advance(Phase::Leaving);
        let _ = self.commands.send(Command::Drain);
    }

    /// Closes everything at once.
    pub fn stop(&self) {
        self.shared.advance(Phase::Leaving);
        let _ = self.commands.send(Command::Stop);
    }

    /// Reads the routes file again, changed or not.
    pub fn reload(&self) {
        let _ = self.jobs.send(Job::Reload);
    }
}

impl Gateway {
    /// Starts a gateway. When this returns, every worker accepts and has the table.
    ///
    /// Raises the soft limit of file descriptors, and ignores SIGPIPE, for the whole process.
    ///
    /// # Errors
    /// See [`StartError`]. What is wrong with flags and routes is found before any socket is
    /// bound.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let allowed = affinity::allowed().map_err(StartError::system("sched_getaffinity"))?;
        let placement = Placement::new(&allowed, cgroup::cpu_quota(), &config.workers)?;
        let builder = Builder::new(config.routes.clone(), config.sessions.connect_timeout)?;
        let nofile = process::raise_nofile().map_err(StartError::system("setrlimit"))?;
        let worker_count = placement.worker_count();
        let budget = Budget::new(nofile, worker_count, config.binds.len(), &config.workers)?;
        let (engine, fallback) = choose_engine(config.engine)?;
        crate::sys::ignore_sigpipe().map_err(|e| StartError::system("signal")(e.into()))?;

        let (listeners, addresses) = open_listeners(&config, &placement)?;
        let admin = config.admin.map(open_admin).transpose()?;
        let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        let report = EngineReport { name: engine.name(), fallback };
        let shared = Arc::new(Shared::new(
            report,
            worker_count,
            placement.pinned().unwrap_or_default(),
            budget.session_count_max,
            addresses,
            admin_address,
        ));
        let assembly = Assembly { config, placement, budget, engine, shared, builder };
        assembly.start(listeners, admin)
    }

    /// The addresses accepted on, in the order of the configuration; port 0 became a real one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.remote.shared.addresses
    }

    /// What the gateway's threads know together: phase, engine, addresses, counters.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        self.remote.shared()
    }

    /// The counters of each worker.
    #[must_use]
    pub fn stats(&self) -> &[Arc<Stats>] {
        &self.remote.shared.workers
    }

    /// Reaches it from anywhere.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It ended without having been told to.
    pub fn wait(mut self) -> Result<(), RunError> {
        match self.control.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) | None => Err(RunError::ControlLost),
        }
    }

    /// Goes down as configured. Then [`Gateway::wait`].
    pub fn drain(&self) {
        self.remote.drain();
    }

    /// Closes everything at once. Then [`Gateway::wait`].
    pub fn stop(&self) {
        self.remote.stop();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.control.is_some() {
            self.stop();
        }
    }
}

/// What is settled before the threads start.
struct Assembly {
    config: Config,
    placement: Placement,
    budget: Budget,
    engine: Engine,
    shared: Arc<Shared>,
    builder: Builder,
}

impl Assembly {
    fn start(
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
        records: Option<rtrb::Producer<crate::dataplane::record::SessionRecord>>,
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
        let remote = Remote { shared: Arc::clone(&self.shared), commands: commands_sender, jobs };
        let overseer = Overseer {
            shared: Arc::clone(&self.shared),
            workers,
            drain: Drain::new(self.config.drain),
            examples,
            commands,
            ended,
            admin,
        };
        let (jobs, shared) = (remote.jobs.clone(), self.shared);
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
        Ok(Gateway { remote, control: Some(control) })
    }
}

type Queue = rtrb::Consumer<crate::dataplane::record::SessionRecord>;

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

fn choose_engine(choice: EngineChoice) -> Result<(Engine, Option<String>), StartError> {
    if choice == EngineChoice::Epoll {
        return Ok((Engine::Epoll, None));
    }
    match uring::probe() {
        Ok(_) => Ok((Engine::Uring, None)),
        Err(refused) if choice == EngineChoice::Uring => {
            Err(StartError::EngineRefused(refused.to_string()))
        }
        Err(refused) => Ok((Engine::Epoll, Some(refused.to_string()))),
    }
}

/// The listeners of each worker, and the addresses.
fn open_listeners(
    config: &Config,
    placement: &Placement,
) -> Result<(Vec<Vec<OwnedFd>>, Vec<SocketAddr>), StartError> {
    // All of them first: our own listeners could not be told from another's later.
    for bind in &config.binds {
        listener::prove_free(*bind, "--bind")?;
    }
    let worker_count = placement.worker_count();
    let mut of_workers: Vec<Vec<OwnedFd>> = (0..worker_count).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for bind in &config.binds {
        let (group, address) =
            listener::open_group(*bind, worker_count, config.sessions.keepalive)?;
        if config.workers.steer_by_cpu
            && let (Some(cpus), Some(first)) = (placement.pinned(), group.first())
        {
            listener::steer_by_cpu(first, &cpus)
                .map_err(StartError::system("SO_ATTACH_REUSEPORT_CBPF"))?;
        }
        for (listeners, listener) in of_workers.iter_mut().zip(group) {
            listeners.push(listener);
        }
        addresses.push(address);
    }
    Ok((of_workers, addresses))
}

fn open_admin(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address)
        .map_err(|source| listener::explain(source, address, "--admin-bind"))?;
    listener.set_nonblocking(true).map_err(StartError::system("ioctl(FIONBIO)"))?;
    Ok(listener)
}
