//! What the command line means, validated once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use crate::cli::{RunArgs, WorkerArgs};
use crate::consul::agent::SettingsError;
use crate::consul::register::{AddressError, WantedError};
use crate::dataplane::access::Access;
use crate::dataplane::settings::RefuseWith;
use crate::error::Exit;
use crate::kernel::Keepalive;
use crate::limits;

mod access;
mod admin;
pub mod consul;
pub mod cpu_list;
mod describe;
pub mod duration;
mod effective;
mod file;
pub mod layers;
mod live;
pub mod template;
#[cfg(test)]
mod tests;
mod values;

use consul::ConsulPlan;
use values::{access_log_every, address, choose, keepalive, number, time};

pub use admin::AdminBind;
pub use describe::Node;
pub use effective::{Effective, Origin, Setting};
pub use live::{Rereader, TakenOver};
pub use values::time_not_zero;
pub(crate) use values::wrong;

/// What the command line or the environment says cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A flag has a value that it cannot have.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// How the agent is to be reached.
    #[error(transparent)]
    Agent(#[from] SettingsError),
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A template that comes to no address.
    #[error("{flag} {template:?}: {why}")]
    Template {
        /// The flag.
        flag: &'static str,
        /// What was typed.
        template: String,
        /// Why not.
        why: template::TemplateError,
    },
    /// What is to be registered.
    #[error(transparent)]
    Registration(#[from] WantedError),
    /// Neither a routes file nor a place in Consul.
    #[error(
        "whose gateway is this? Say --register to have it registered with Consul's agent here, \
         --proxy-id ID for a registration that others made, or --routes FILE to run without Consul"
    )]
    WhoAmI,
}

impl ConfigError {
    /// The exit code that tells it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::WhoAmI => Exit::Usage,
            _ => Exit::Config,
        }
    }

    /// The flag that it complains of, where it names one.
    #[must_use]
    pub fn flag(&self) -> Option<&str> {
        match self {
            Self::Flag(error) => Some(error.flag),
            Self::Agent(
                SettingsError::Wrong { setting, .. }
                | SettingsError::WrongSecret { setting, .. }
                | SettingsError::File { setting, .. },
            ) => Some(setting),
            Self::Agent(SettingsError::Half { given, .. }) => Some(given),
            _ => None,
        }
    }
}

/// A flag with a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {value}: expected {expected}")]
pub struct FlagError {
    /// The flag.
    pub flag: &'static str,
    /// What was typed.
    pub value: String,
    /// What would have been right.
    pub expected: &'static str,
}

/// Which engine to forward with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// io_uring where it is allowed, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// How workers are placed and bounded.
#[derive(Clone, Debug, Default)]
pub struct WorkerPlan {
    /// CPUs to run on; `None`: those of the affinity mask.
    pub cpus: Option<Vec<usize>>,
    /// How many workers; `None`: as many as CPUs or CPU quota.
    pub worker_count: Option<u16>,
    /// Whether connections go to the worker of the CPU they arrived on.
    pub steer_by_cpu: bool,
    /// How long to look for work before sleeping.
    pub spin: Duration,
    /// Sessions in all; `None`: as many as descriptors allow.
    pub session_count_max: Option<u32>,
    /// Pipes of each worker; `None`: what descriptors allow.
    pub pipe_count_max: Option<usize>,
}

/// How sessions are treated. Zero turns a limit off.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Total time for a hello.
    pub hello_timeout: Duration,
    /// Time for a connection to an endpoint whose route says nothing else.
    pub connect_timeout: Duration,
    /// Endpoints tried for one session.
    pub dial_attempts_max: u8,
    /// When a smaller share of a cluster's endpoints is in use, all are dialed alike; 0: only
    /// when none is.
    pub panic_threshold_percent: u8,
    /// Time without traffic.
    pub idle_timeout: Duration,
    /// The same, once one direction has ended.
    pub half_close_timeout: Duration,
    /// Keepalive on both sides.
    pub keepalive: Option<Keepalive>,
    /// How refusals are told.
    pub refuse_with: RefuseWith,
    /// The key of the cluster that names lead to which no route has.
    pub default_cluster: Option<String>,
    /// What is asked of connections because of where they come from. What it says of the
    /// federation is not known yet, and the limit of hellos is that of all workers together.
    pub access: Access,
}

