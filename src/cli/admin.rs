//! The flags of the commands that ask a gateway that runs.

use std::path::PathBuf;

use clap::Args;

/// Which gateway.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// The gateway's admin HTTP server: ADDR:PORT or unix://PATH.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:19000")]
    pub admin: String,
}

/// The flags of `sluice sessions`.
#[derive(Args, Clone, Debug)]
pub struct SessionsArgs {
    /// The gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print what comes and goes, looking once a second, until it is interrupted. What is shorter
    /// may not be seen: the access log has all.
    #[arg(long)]
    pub follow: bool,
    /// Only sessions whose server name contains this.
    #[arg(long, value_name = "TEXT")]
    pub sni: Option<String>,
    /// Only sessions of clusters whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub cluster: Option<String>,
    /// Only sessions from this address, this address and port, or this network.
    #[arg(long, value_name = "ADDR|NETWORK")]
    pub source: Option<String>,
    /// Only sessions of this worker.
    #[arg(long, value_name = "NUMBER")]
    pub worker: Option<String>,
    /// Only sessions that were accepted longer ago.
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<String>,
    /// A JSON object for each session, a line each.
    #[arg(long)]
    pub json: bool,
}

/// The flags of `sluice stats`.
#[derive(Args, Clone, Debug)]
pub struct StatsArgs {
    /// The gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// All that is counted, as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The flags of `sluice drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// The gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Close the listeners now, and not only after --drain-delay.
    #[arg(long, conflicts_with = "end")]
    pub now: bool,
    /// End the gateway when sessions have ended, or --drain-timeout has passed: as SIGTERM does.
    #[arg(long)]
    pub end: bool,
    /// Wait until no session is left, or the gateway has ended.
    #[arg(long)]
    pub wait: bool,
}

/// The flags of `sluice logging`.
#[derive(Args, Clone, Debug)]
pub struct LoggingArgs {
    /// The gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// From now on log this and what is graver: trace, debug, info, warning, error or off. Without
    /// it, says what is logged.
    pub level: Option<String>,
}

/// The flags of `sluice debug`.
#[derive(Args, Clone, Debug)]
pub struct DebugArgs {
    /// The gateway.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// The folder to make; one named by the time unless given. It must not be there yet.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
