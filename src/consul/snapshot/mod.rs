//! The answers in force, and the routes that they make.
//!
//! ```text
//!   bodies ─▶ Snapshot::take ─▶ Snapshot ─▶ table ─▶ ConsulTable ─▶ resolve ─▶ route::Routes
//!             (answer.rs)                   (build.rs)  hosts() ─▶ a resolver ──┘
//! ```
//!
//! * `answer`: what a body must be to be taken at all.
//! * `current`: the catalog, with what is known of its checks since.
//! * `membership`: which instances serve a name (sidecars, natives, terminating gateways).
//! * `resolvers`: what configuration says of those instances, subsets first of all.
//! * `place`: where an instance is dialed, and its health and weight.
//! * `build`: names, clusters and refusals out of all parts.
//! * `table`: what comes out. Pure, all of it.

mod answer;
mod build;
mod current;
mod gateways;
mod membership;
mod note;
mod place;
mod resolvers;
mod table;

pub use answer::AnswerError;
pub use note::Note;
pub(crate) use place::{Reach, address};
pub use table::{ConsulTable, RemoteOptions, TableOptions};

use std::collections::BTreeMap;
use std::sync::Arc;

use resolvers::Resolvers;

use super::model::{
    Check, CheckServiceNode, ExportedService, Mesh, Node, Peering, Roots, TerminatingGateway,
};
use super::watch::Part;

/// The answer in force for each part. Cloning one is cheap: what is in it is shared.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    roots: Option<Taken<Roots>>,
    catalog: Option<Taken<Vec<Node>>>,
    critical: Option<Taken<Vec<Check>>>,
    resolvers: Option<Taken<Resolvers>>,
    terminating_gateways: Option<Taken<Vec<TerminatingGateway>>>,
    gateways: Option<Taken<BTreeMap<String, Vec<CheckServiceNode>>>>,
    datacenters: Option<Taken<Vec<String>>>,
    servers: Option<Taken<Vec<CheckServiceNode>>>,
    exports: Option<Taken<Vec<ExportedService>>>,
    peerings: Option<Taken<Vec<Peering>>>,
    mesh: Option<Taken<Mesh>>,
}

/// An answer, as it came and as it is understood.
#[derive(Clone, Debug)]
struct Taken<T> {
    body: Arc<[u8]>,
    content: Arc<T>,
}

/// Whether an answer says something other than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It does, or it is the first.
    Yes,
    /// It says the same, however it is written: the one in force stays.
    No,
}

impl Snapshot {
    /// Takes an answer for a part. Where Consul has no such question (before 1.8: 404 for
    /// federation states, 400 for terminating gateways), `{}` or `[]` says so.
    ///
    /// # Errors
    /// See [`AnswerError`]. Everything stays as it was then.
    pub fn take(&mut self, part: Part, body: &[u8]) -> Result<Changed, AnswerError> {
        Ok(match part {
            Part::Roots => replace(&mut self.roots, body, answer::roots(body)?),
            Part::Catalog => replace(&mut self.catalog, body, answer::catalog(body)?),
            Part::Critical => replace(&mut self.critical, body, answer::list(part, body)?),
            Part::Resolvers => replace(&mut self.resolvers, body, answer::list(part, body)?),
            Part::TerminatingGateways => {
                replace(&mut self.terminating_gateways, body, answer::list(part, body)?)
            }
            Part::Gateways => replace(&mut self.gateways, body, answer::gateways(body)?),
            Part::Datacenters => replace(&mut self.datacenters, body, answer::datacenters(body)?),
            Part::Servers => replace(&mut self.servers, body, answer::servers(body)?),
            Part::Exports => replace(&mut self.exports, body, answer::list(part, body)?),
            Part::Peerings => replace(&mut self.peerings, body, answer::list(part, body)?),
            Part::Mesh => replace(&mut self.mesh, body, answer::mesh(body)?),
        })
    }

    /// Takes over what another snapshot has for a part.
    pub fn adopt(&mut self, part: Part, from: &Self) {
        match part {
            Part::Roots => self.roots.clone_from(&from.roots),
            Part::Catalog => self.catalog.clone_from(&from.catalog),
            Part::Critical => self.critical.clone_from(&from.critical),
            Part::Resolvers => self.resolvers.clone_from(&from.resolvers),
            Part::TerminatingGateways => {
                self.terminating_gateways.clone_from(&from.terminating_gateways);
            }
            Part::Gateways => self.gateways.clone_from(&from.gateways),
            Part::Datacenters => self.datacenters.clone_from(&from.datacenters),
            Part::Servers => self.servers.clone_from(&from.servers),
            Part::Exports => self.exports.clone_from(&from.exports),
            Part::Peerings => self.peerings.clone_from(&from.peerings),
            Part::Mesh => self.mesh.clone_from(&from.mesh),
        }
    }

    /// The parts that no answer was taken for and that a table needs: while there is one, there is
    /// no first table, which would refuse names that are there.
    #[must_use]
    pub fn missing(&self) -> Vec<Part> {
        let is_missing = |part: &Part| !part.is_optional() && self.body(*part).is_none();
        Part::ALL.into_iter().filter(is_missing).collect()
    }

    /// The answer in force for a part, as it came.
    #[must_use]
    pub fn body(&self, part: Part) -> Option<&[u8]> {
        match part {
            Part::Roots => body(&self.roots),
            Part::Catalog => body(&self.catalog),
            Part::Critical => body(&self.critical),
            Part::Resolvers => body(&self.resolvers),
            Part::TerminatingGateways => body(&self.terminating_gateways),
            Part::Gateways => body(&self.gateways),
            Part::Datacenters => body(&self.datacenters),
            Part::Servers => body(&self.servers),
            Part::Exports => body(&self.exports),
            Part::Peerings => body(&self.peerings),
            Part::Mesh => body(&self.mesh),
        }
    }

    /// The trust domain, as Consul writes it.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&str> {
        self.roots.as_ref().map(|taken| taken.content.trust_domain.as_str())
    }

    /// The own datacenter: that of its servers.
    #[must_use]
    pub fn datacenter(&self) -> Option<&str> {
        let servers = self.servers.as_ref()?;
        servers.content.iter().map(|s| s.node.datacenter.as_str()).find(|name| !name.is_empty())
    }

    /// The routes that all of it makes. Without roots and servers nothing has a name yet: the
    /// table is empty then. Other parts that are missing are taken for empty.
    #[must_use]
    pub fn table(&self, options: &TableOptions) -> ConsulTable {
        build::build(self, options)
    }
}

/// Takes an answer that says something else than the one in force.
fn replace<T, A>(slot: &mut Option<Taken<T>>, body: &[u8], answer: A) -> Changed
where
    T: PartialEq<A> + From<A>,
{
    if slot.as_ref().is_some_and(|taken| *taken.content == answer) {
        return Changed::No;
    }
    *slot = Some(Taken { body: body.into(), content: Arc::new(answer.into()) });
    Changed::Yes
}

fn body<T>(slot: &Option<Taken<T>>) -> Option<&[u8]> {
    slot.as_ref().map(|taken| &*taken.body)
}

#[cfg(test)]
pub(crate) mod tests;
