//! The command line as typed. [`crate::config`] says what it means.
//!
//! Values stay text here, so that every wrong one is reported in the same words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub mod admin;
pub mod diff;
pub mod doctor;
pub mod path;
pub mod secrets;
pub mod words;

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
   1  `sluice routes NAME`: the name is refused; `sluice demo`: a proof failed; `sluice doctor`
      and `sluice path`: a check failed; `sluice diff`: a difference
  64  the command line has an unknown or a missing part
  69  who was asked does not answer
  71  Linux refused something
  77  a permission is missing
  78  the value of a flag, a file of the configuration, or the routes file is wrong
  79  an address is in use, or is on no interface
  80  --engine io_uring, and io_uring is refused here
  81  a worker ended or stood still
  82  too few file descriptors";

/// What `sluice` can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run a gateway.
    Run(Box<RunArgs>),
    /// Say whether a routes file is right; or, with flags of `sluice run`, whether those are, and
    /// print what is in effect and where it is from.
    #[command(visible_alias = "validate")]
    Check(Box<CheckArgs>),
    /// Print the routing table, or what a server name resolves to and why.
    Routes {
        /// A routes file. Without it, the gateway that runs here is asked for its table.
        #[arg(long, value_name = "FILE")]
        routes: Option<PathBuf>,
        /// The gateway.
        #[command(flatten)]
        admin: admin::AdminArgs,
        /// A server name (SNI); or `accept`: take the routes that the gateway holds back because
        /// they remove so much.
        name: Option<String>,
    },
    /// Print the live sessions of a gateway that runs.
    Sessions(Box<admin::SessionsArgs>),
    /// Print how a gateway that runs is: sessions, refusals, dials, bytes.
    Stats(admin::StatsArgs),
    /// Have a gateway accept no more connections, and let its sessions end.
    Drain(admin::DrainArgs),
    /// Say what a gateway logs, or have it log more or less.
    Logging(admin::LoggingArgs),
    /// Write a folder with all that is to be known of a gateway that runs, for somebody who was
    /// not there. No token is in it.
    Debug(admin::DebugArgs),
    /// Look for what keeps a gateway from working, and say what to do. Changes nothing.
    Doctor(doctor::DoctorArgs),
    /// Follow the way of a connection from a sidecar to a service: the mesh gateway mode and who
    /// set it, the server name, and each hop. Changes nothing.
    Path(Box<path::PathArgs>),
    /// Compare the routing table with that of an Envoy that runs as a mesh gateway. Changes
    /// nothing.
    Diff(Box<diff::DiffArgs>),
    /// Run two gateways and an mTLS service in this process, and prove that they work.
    Demo,
    /// Print what completes command lines in a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

/// The arguments of `sluice check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The routes file, alone.
    #[arg(exclusive = true)]
    pub file: Option<PathBuf>,
    /// A configuration.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The flags of `sluice run`. Each can also be given by a variable (SLUICE_IDLE_TIMEOUT for
/// --idle-timeout) and in the file that --config names; a flag goes before a variable, a variable
/// before the file. Durations are written 250ms, 5s, 1m30s or 1h; 0 turns a limit off.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// File (TOML) with values for these flags: `idle-timeout = "30m"`; read again on SIGHUP. A
    /// variable for each goes before it: SLUICE_IDLE_TIMEOUT.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Routes file (TOML); read again when it changes and on SIGHUP. Without it, routes come from
    /// Consul.
    #[arg(long, value_name = "FILE", requires = "bind", conflicts_with_all = CONSUL_ONLY)]
    pub routes: Option<PathBuf>,
    /// Address to accept connections on; may be given several times. With Consul, those that the
    /// registration names by default; what --register says to Consul follows from it.
    #[arg(long, value_name = "ADDR:PORT")]
    pub bind: Vec<String>,
    /// Address of the admin HTTP server: ADDR:PORT or unix://PATH; may be given several times; or
    /// `off`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:19000")]
    pub admin_bind: Vec<String>,
    /// Let the admin HTTP server listen beyond loopback. Whoever reaches it can read all routes
    /// and end the gateway.
    #[arg(long)]
    pub admin_beyond_loopback: bool,
    /// Clusters that metrics have series of, those first that were used last.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub metrics_clusters: String,

    /// Consul.
    #[command(flatten)]
    pub consul: ConsulArgs,

    /// Workers.
    #[command(flatten)]
    pub workers: WorkerArgs,

    /// Listener.
    #[command(flatten)]
    pub listener: ListenerArgs,

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
    /// Such a line also when a session has reached its endpoint.
    #[arg(long, help_heading = LOGS)]
    pub access_log_start: bool,
    /// Such a line also every so often while a session lasts; 0: none.
    #[arg(long, value_name = "TIME", default_value = "0", help_heading = LOGS)]
    pub access_log_every: String,
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

/// The flags of `sluice run` that say whose connections are taken.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = LISTENER)]
pub struct ListenerArgs {
    /// Network that connections of the PROXY protocol (1 or 2) come from, and no others; may be
    /// given several times. Headers from elsewhere are not believed.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<String>,
    /// Who may connect; may be given several times: addresses of gateways that Consul knows
    /// (`federation`), or a network. Everyone by default.
    #[arg(long, value_name = "federation|CIDR", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Connections of one source at once whose ClientHello is not complete, shared out among the
    /// workers; those of the federation's gateways do not count. 0: without a limit.
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub hellos_per_source_max: String,
    /// Cluster that connections go to whose server name no route has, or that name none. They are
    /// refused by default.
    #[arg(long, value_name = "NAME")]
    pub default_cluster: Option<String>,
}

