//! Tells the agent of this gateway: who it is, where it is dialed, and whether it serves.
//!
//! A [`Registration`] is either [`Owned`], made by us, or `Foreign`, made by others (a file of
//! the agent's, Nomad), of which only the health is ours. [`keep`] sees to it that the agent
//! knows, through restarts of either side; [`Definition`] is what the agent says of the
//! gateway's addresses and options, and [`follow`] watches it.
//!
//! Consul's servers federate through no gateway with a critical check, and sidecars avoid it;
//! so the health is told at once when it changes, and by a beat that a hung gateway lacks.

mod address;
mod definition;
mod domain;
mod error;
mod follow;
mod introduce;
mod keep;
mod options;
mod owned;
mod retry;
mod signature;
mod status;
#[cfg(test)]
mod tests;
mod weak;

use std::borrow::Cow;

pub use address::{Address, AddressError};
pub use definition::Definition;
pub(crate) use definition::FEDERATION_META;
pub use domain::{follow_server_domain, server_domain};
pub use error::RegisterError;
pub use follow::{definition, definition_as_told, follow};
pub use introduce::preflight;
pub use keep::keep;
pub use options::{DnsDiscovery, Options, RemoteKeepalive};
pub use owned::{Owned, Wanted, WantedError};
pub use status::{RegistrationStatus, State};

/// Who says that there is a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// We do. When the gateway ends, it stays registered and critical, as Envoy's does: a
    /// restart takes its place again, and the addresses stay known to whoever looks for what is
    /// missing. Consul removes it after [`Wanted::deregister_after_critical`].
    Owned(Box<Owned>),
    /// Others do. The definition is never rewritten or removed: its health is one check that we
    /// attach to it. When the gateway ends the check stays, critical, lest Consul believes in a
    /// gateway that is gone; `PUT /v1/agent/check/deregister/sluice:ID` gives the definition
    /// back to another proxy. Several gateways that attach to one registration share its check,
    /// and are told of each other by it.
    Foreign {
        /// The id of the service.
        proxy_id: String,
    },
}

impl Registration {
    /// The id of the service.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Owned(owned) => owned.id(),
            Self::Foreign { proxy_id } => proxy_id,
        }
    }

    /// The name of the service; of one that others registered its id, which is the same unless
    /// they chose another.
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::Owned(owned) => owned.service(),
            Self::Foreign { proxy_id } => proxy_id,
        }
    }
}

/// What the agent is told of the gateway's health. The texts are for people who look there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does not serve yet, and why.
    Starting(Cow<'static, str>),
    /// It serves.
    Passing,
    /// It serves what it has, takes on little more, and will not come back; why.
    Leaving(Cow<'static, str>),
}

impl Health {
    /// As Consul's checks have it.
    pub(crate) const fn status(&self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Starting(_) | Self::Leaving(_) => "critical",
        }
    }

    /// What people read beside it. Always the same for the same health: a change is written to
    /// the catalog.
    pub(crate) fn output(&self) -> &str {
        match self {
            Self::Passing => "Sluice serves.",
            Self::Starting(reason) | Self::Leaving(reason) => reason,
        }
    }
}