/// When the access log has a line for a session, besides at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessLogMoments {
    /// When it has reached its endpoint.
    pub at_start: bool,
    /// So often while it lasts; zero: never.
    pub every: Duration,
}

/// The times of a drain.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// Connections are still accepted for this long.
    pub delay: Duration,
    /// Then sessions may go on for this long; zero: for ever.
    pub timeout: Duration,
    /// Those left are closed over this time.
    pub spread: Duration,
}

/// Where routes come from.
#[derive(Clone, Debug)]
pub enum RoutesFrom {
    /// A routes file.
    File(PathBuf),
    /// Consul.
    Consul(Box<ConsulPlan>),
}

/// A gateway, as its operator wants it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where routes come from.
    pub routes: RoutesFrom,
    /// Addresses to accept on, at least one with a routes file. Port 0: any free one.
    pub binds: Vec<SocketAddr>,
    /// Where the admin HTTP server listens; nowhere: there is none.
    pub admin: Vec<AdminBind>,
    /// Clusters that metrics have series of.
    pub metrics_cluster_count_max: usize,
    /// The engine.
    pub engine: EngineChoice,
    /// Workers.
    pub workers: WorkerPlan,
    /// Sessions.
    pub sessions: SessionLimits,
    /// Drain.
    pub drain: DrainTimes,
    /// The access log, if wanted.
    pub access_log: Option<LogFormat>,
    /// When it has lines.
    pub access_log_moments: AccessLogMoments,
    /// Each flag and where its value is from, where they were read.
    pub effective: Effective,
    /// Reads all of it again, where that can be done.
    pub rereader: Option<Rereader>,
}

/// The log of the process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// Its level.
    pub level: Level,
}

impl Config {
    /// A gateway with the defaults of the command line.
    #[must_use]
    pub fn new(routes: PathBuf, binds: Vec<SocketAddr>) -> Self {
        Self {
            routes: RoutesFrom::File(routes),
            binds,
            admin: Vec::new(),
            metrics_cluster_count_max: limits::METRICS_CLUSTER_COUNT,
            engine: EngineChoice::default(),
            workers: WorkerPlan::default(),
            sessions: SessionLimits {
                hello_timeout: limits::HELLO_TIMEOUT,
                connect_timeout: limits::CONNECT_TIMEOUT,
                dial_attempts_max: limits::DIAL_ATTEMPTS_MAX,
                panic_threshold_percent: limits::PANIC_THRESHOLD_PERCENT,
                idle_timeout: limits::IDLE_TIMEOUT,
                half_close_timeout: limits::HALF_CLOSE_TIMEOUT,
                keepalive: None,
                refuse_with: RefuseWith::default(),
                default_cluster: None,
                access: Access::default(),
            },
            drain: DrainTimes {
                delay: limits::DRAIN_DELAY,
                timeout: limits::DRAIN_TIMEOUT,
                spread: limits::DRAIN_SPREAD,
            },
            access_log: None,
            access_log_moments: AccessLogMoments::default(),
            effective: Effective::default(),
            rereader: None,
        }
    }

    /// Reads the flags of `sluice run`.
    ///
    /// # Errors
    /// The first flag with a wrong value.
    pub fn from_args(args: &RunArgs) -> Result<Self, ConfigError> {
        let binds = binds(&args.bind)?;
        Ok(Self {
            routes: routes_from(args, &binds)?,
            binds,
            admin: AdminBind::from_args(&args.admin_bind, args.admin_beyond_loopback)?,
            metrics_cluster_count_max: number(
                "--metrics-clusters",
                &args.metrics_clusters,
                "a count of clusters from 0 to 100000",
                0..=100_000,
            )?,
            engine: EngineChoice::from_args(&args.workers)?,
            workers: WorkerPlan::from_args(&args.workers)?,
            sessions: session_limits(args)?,
            drain: DrainTimes {
                delay: time("--drain-delay", &args.drain_delay)?,
                timeout: time("--drain-timeout", &args.drain_timeout)?,
                spread: time("--drain-spread", &args.drain_spread)?,
            },
            access_log: choose(
                "--access-log",
                &args.access_log,
                "off, text or json",
                &[("off", None), ("text", Some(LogFormat::Text)), ("json", Some(LogFormat::Json))],
            )?,
            access_log_moments: AccessLogMoments {
                at_start: args.access_log_start,
                every: access_log_every(&args.access_log_every)?,
            },
            effective: Effective::default(),
            rereader: None,
        })
    }
}

