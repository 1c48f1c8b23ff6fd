//! HTTP with the local Consul agent.
//!
//! [`AgentSettings`] is where the agent is and what it is shown, by flags and by Consul's own
//! variables; [`Client`] asks and tells it; [`AgentError`] is why that failed, in one sentence
//! for the operator. Tokens are in none of their texts.

mod address;
mod answer;
mod client;
mod error;
mod explain;
mod resolver;
mod settings;
mod tls;
mod token;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use answer::{Answer, Limits};
pub use client::{Client, segment};
pub use error::{AgentError, SettingsError};
pub use settings::{AgentFlags, AgentSettings, BasicAuth, File, TlsSettings};
pub use token::Secret;
