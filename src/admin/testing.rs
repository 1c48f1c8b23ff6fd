//! What a gateway's threads know together, without a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;

use tokio::sync::mpsc::unbounded_channel;

use super::context::{Context, Insight, Setup};
use crate::config::Node;
use crate::control::Remote;
use crate::control::provenance::Origin;
use crate::control::shared::{EngineReport, Phase, Published, Shared};
use crate::route::{Cluster, Endpoint, Loads, Mailbox, Pattern, Publisher, Routes};

/// A gateway that serves, with two workers and two listeners, and no table.
pub(super) fn shared() -> Shared {
    let shared = Shared::new(
        EngineReport { name: "epoll", fallback: Some("seccomp".into()) },
        2,
        Vec::new(),
        10,
        vec!["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()],
        Vec::new(),
        Origin::File("routes".into()),
    );
    shared.advance(Phase::Serving);
    shared
}

/// What pages are written of.
pub(super) fn context(shared: Shared) -> Context {
    let remote = Remote::new(Arc::new(shared), unbounded_channel().0, channel().0);
    let setup = Setup { listeners: Vec::new(), node: node() };
    Context::new(setup, Insight::default(), remote).0
}

pub(super) fn node() -> Node {
    Node { id: "mesh-gateway-1".into(), service: "mesh-gateway".into() }
}

/// Has clusters of these names published, each with a healthy and a critical endpoint.
pub(super) fn publish(shared: &Shared, names: &[&str]) -> Published {
    let mut routes = Routes::default();
    for (number, name) in (1..).zip(names) {
        let endpoint = |port| Endpoint::new(SocketAddr::from(([10, 0, 0, number], port)));
        let critical = Endpoint { healthy: false, ..endpoint(81) };
        let target = routes.add_cluster(Cluster::new(*name, vec![endpoint(80), critical]));
        routes.add_route(Pattern::parse(name).unwrap(), target);
    }
    let mut publisher = Publisher::default();
    for _ in &shared.workers {
        publisher.add_worker(Mailbox::new().0, || {});
    }
    publisher.publish(&routes).unwrap();
    let table = publisher.table().copy().into();
    let loads: Vec<Loads> = publisher.loads().cloned().collect();
    let published = Published { table, loads: loads.into() };
    shared.set_published(published.clone());
    published
}
