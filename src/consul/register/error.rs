//! What can keep a gateway from being registered.

use std::mem::discriminant;

use crate::consul::agent::AgentError;

/// Why the agent does not know this gateway, or not as it should. One sentence for the operator:
/// who refused, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The agent cannot be reached, or refused.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The id belongs to a service that is no mesh gateway.
    #[error(
        "the Consul agent has {} with the id {id:?}, which this gateway does not replace: choose \
         another with --proxy-id or --service, or remove it with \
         `consul services deregister -id={id}`",
        indefinite(kind)
    )]
    IdTaken {
        /// The id.
        id: String,
        /// Whose it is; empty for an ordinary service.
        kind: String,
    },
    /// The name belongs to services that are no mesh gateways.
    #[error(
        "Consul has {} named {service:?} on the node {node:?}, and a mesh gateway of that name \
         would be mixed up with it: choose another with --service",
        indefinite(kind)
    )]
    NameTaken {
        /// The name.
        service: String,
        /// Whose it is; empty for an ordinary service.
        kind: String,
        /// Where one of them is.
        node: String,
    },
    /// A definition of others is not there.
    #[error(
        "the Consul agent knows no service with the id {id:?}: define a mesh-gateway with that id \
         there, give its id with --proxy-id, or let this gateway register itself with --register"
    )]
    NotDefined {
        /// The id.
        id: String,
    },
    /// A definition of others is of another kind.
    #[error(
        "the service with the id {id:?} is {}, not a mesh-gateway: give the id of one with \
         --proxy-id, or set its kind where it is defined",
        indefinite(kind)
    )]
    NotAGateway {
        /// The id.
        id: String,
        /// What it is; empty for an ordinary service.
        kind: String,
    },
    /// The agent answered something else than it should.
    #[error(
        "the Consul agent's answer about the service with the id {id:?} cannot be read ({reason}): \
         is it a Consul agent of 1.6 or newer?"
    )]
    Garbled {
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RegisterError {
    /// Whether two failures are the same to an operator, whatever their texts: then the second
    /// is not news.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Agent(this), Self::Agent(other)) => {
                (is_away(this) && is_away(other))
                    || discriminant(this) == discriminant(other) && this.status() == other.status()
            }
            _ => self == other,
        }
    }
}

/// Whether nobody answers. An agent that goes away shows it in several ways, one after another.
const fn is_away(error: &AgentError) -> bool {
    matches!(
        error,
        AgentError::Unreachable { .. } | AgentError::TimedOut { .. } | AgentError::CutOff { .. }
    )
}

/// A kind of service in a sentence.
fn indefinite(kind: &str) -> String {
    match kind.chars().next() {
        None => "an ordinary service".to_owned(),
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {kind}"),
        Some(_) => format!("a {kind}"),
    }
}
