//! The names of ids, for whoever formats logs and metrics.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::interner::Freed;
use super::{ClusterId, EndpointId};

/// Names by id. A handle: clones share the names. Control writes, once per table; a name can be
/// read until its id is freed, which is a while after the last session of it has ended.
///
/// It has a lock, and so is not for workers.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Names>>);

#[derive(Debug, Default)]
struct Names {
    clusters: Vec<Option<Arc<str>>>,
    endpoints: Vec<Option<(ClusterId, SocketAddr)>>,
}

impl Directory {
    /// The key of a cluster.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> Option<Arc<str>> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.clusters.get(id.0 as usize)?.clone()
    }

    /// The cluster and the address of an endpoint.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<(ClusterId, SocketAddr)> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        *names.endpoints.get(id.0 as usize)?
    }

    pub(super) fn add(
        &self,
        clusters: impl Iterator<Item = (ClusterId, Arc<str>)>,
        endpoints: impl Iterator<Item = (EndpointId, (ClusterId, SocketAddr))>,
    ) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (id, key) in clusters {
            set(&mut names.clusters, id.0, Some(key));
        }
        for (id, key) in endpoints {
            set(&mut names.endpoints, id.0, Some(key));
        }
    }

    pub(super) fn remove(&self, freed: &Freed) {
        if *freed == Freed::default() {
            return;
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for id in &freed.clusters {
            set(&mut names.clusters, id.0, None);
        }
        for id in &freed.endpoints {
            set(&mut names.endpoints, id.0, None);
        }
    }
}

fn set<T>(names: &mut Vec<Option<T>>, id: u32, name: Option<T>) {
    let index = id as usize;
    if names.len() <= index {
        names.resize_with(index.saturating_add(1), || None);
    }
    if let Some(slot) = names.get_mut(index) {
        *slot = name;
    }
}
