//! The command line as typed. [`crate::config`] says what it means.
//!
//! Values stay text here, so that every wrong one is reported in the same words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A Consul mesh gateway: routes mTLS connections by SNI, on io_uring and splice.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

const EXIT_CODES: &str = "Exit codes:
   0  done, or drained and stopped as ordered
   1  `sluice routes NAME`: the name is refused; `sluice demo`: a proof failed
  64  the command line has an unknown or a missing part
  71  Linux refused something
  77  a permission is missing
  78  the value of a flag, or the routes file, is wrong
  79  an address is in use, or is on no interface
  80  --engine io_uring, and io_uring is refused here
  81  a worker ended or stood still
  82  too few file descriptors";

/// What `sluice` can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run a gateway.
    Run(Box<RunArgs>),
    /// Say whether a routes file is right.
    Check {
        /// The routes file.
        file: PathBuf,
    },
    /// Print the routing table, or what a server name resolves to and why.
    Routes {
        /// The routes file.
        #[arg(long, value_name = "FILE")]
        routes: PathBuf,
        /// A server name (SNI).
        name: Option<String>,
    },
    /// Run two gateways and an mTLS service in this process, and prove that they work.
    Demo,
}

/// The flags of `sluice run`. Durations are written 250ms, 5s, 1m30s or 1h; 0 turns a limit off.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Routes file (TOML); read again when it changes and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub routes: PathBuf,
    /// Address to accept connections on; may be given several times.
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    pub bind: Vec<String>,
    /// Address of the admin HTTP server, or `off`.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:19000")]
    pub admin_bind: String,

    /// What to forward with: auto takes io_uring where Linux allows it, else epoll.
    #[arg(long, value_name = "auto|io_uring|epoll", default_value = "auto", help_heading = WORKERS)]
    pub engine: String,
    /// CPUs to run workers on; all that this process may use by default.
    #[arg(long, value_name = "LIST", help_heading = WORKERS)]
    pub cpus: Option<String>,
    /// Workers; as many as CPUs or the cgroup's CPU quota by default.
    #[arg(long, value_name = "COUNT", help_heading = WORKERS)]
    pub workers: Option<String>,
    /// Microseconds to look for work before sleeping: latency for CPU.
    #[arg(long, value_name = "US", default_value = "0", help_heading = WORKERS)]
    pub spin_us: String,
    /// Give each connection to the worker of the CPU that it arrived on.
    #[arg(long, help_heading = WORKERS)]
    pub steer_by_cpu: bool,
    /// Sessions at once, in all; 0: as many as file descriptors allow.
    #[arg(long, value_name = "COUNT", default_value = "0", help_heading = WORKERS)]
    pub sessions_max: String,
    /// Pipes of each worker for splice; by default what descriptors allow, 512 at most.
    #[arg(long, value_name = "COUNT", help_heading = WORKERS)]
    pub pipes: Option<String>,

    /// Time for a complete ClientHello.
    #[arg(long, value_name = "TIME", default_value = "15s", help_heading = SESSIONS)]
    pub hello_timeout: String,
    /// Time for a connection to an endpoint, where its route says nothing else.
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = SESSIONS)]
    pub connect_timeout: String,
    /// Endpoints tried for one session.
    #[arg(long, value_name = "COUNT", default_value = "3", help_heading = SESSIONS)]
    pub dial_attempts: String,
    /// Dial all endpoints of a route alike, also those left aside after failures, when fewer than
    /// this share of them is in use; 0: only when none is.
    #[arg(long, value_name = "PERCENT", default_value = "0", help_heading = SESSIONS)]
    pub panic_threshold: String,
    /// Time without traffic after which a session is closed.
    #[arg(long, value_name = "TIME", default_value = "1h", help_heading = SESSIONS)]
    pub idle_timeout: String,
    /// The same, once one direction has ended.
    #[arg(long, value_name = "TIME", default_value = "1h", help_heading = SESSIONS)]
    pub half_close_timeout: String,
    /// Idle time before TCP keepalive probes, on both sides.
    #[arg(long, value_name = "TIME", default_value = "0", help_heading = SESSIONS)]
    pub keepalive: String,
    /// How a refused TLS client is told: by an alert that says why, or by a bare reset.
    #[arg(long, value_name = "alert|reset", default_value = "alert", help_heading = SESSIONS)]
    pub refuse: String,

    /// Time after SIGTERM in which connections are still accepted.
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = DRAIN)]
    pub drain_delay: String,
    /// Time after that in which sessions may end by themselves; 0: however long they take.
    #[arg(long, value_name = "TIME", default_value = "1m", help_heading = DRAIN)]
    pub drain_timeout: String,
    /// Time over which the remaining sessions are closed then.
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = DRAIN)]
    pub drain_spread: String,

    /// One line per session on standard output.
    #[arg(long, value_name = "off|text|json", default_value = "off", help_heading = LOGS)]
    pub access_log: String,
    /// Form of the log on standard error.
    #[arg(long, value_name = "text|json", default_value = "text", help_heading = LOGS)]
    pub log: String,
    /// What to log.
    #[arg(
        long,
        value_name = "error|warn|info|debug|trace",
        default_value = "info",
        help_heading = LOGS
    )]
    pub log_level: String,
}

const WORKERS: &str = "Workers";
const SESSIONS: &str = "Sessions";
const DRAIN: &str = "Drain";
const LOGS: &str = "Logs";
