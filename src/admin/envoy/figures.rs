//! What is counted, under Envoy's names.

use std::net::SocketAddr;
use std::time::Duration;

use super::State;
use crate::admin::clusters::{Counted, all, endpoints, used};
use crate::admin::exposition::Kind;
use crate::config::Node;
use crate::control::shared::{Published, Shared};
use crate::dataplane::stats::{Count, ListenerStats};
use crate::kernel::Tick;
use crate::refusal::Refusal;
use crate::sys::process;

/// Everything that Envoy's statistics are made of, as it is at one time.
pub(in crate::admin) struct Figures<'a> {
    pub(super) clusters: Vec<Cluster<'a>>,
    pub(super) listeners: Vec<Listener>,
    /// Names without what comes before the dot.
    pub(super) server: Vec<Figure>,
    pub(super) tls_inspector: Vec<Figure>,
    /// The name of the service that this gateway is.
    pub(super) service: &'a str,
}

/// A name of Envoy's, and what it stands at.
pub(super) type Figure = (&'static str, Kind, u64);

/// A cluster, with what of its endpoints Envoy counts.
pub(super) struct Cluster<'a> {
    pub(super) counted: Counted<'a>,
    healthy_count: u64,
    ejected_count: u64,
}

impl<'a> Cluster<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.counted.view.name()
    }
}

/// A listener, with the sums of all workers.
pub(super) struct Listener {
    /// As Envoy writes addresses in names.
    pub(super) address: String,
    accepted: u64,
    sessions: u64,
    unmatched: u64,
}

/// A family of clusters, and how to come by its figure.
pub(super) type OfCluster = (&'static str, Kind, fn(&Cluster<'_>) -> u64);

/// By name, as Envoy lists them.
pub(super) const OF_CLUSTERS: [OfCluster; 9] = [
    ("membership_healthy", Kind::Gauge, |cluster| cluster.healthy_count),
    ("membership_total", Kind::Gauge, |cluster| cluster.counted.view.endpoint_count().into()),
    ("outlier_detection.ejections_active", Kind::Gauge, |cluster| cluster.ejected_count),
    ("upstream_cx_active", Kind::Gauge, |cluster| cluster.counted.figures.sessions),
    ("upstream_cx_connect_fail", Kind::Counter, |cluster| cluster.counted.figures.dials_failed),
    ("upstream_cx_connect_timeout", Kind::Counter, |cluster| {
        cluster.counted.figures.dials_timed_out
    }),
    ("upstream_cx_rx_bytes_total", Kind::Counter, |cluster| cluster.counted.figures.bytes_down),
    ("upstream_cx_total", Kind::Counter, |cluster| cluster.counted.figures.dials),
    ("upstream_cx_tx_bytes_total", Kind::Counter, |cluster| cluster.counted.figures.bytes_up),
];

/// A family of listeners, and how to come by its figure.
pub(super) type OfListener = (&'static str, Kind, fn(&Listener) -> u64);

pub(super) const OF_LISTENERS: [OfListener; 3] = [
    ("downstream_cx_active", Kind::Gauge, |listener| listener.sessions),
    ("downstream_cx_total", Kind::Counter, |listener| listener.accepted),
    ("no_filter_chain_match", Kind::Counter, |listener| listener.unmatched),
];

impl<'a> Figures<'a> {
    /// With the clusters that are used, but not more than metrics may have.
    pub(in crate::admin) fn of_used(
        shared: &Shared,
        published: &'a Published,
        node: &'a Node,
    ) -> Self {
        let (clusters, _) = used(published, now(), shared.metrics_cluster_count_max());
        Self::new(shared, published, node, clusters)
    }

    /// With all clusters.
    pub(in crate::admin) fn of_all(
        shared: &Shared,
        published: &'a Published,
        node: &'a Node,
    ) -> Self {
        Self::new(shared, published, node, all(published))
    }

    fn new(
        shared: &Shared,
        published: &'a Published,
        node: &'a Node,
        clusters: Vec<Counted<'a>>,
    ) -> Self {
        let now = now();
        let cluster = |counted: Counted<'a>| {
            let (mut healthy_count, mut ejected_count) = (0_u64, 0_u64);
            for endpoint in endpoints(published, &counted.view, now) {
                healthy_count = healthy_count.saturating_add(endpoint.is_used().into());
                ejected_count = ejected_count.saturating_add(endpoint.is_ejected.into());
            }
            Cluster { counted, healthy_count, ejected_count }
        };
        Self {
            clusters: clusters.into_iter().map(cluster).collect(),
            listeners: listeners(shared),
            server: server(shared),
            tls_inspector: tls_inspector(shared),
            service: &node.service,
        }
    }
}

fn now() -> Tick {
    Tick(process::monotonic_us())
}

fn listeners(shared: &Shared) -> Vec<Listener> {
    let listener = |(id, address): (u16, &SocketAddr)| {
        let total = |count: fn(&ListenerStats) -> &Count| {
            shared.total(|stats| stats.listener(id).map_or(0, |listener| count(listener).get()))
        };
        Listener {
            address: in_name(*address),
            accepted: total(|listener| &listener.accepted),
            sessions: total(|listener| &listener.sessions),
            unmatched: total(|listener| &listener.unmatched),
        }
    };
    (0..).zip(&shared.addresses).map(listener).collect()
}

/// An address as Envoy writes it into names, where a colon would be another separator.
pub(super) fn in_name(address: SocketAddr) -> String {
    address.to_string().replace(':', "_")
}

fn server(shared: &Shared) -> Vec<Figure> {
    let memory = process::memory();
    let state = State::of(shared);
    let uptime: Duration = shared.started.elapsed();
    vec![
        ("concurrency", Kind::Gauge, shared.workers.len() as u64),
        ("live", Kind::Gauge, u64::from(state == State::Live)),
        ("memory_allocated", Kind::Gauge, memory.anonymous_bytes),
        ("memory_heap_size", Kind::Gauge, memory.data_bytes),
        ("memory_physical_size", Kind::Gauge, memory.resident_bytes),
        ("state", Kind::Gauge, state as u64),
        ("total_connections", Kind::Gauge, shared.total(|stats| stats.sessions.get())),
        ("uptime", Kind::Gauge, uptime.as_secs()),
    ]
}

fn tls_inspector(shared: &Shared) -> Vec<Figure> {
    let named: u64 = shared.total(|stats| stats.hello_times.count());
    let unnamed = shared.refused(Refusal::NoServerName);
    let closed = shared.total(|stats| stats.probes.get());
    let truncated = shared.refused(Refusal::HelloTruncated);
    vec![
        ("client_hello_too_large", Kind::Counter, shared.total(|s| s.hellos_too_long.get())),
        ("connection_closed", Kind::Counter, closed.saturating_add(truncated)),
        ("read_timeout", Kind::Counter, shared.refused(Refusal::HelloTimeout)),
        ("sni_found", Kind::Counter, named),
        ("sni_not_found", Kind::Counter, unnamed),
        ("tls_found", Kind::Counter, named.saturating_add(unnamed)),
        ("tls_not_found", Kind::Counter, shared.refused(Refusal::NotTls)),
    ]
}
