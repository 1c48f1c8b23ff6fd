//! Where routes come from.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::resolver::Host;
use crate::config::SessionLimits;
use crate::route::Routes;

pub(crate) mod consul;
pub(crate) mod file;
mod routes_file;

use consul::ConsulSource;
use file::FileSource;

/// What a look at the source found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// Nothing new.
    Same,
    /// Other routes.
    Changed,
    /// What cannot be read, or is wrong: the routes in force are kept.
    Refused,
}

/// Where routes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A routes file.
    File(FileSource),
    /// Consul's answers.
    Consul(Box<ConsulSource>),
}

impl Source {
    /// The host names that its endpoints have.
    pub(crate) fn hosts(&self) -> BTreeSet<Host> {
        match self {
            Self::File(file) => file.hosts(),
            Self::Consul(consul) => consul.hosts(),
        }
    }

    /// Whether there are routes at all.
    pub(crate) fn has_table(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Consul(consul) => consul.has_table(),
        }
    }

    /// The routes in force, with host names looked up.
    pub(crate) fn routes(
        &self,
        sessions: &SessionLimits,
        lookup: impl FnMut(&str, u16) -> Vec<SocketAddr>,
    ) -> Routes {
        match self {
            Self::File(file) => file.routes(sessions, lookup),
            Self::Consul(consul) => consul.routes(lookup),
        }
    }
}
