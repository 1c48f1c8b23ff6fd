//! The flags of `sluice doctor`.

use clap::{Args, Subcommand};

use super::{AgentArgs, WorkerArgs};

/// The flags of `sluice doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// What to look at.
    #[command(subcommand)]
    pub subject: Subject,
    /// One JSON object instead of lines.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum Subject {
    /// This host: kernel, limits, CPUs and network, for a gateway with the flags that are given.
    Host(Box<WorkerArgs>),
    /// Consul: its version and settings, the federation of its datacenters, the token's rights,
    /// and whether it knows this gateway.
    Consul(Box<ConsulArgs>),
    /// The endpoints of services here and the gateways of other datacenters: dials each of them.
    Connectivity(Box<ConnectivityArgs>),
}

/// The flags of `sluice doctor consul`.
#[derive(Args, Clone, Debug)]
pub struct ConsulArgs {
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Consul agent.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// The flags of `sluice doctor connectivity`.
#[derive(Args, Clone, Debug)]
pub struct ConnectivityArgs {
    /// Admin HTTP server of the gateway whose table is dialed, or `off` for what the Consul agent
    /// knows. By default 127.0.0.1:19000, and if no gateway runs there, the agent.
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin: Option<String>,
    /// Time for each connection.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Consul agent.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// Which gateway, as `sluice run` names it.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Name that the gateway is registered under.
    #[arg(long, value_name = "NAME", default_value = "mesh-gateway")]
    pub service: String,
    /// ID of its registration; the name unless given.
    #[arg(long, value_name = "ID")]
    pub proxy_id: Option<String>,
}

impl GatewayArgs {
    /// The id of the registration.
    #[must_use]
    pub fn id(&self) -> &str {
        self.proxy_id.as_deref().unwrap_or(&self.service)
    }
}