/// The flags of `sluice run` that say what works where, and how much of it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = WORKERS)]
pub struct WorkerArgs {
    /// What to forward with: auto takes io_uring where Linux allows it, else epoll.
    #[arg(long, value_name = "auto|io_uring|epoll", default_value = "auto")]
    pub engine: String,
    /// CPUs to run workers on; all that this process may use by default.
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Workers; as many as CPUs or the cgroup's CPU quota by default.
    #[arg(long, value_name = "COUNT")]
    pub workers: Option<String>,
    /// Microseconds to look for work before sleeping: latency for CPU.
    #[arg(long, value_name = "US", default_value = "0")]
    pub spin_us: String,
    /// Give each connection to the worker of the CPU that it arrived on.
    #[arg(long)]
    pub steer_by_cpu: bool,
    /// Sessions at once, in all; 0: as many as file descriptors allow.
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub sessions_max: String,
    /// Pipes of each worker for splice; by default what descriptors allow, 512 at most.
    #[arg(long, value_name = "COUNT")]
    pub pipes: Option<String>,
}

/// The flags of `sluice run` that concern Consul, named as `consul connect envoy` names them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = CONSUL)]
pub struct ConsulArgs {
    /// What kind of gateway: taken so that the arguments of `consul connect envoy` can be kept.
    #[arg(long, value_name = "mesh", value_parser = ["mesh"])]
    pub gateway: Option<String>,
    /// Register the gateway with the agent, and keep it registered.
    #[arg(long)]
    pub register: bool,
    /// Name to register under; the ID is the same unless --proxy-id says otherwise.
    #[arg(long, value_name = "NAME", default_value = "mesh-gateway")]
    pub service: String,
    /// ID of the gateway's registration. Without --register it is one made by others, which is
    /// never changed.
    #[arg(long, value_name = "ID")]
    pub proxy_id: Option<String>,
    /// LAN address to register and to accept connections on; port 443 if none is given. This and
    /// the next two may have go-sockaddr templates, as in {{ GetInterfaceIP "eth0" }}:8443.
    #[arg(long, value_name = "ADDR[:PORT]", requires = "register")]
    pub address: Option<String>,
    /// WAN address to register: where other datacenters connect to; port 443 if none is given.
    #[arg(long, value_name = "ADDR[:PORT]", requires = "register")]
    pub wan_address: Option<String>,
    /// Address to accept connections on instead of the registered ones; may be given several
    /// times.
    #[arg(long, value_name = "NAME=IP:PORT", requires = "register")]
    pub bind_address: Vec<String>,
    /// Serve Consul's servers too, for WAN federation through mesh gateways.
    #[arg(long, requires = "register")]
    pub expose_servers: bool,
    /// Domain of Consul's agents, which the names of its servers end with; by default what the
    /// agent says if the token may read that (agent:read), else consul.
    #[arg(long, value_name = "DOMAIN")]
    pub server_domain: Option<String>,
    /// Time after which Consul forgets a gateway that does not come back; 0: never.
    #[arg(long, value_name = "TIME", default_value = "6h")]
    pub deregister_after_critical: String,
    /// Folder to keep the last good answers of Consul in, so that a start without Consul serves.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Age from which kept answers are of no use any more; 0: none.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub state_max_age: String,

    /// Consul agent.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// How to reach the Consul agent: flags before environment, named as Consul names them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = AGENT)]
pub struct AgentArgs {
    /// Address of the agent: ADDR:PORT, http://…, https://… or unix://PATH [CONSUL_HTTP_ADDR;
    /// 127.0.0.1:8500].
    #[arg(long, value_name = "ADDR")]
    pub http_addr: Option<String>,
    /// ACL token. The list of processes shows it until the gateway has read it, which then hides
    /// it there: a file is better [CONSUL_HTTP_TOKEN].
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// File with the ACL token [CONSUL_HTTP_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// File with the certificates of the CA that the agent's is signed by [CONSUL_CACERT].
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Folder with such files [CONSUL_CAPATH].
    #[arg(long, value_name = "DIR")]
    pub ca_path: Option<String>,
    /// File with the certificate to show to the agent [CONSUL_CLIENT_CERT].
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<String>,
    /// File with its key [CONSUL_CLIENT_KEY].
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<String>,
    /// Name that the agent's certificate must have [CONSUL_TLS_SERVER_NAME].
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Consul namespace (Enterprise) [CONSUL_NAMESPACE].
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Consul admin partition (Enterprise) [CONSUL_PARTITION].
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
}

/// What has no meaning with a routes file.
const CONSUL_ONLY: [&str; 4] = ["register", "proxy_id", "gateway", "state_dir"];

const CONSUL: &str = "Consul";
const AGENT: &str = "Consul agent (each also by the variable in brackets)";
const LISTENER: &str = "Listener";
const WORKERS: &str = "Workers";
const SESSIONS: &str = "Sessions";
const DRAIN: &str = "Drain";
const LOGS: &str = "Logs";
