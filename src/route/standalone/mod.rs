//! The routes file: TOML, for gateways that stand alone.
//!
//! ```toml
//! [[route]]
//! sni = "web.example.com"            # or "*.example.com"
//! endpoints = ["10.0.0.1:8443", { address = "[2001:db8::1]:8443", weight = 3 }]
//! connect_timeout = "5s"             # optional
//! name = "web"                       # optional; in logs and metrics
//! proxy_protocol = "v2"              # optional; tells endpoints whose connection they get
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use super::{Address, Cluster, Endpoint, Pattern, Routes};

mod fields;
mod read;

pub use crate::located::Problem as RouteFileError;
pub use fields::FieldError;

/// A routes file that is right in itself. Its host names are not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFile {
    /// Its routes, in order.
    pub routes: Vec<FileRoute>,
}

/// One `[[route]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRoute {
    /// The key of its cluster: `name`, or else `sni`.
    pub name: String,
    /// `sni`.
    pub pattern: Pattern,
    /// `endpoints`, at least one, each address once.
    pub endpoints: Vec<FileEndpoint>,
    /// `connect_timeout`, if it says one; zero: no such limit.
    pub connect_timeout: Option<Duration>,
    /// `proxy_protocol`: whether endpoints are told whose connection they get.
    pub is_announced: bool,
}

/// One of `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEndpoint {
    /// Where it is. A host may have several addresses: each becomes an endpoint.
    pub address: Address,
    /// Its weight, or that of each of its addresses.
    pub weight: u8,
}

impl RouteFile {
    /// Reads a routes file. `path` is only for the errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(text: &str, path: &str) -> Result<Self, Vec<RouteFileError>> {
        read::read(text, path)
    }

    /// The hosts to resolve, with their ports; a host that several routes name comes several
    /// times.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        let endpoints = self.routes.iter().flat_map(|route| &route.endpoints);
        endpoints.filter_map(|endpoint| match &endpoint.address {
            Address::Socket(_) => None,
            Address::Host { name, port } => Some((name.as_str(), *port)),
        })
    }

    /// The routes, with every host replaced by its addresses. A host without any has no
    /// endpoint; its route stays, and refuses when it has no other. `connect_timeout` is for
    /// routes that say none.
    pub fn resolve(
        &self,
        connect_timeout: Duration,
        mut addresses: impl FnMut(&str, u16) -> Vec<SocketAddr>,
    ) -> Routes {
        let mut routes = Routes::default();
        for route in &self.routes {
            let mut endpoints = Vec::with_capacity(route.endpoints.len());
            for FileEndpoint { address, weight } in &route.endpoints {
                let resolved = match address {
                    Address::Socket(address) => vec![*address],
                    Address::Host { name, port } => addresses(name, *port),
                };
                let weighted = |address| Endpoint { weight: *weight, ..Endpoint::new(address) };
                endpoints.extend(resolved.into_iter().map(weighted));
            }
            let mut cluster = Cluster::new(&route.name, endpoints);
            cluster.connect_timeout = route.connect_timeout.unwrap_or(connect_timeout);
            cluster.is_announced = route.is_announced;
            let target = routes.add_cluster(cluster);
            routes.add_route(route.pattern.clone(), target);
        }
        routes
    }
}

#[cfg(test)]
mod tests;
