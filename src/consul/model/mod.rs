//! What Consul answers, as far as it is needed: the parts of its JSON that decide about routes.
//!
//! Two answers that differ only in what is not here (indexes, the output of checks) are equal.
//! Go leaves out what is empty or writes `null` for it: both are taken alike. Unknown fields are
//! ignored, and nothing is trusted yet: lengths, ports and names are judged where they are used.

mod check;
pub mod duration;
mod entries;
mod node;
mod peering;
mod proxy;

pub use check::{Check, Status};
pub use entries::{
    LinkedService, LoadBalancer, Redirect, Resolver, Roots, ServiceSubset, TerminatingGateway,
};
pub use node::{CheckServiceNode, Connect, Kind, Node, PeerMeta, Service, ServiceAddress, Weights};
pub use peering::{Consumers, ExportedService, Mesh, MeshPeering, Peering};
pub use proxy::{Expose, ExposedPath, MeshGateway, Proxy, ProxyConfig, Upstream};

use serde::{Deserialize, Deserializer};

/// Reads `null` as what is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
