//! The flags of `sluice diff`.

use clap::Args;

use super::AgentArgs;
use super::doctor::GatewayArgs;

/// The flags of `sluice diff`.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// Admin server of an Envoy that runs as a mesh gateway: ADDR:PORT or http://ADDR:PORT.
    #[arg(long, value_name = "URL")]
    pub envoy_admin: String,
    /// Admin HTTP server of the gateway whose table is compared, or `off` for what a gateway would
    /// make of what the Consul agent knows. By default 127.0.0.1:19000, and if no gateway runs
    /// there, the agent.
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin: Option<String>,
    /// One JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Consul agent.
    #[command(flatten)]
    pub agent: AgentArgs,
}
