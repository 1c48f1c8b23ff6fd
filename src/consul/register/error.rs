//! What can keep a gateway from being registered.

use std::mem::discriminant;

use super::address::Address;
use crate::consul::agent::AgentError;

/// Why the agent does not know this gateway, or not as it should. One sentence for the operator:
/// who refused, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The agent cannot be reached, or refused.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The token may not write the service, and so not say how it is.
    #[error(
        "the Consul agent at {agent} does not take from this token who the gateway is and how it \
         does (403, {message}): the token lacks service:write on {service:?}; give it a policy \
         with service \"{service}\" {{ policy = \"write\" }}"
    )]
    NotAllowed {
        /// The agent's address.
        agent: String,
        /// What it said.
        message: String,
        /// The name of the gateway's service; its id, where that is all that is known.
        service: String,
    },
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
    /// Another gateway registered itself under our id.
    #[error(
        "another gateway has registered itself as {id:?}, at {address}: whoever looks for gateways \
         finds that one, and not this one, at {own}; give each an id of its own with --proxy-id"
    )]
    Replaced {
        /// The id.
        id: String,
        /// Where that one is.
        address: Address,
        /// Where this one is.
        own: Address,
    },
    /// Another gateway tells of its health by the check of the same registration of others.
    #[error(
        "another gateway ({other}) attaches its health to the service {id:?}, too: Consul believes \
         whichever was told last, and leads to neither or to one of them; let each have a \
         registration of its own, and name it with --proxy-id"
    )]
    Shared {
        /// The id.
        id: String,
        /// The process that it is, where it runs.
        other: String,
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
            (Self::NotAllowed { .. }, Self::NotAllowed { .. })
            // Of several it is another one each time.
            | (Self::Shared { .. }, Self::Shared { .. }) => true,
            _ => self == other,
        }
    }

    /// Whether it is that another gateway is in our place, with us or without.
    pub(super) const fn is_of_another_gateway(&self) -> bool {
        matches!(self, Self::Replaced { .. } | Self::Shared { .. })
    }

    /// With the right that the token lacks, if that is what it is.
    pub(super) fn naming_the_right(self, service: &str) -> Self {
        match self {
            Self::Agent(AgentError::Status { agent, status: 403, message, .. })
                if message.contains("Permission denied") =>
            {
                Self::NotAllowed { agent, message, service: service.to_owned() }
            }
            other => other,
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
