//! Clusters that are used.

use crate::admin::clusters::{Counted, used};
use crate::admin::exposition::{Kind, Page};
use crate::control::shared::Published;
use crate::kernel::Tick;

/// A family of one series for each cluster.
type OfCluster = (&'static str, Kind, &'static str, fn(&Counted<'_>) -> u64);

const OF_CLUSTERS: [OfCluster; 4] = [
    ("sluice_cluster_sessions", Kind::Gauge, "Sessions of a cluster.", |cluster| {
        cluster.figures.sessions
    }),
    ("sluice_cluster_dials_total", Kind::Counter, "Dials of a cluster's endpoints.", |cluster| {
        cluster.figures.dials
    }),
    (
        "sluice_cluster_dial_failures_total",
        Kind::Counter,
        "Of them, those that failed or took too long.",
        |cluster| cluster.figures.dials_failed,
    ),
    (
        "sluice_cluster_dial_timeouts_total",
        Kind::Counter,
        "Of them, those that took too long.",
        |cluster| cluster.figures.dials_timed_out,
    ),
];

pub(super) fn write(page: &mut Page, published: &Published, now: Tick, count_max: usize) {
    let (clusters, left_out) = used(published, now, count_max);
    page.gauge(
        "sluice_clusters_left_out",
        "Clusters with traffic in the last hour that have no series: see --metrics-clusters.",
        left_out,
    );
    for (name, kind, help, value) in OF_CLUSTERS {
        let mut family = page.family(name, kind, help);
        for cluster in &clusters {
            family.sample(&[("cluster", cluster.view.name())], value(cluster));
        }
    }
    let mut family = page.family(
        "sluice_cluster_relayed_bytes_total",
        Kind::Counter,
        "Bytes of a cluster; those of live sessions to within 64 KiB each.",
    );
    for cluster in &clusters {
        let name = cluster.view.name();
        family.sample(&[("cluster", name), ("direction", "up")], cluster.figures.bytes_up);
        family.sample(&[("cluster", name), ("direction", "down")], cluster.figures.bytes_down);
    }
}
