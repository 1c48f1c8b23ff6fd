//! The flags of `sluice doctor`.

use clap::{Args, Subcommand};

use super::WorkerArgs;

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
}
