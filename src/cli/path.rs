//! The flags of `sluice path`.

use clap::Args;

use super::AgentArgs;

/// The flags of `sluice path`.
#[derive(Args, Clone, Debug)]
pub struct PathArgs {
    /// ID of the sidecar that the connection comes from; its agent is asked.
    #[arg(long, value_name = "SIDECAR_ID")]
    pub from: String,
    /// Service that it goes to; in another datacenter with that one's name behind a dot.
    #[arg(value_name = "UPSTREAM[.DC]")]
    pub upstream: String,
    /// Time for each connection to a hop.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// One JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
    /// Consul agent.
    #[command(flatten)]
    pub agent: AgentArgs,
}
