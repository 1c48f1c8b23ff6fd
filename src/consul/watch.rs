//! What of Consul's answers is followed.

/// A part of what Consul knows: one question, one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `/v1/connect/ca/roots`.
    Roots,
    /// `/v1/internal/ui/nodes`.
    Catalog,
    /// `/v1/config/service-resolver`.
    Resolvers,
    /// `/v1/config/terminating-gateway`.
    TerminatingGateways,
    /// `/v1/internal/federation-states/mesh-gateways`.
    Gateways,
    /// `/v1/catalog/datacenters`.
    Datacenters,
    /// `/v1/health/service/consul`.
    Servers,
}

/// How an answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As always.
    Ordinary,
    /// Once more with `?consistent`, because the ordinary one was held.
    Confirmed,
}