impl EngineChoice {
    /// Reads the flag that chooses it.
    ///
    /// # Errors
    /// It has a wrong value.
    pub fn from_args(args: &WorkerArgs) -> Result<Self, FlagError> {
        choose(
            "--engine",
            &args.engine,
            "auto, io_uring or epoll",
            &[("auto", Self::Auto), ("io_uring", Self::Uring), ("epoll", Self::Epoll)],
        )
    }
}

impl WorkerPlan {
    /// Reads the flags that say it.
    ///
    /// # Errors
    /// The first flag with a wrong value.
    pub fn from_args(args: &WorkerArgs) -> Result<Self, FlagError> {
        let spin_us: u32 =
            number("--spin-us", &args.spin_us, "microseconds, at most 10000", 0..=10_000)?;
        let sessions_max: u32 = number(
            "--sessions-max",
            &args.sessions_max,
            "a count of sessions (0: no cap)",
            0..=u32::MAX,
        )?;
        let cpus = args.cpus.as_deref().map(|text| {
            cpu_list::parse(text).ok_or_else(|| wrong("--cpus", text, cpu_list::EXPECTED))
        });
        let worker_count = args
            .workers
            .as_deref()
            .map(|text| number("--workers", text, "a count of workers from 1 to 1024", 1..=1024));
        let pipe_count_max = args
            .pipes
            .as_deref()
            .map(|text| number("--pipes", text, "a count of pipes from 0 to 65536", 0..=65_536));
        Ok(Self {
            cpus: cpus.transpose()?,
            worker_count: worker_count.transpose()?,
            steer_by_cpu: args.steer_by_cpu,
            spin: Duration::from_micros(u64::from(spin_us)),
            session_count_max: (sessions_max > 0).then_some(sessions_max),
            pipe_count_max: pipe_count_max.transpose()?,
        })
    }
}

impl LogConfig {
    /// Reads the log flags of `sluice run`.
    ///
    /// # Errors
    /// The first flag with a wrong value.
    pub fn from_args(args: &RunArgs) -> Result<Self, FlagError> {
        let expected = "error, warn, info, debug or trace";
        Ok(Self {
            format: choose(
                "--log",
                &args.log,
                "text or json",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?,
            level: choose(
                "--log-level",
                &args.log_level,
                expected,
                &[
                    ("error", Level::ERROR),
                    ("warn", Level::WARN),
                    ("info", Level::INFO),
                    ("debug", Level::DEBUG),
                    ("trace", Level::TRACE),
                ],
            )?,
        })
    }
}

fn routes_from(args: &RunArgs, binds: &[SocketAddr]) -> Result<RoutesFrom, ConfigError> {
    match &args.routes {
        Some(file) => Ok(RoutesFrom::File(file.clone())),
        None => Ok(RoutesFrom::Consul(Box::new(ConsulPlan::from_args(&args.consul, binds)?))),
    }
}

fn session_limits(args: &RunArgs) -> Result<SessionLimits, FlagError> {
    let attempts = number("--dial-attempts", &args.dial_attempts, "a count from 1 to 16", 1..=16)?;
    Ok(SessionLimits {
        hello_timeout: time("--hello-timeout", &args.hello_timeout)?,
        connect_timeout: time("--connect-timeout", &args.connect_timeout)?,
        dial_attempts_max: attempts,
        panic_threshold_percent: number(
            "--panic-threshold",
            &args.panic_threshold,
            "a percentage from 0 to 100",
            0..=100,
        )?,
        idle_timeout: time("--idle-timeout", &args.idle_timeout)?,
        half_close_timeout: time("--half-close-timeout", &args.half_close_timeout)?,
        keepalive: keepalive(&args.keepalive)?,
        refuse_with: choose(
            "--refuse",
            &args.refuse,
            "alert or reset",
            &[("alert", RefuseWith::Alert), ("reset", RefuseWith::Reset)],
        )?,
        default_cluster: args.listener.default_cluster.clone(),
        access: access::read(&args.listener)?,
    })
}

fn binds(texts: &[String]) -> Result<Vec<SocketAddr>, FlagError> {
    let mut binds = Vec::new();
    for text in texts {
        let bind = address("--bind", text)?;
        if bind.port() != 0 && binds.contains(&bind) {
            return Err(wrong("--bind", text, "each address once"));
        }
        binds.push(bind);
    }
    Ok(binds)
}
