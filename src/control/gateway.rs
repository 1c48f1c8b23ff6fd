//! A whole gateway, to start and to hold: what `sluice run`, the demo and tests embed. It
//! handles no signal and has no global state: a process can hold several.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::assembly::Assembly;
use super::builder::{Builder, Job};
use super::crew::{Crew, Post};
use super::listening::{self, Listening};
use super::origins::{Opened, open};
use super::overseer::Command;
use super::plan::{Budget, Placement};
use super::service_manager::ServiceManager;
use super::shared::{EngineReport, Phase, Shared};
use crate::admin;
use crate::config::Config;
use crate::dataplane::stats::Stats;
use crate::error::{RunError, StartError};
use crate::sys::inherited::Inherited;
use crate::sys::{affinity, cgroup, process};

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
    pub(crate) const fn new(
        shared: Arc<Shared>,
        commands: UnboundedSender<Command>,
        jobs: Sender<Job>,
    ) -> Self {
        Self { shared, commands, jobs }
    }

    /// Has the builder do something. It does nothing any more while the gateway ends.
    pub(crate) fn ask_builder(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

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

    /// Closes the listeners and lets all sessions go on, until it is told to end. `is_graceful`:
    /// after the drain delay, so that whoever routes here can notice.
    pub fn close_listeners(&self, is_graceful: bool) {
        self.shared.advance(Phase::Leaving);
        let _ = self.commands.send(Command::CloseListeners { is_graceful });
    }

    /// Takes what is held back because it removes so much. Returns whether anything was.
    pub(crate) async fn accept(&self) -> bool {
        let (reply, accepted) = oneshot::channel();
        // Both fail only while the gateway ends.
        let asked = self.jobs.send(Job::Accept(reply)).is_ok();
        asked && accepted.await.unwrap_or(false)
    }

    /// Reads the configuration and the routes file again, changed or not.
    pub fn reload(&self) {
        let _ = self.commands.send(Command::Reload);
    }

    /// Has a service manager told of the gateway: that it serves, lives, reloads, ends.
    pub fn report_to(&self, manager: ServiceManager) {
        let _ = self.commands.send(Command::ReportTo(manager));
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
        Self::start_with(config, Vec::new())
    }

    /// The same, with listeners that a service manager has opened: one for each worker, on
    /// addresses of the configuration.
    ///
    /// # Errors
    /// As [`Gateway::start`]; also where they do not fit.
    pub fn start_with(config: Config, passed: Vec<Inherited>) -> Result<Self, StartError> {
        let allowed = affinity::allowed().map_err(StartError::system("sched_getaffinity"))?;
        let placement = Placement::new(&allowed, cgroup::cpu_quota(), &config.workers)?;
        let Opened { source, origin, ties, binds, bind_flag } = open(&config)?;
        let builder = Builder::new(source, config.sessions.clone());
        let nofile = process::raise_nofile().map_err(StartError::system("setrlimit"))?;
        let worker_count = placement.worker_count();
        let budget = Budget::new(nofile, worker_count, binds.len(), &config.workers)?;
        crate::sys::ignore_sigpipe().map_err(|e| StartError::system("signal")(e.into()))?;

        let Listening { of_workers, addresses } =
            listening::open(&config, &binds, bind_flag, &placement, passed)?;
        let admin = open_admin(&config)?;
        let admin_binds = admin.iter().flat_map(admin::Setup::bound).collect();
        let socket_files = admin.iter().flat_map(admin::Setup::socket_files).collect();
        let posts = of_workers.into_iter().zip(&placement.cpus);
        let posts: Result<_, _> = posts.map(|(at, &cpu)| Post::new(at, cpu)).collect();
        let Crew { engine, fallback, members } =
            Crew::muster(config.engine, posts?, config.workers.spin)?;
        let shared = Arc::new(Shared::new(
            EngineReport { name: engine.name(), fallback },
            worker_count,
            placement.pinned().unwrap_or_default(),
            budget.session_count_max,
            addresses,
            admin_binds,
            origin,
        ));
        shared.set_configuration(config.describe());
        shared.set_metrics_cluster_count_max(config.metrics_cluster_count_max);
        shared.set_socket_files(socket_files);
        let assembly = Assembly { config, budget, engine, shared, builder, consul: ties };
        assembly.start(members, admin)
    }

    pub(crate) const fn new(remote: Remote, control: JoinHandle<Result<(), RunError>>) -> Self {
        Self { remote, control: Some(control) }
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

fn open_admin(config: &Config) -> Result<Option<admin::Setup>, StartError> {
    if config.admin.is_empty() {
        return Ok(None);
    }
    let listeners: Result<_, _> = config.admin.iter().map(admin::Listener::open).collect();
    Ok(Some(admin::Setup { listeners: listeners?, node: config.node() }))
}
