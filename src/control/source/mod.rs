//! Where routes come from.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::provenance::Origin;
use super::resolver::Host;
use crate::config::SessionLimits;
use crate::route::Routes;

pub(crate) mod file;
mod routes_file;

use file::FileSource;

/// Where routes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A routes file.
    File(FileSource),
}

impl Source {
    /// What it is, for whoever asks.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::File(file) => Origin::File(file.path().to_owned()),
        }
    }

    /// The host names that its endpoints have.
    pub(crate) fn hosts(&self) -> BTreeSet<Host> {
        match self {
            Self::File(file) => file.hosts(),
        }
    }

    /// The routes in force, with host names looked up.
    pub(crate) fn routes(
        &self,
        sessions: &SessionLimits,
        lookup: impl FnMut(&str, u16) -> Vec<SocketAddr>,
    ) -> Routes {
        let mut routes = match self {
            Self::File(file) => file.routes(sessions.connect_timeout, lookup),
        };
        for cluster in &mut routes.clusters {
            cluster.panic_threshold_percent = sessions.panic_threshold_percent;
        }
        routes
    }
}
