//! Follows the agent's answers: one long poll, or a timer, for each part of the table.

use std::time::Duration;

mod blocking;
mod documented;
mod elsewhere;
mod follow;
mod merged;
mod once;
mod status;

pub use elsewhere::Elsewhere;
pub use follow::follow;
pub use once::read_once;
pub use status::{PartStatus, Status};

#[cfg(test)]
mod tests;

/// A part of what the table is made of; each is one question to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The CA roots, with the trust domain: `connect/ca/roots`.
    Roots,
    /// All nodes, services and checks of the datacenter: `internal/ui/nodes`.
    Catalog,
    /// The checks that are critical, which are few: they are heard of before the catalog, which is
    /// large, is read again: `health/state/critical`.
    Critical,
    /// service-resolver entries: `config/service-resolver`.
    Resolvers,
    /// terminating-gateway entries: `config/terminating-gateway`.
    TerminatingGateways,
    /// The mesh gateways of all datacenters: `internal/federation-states/mesh-gateways`.
    Gateways,
    /// The names of all datacenters: `catalog/datacenters`.
    Datacenters,
    /// Consul's servers of the own datacenter, which is named in it: `health/service/consul`.
    Servers,
    /// What is exported to peers: `exported-services` (Consul 1.17).
    Exports,
    /// The peers: `peerings` (Consul 1.13).
    Peerings,
    /// The mesh entry, which says whether peers reach servers through gateways: `config/mesh/mesh`.
    Mesh,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Roots,
        Self::Catalog,
        Self::Critical,
        Self::Resolvers,
        Self::TerminatingGateways,
        Self::Gateways,
        Self::Datacenters,
        Self::Servers,
        Self::Exports,
        Self::Peerings,
        Self::Mesh,
    ];

    /// Whether there may be a table without it: others say the same a little later, older agents
    /// do not have it, or only tokens for peering may see it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Critical | Self::Exports | Self::Peerings | Self::Mesh)
    }

    /// Whether its last answer is worth anything without the question being asked: what was
    /// critical once says nothing beside a catalog that was read later.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        !matches!(self, Self::Critical)
    }

    /// Its name in logs, metrics and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roots => "roots",
            Self::Catalog => "catalog",
            Self::Critical => "critical",
            Self::Resolvers => "resolvers",
            Self::TerminatingGateways => "terminating_gateways",
            Self::Gateways => "gateways",
            Self::Datacenters => "datacenters",
            Self::Servers => "servers",
            Self::Exports => "exports",
            Self::Peerings => "peerings",
            Self::Mesh => "mesh",
        }
    }

    /// Where it is asked for.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Roots => "/v1/connect/ca/roots",
            Self::Catalog => "/v1/internal/ui/nodes",
            Self::Critical => "/v1/health/state/critical",
            Self::Resolvers => "/v1/config/service-resolver",
            Self::TerminatingGateways => "/v1/config/terminating-gateway",
            Self::Gateways => "/v1/internal/federation-states/mesh-gateways",
            Self::Datacenters => "/v1/catalog/datacenters",
            Self::Servers => "/v1/health/service/consul",
            Self::Exports => "/v1/exported-services",
            Self::Peerings => "/v1/peerings",
            Self::Mesh => "/v1/config/mesh/mesh",
        }
    }
}

/// How an answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// By an ordinary question.
    Ordinary,
    /// With `?consistent`, after [`Verdict::Held`].
    Confirmed,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force.
    Taken,
    /// It says what was in force already.
    Same,
    /// It removes too much to be believed at once: it is to be read again with `?consistent`
    /// after this time, and offered as [`Reading::Confirmed`].
    Held(Duration),
    /// It is not what Consul answers, for this reason; all stays as it was.
    Rejected(String),
}
