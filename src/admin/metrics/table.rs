//! The routing table: which, how large, how old, and where from.

use crate::admin::clusters::endpoints;
use crate::admin::exposition::{Kind, Page};
use crate::control::shared::{Published, Shared};
use crate::kernel::Tick;

pub(super) fn write(page: &mut Page, shared: &Shared, published: &Published, now: Tick) {
    let table = &published.table;
    let figures = shared.provenance.figures();
    let source = if shared.provenance.consul().is_some() { "consul" } else { "file" };
    page.family("sluice_table_source_info", Kind::Gauge, "Where routes come from.")
        .sample(&[("source", source)], 1_u64);
    page.gauge("sluice_table_version", "The number of the table published last.", table.version());
    let mut age = page.family("sluice_table_age_seconds", Kind::Gauge, "Since it was published.");
    if let Some(told) = figures.age {
        age.sample(&[], told);
    }
    page.gauge(
        "sluice_table_size_bytes",
        "Memory of one copy; every worker has one, and control.",
        table.size_bytes(),
    );
    page.gauge("sluice_table_routes", "Rules.", table.rules().count());
    page.gauge("sluice_table_clusters", "Clusters.", table.clusters().count());
    endpoint_counts(page, published, now);
    let is_behind = |version: u64| version < table.version();
    let behind = shared.workers.iter().filter(|stats| is_behind(stats.table_version.get()));
    page.gauge(
        "sluice_table_workers_behind",
        "Workers that have not taken the last table over yet.",
        behind.count(),
    );
    page.gauge(
        "sluice_table_held",
        "Answers of Consul's held back because they would remove very much.",
        figures.held_count,
    );
    page.gauge(
        "sluice_table_notes",
        "What Consul has and no route can be made of: `sluice routes` lists it.",
        figures.note_count,
    );
    page.gauge(
        "sluice_table_restored",
        "Whether some of it is from the disk, because Consul has not answered since the start.",
        figures.is_restored,
    );
}

fn endpoint_counts(page: &mut Page, published: &Published, now: Tick) {
    let (mut healthy, mut critical, mut ejected) = (0_u64, 0_u64, 0_u64);
    for cluster in published.table.clusters() {
        for endpoint in endpoints(published, &cluster, now) {
            let place = match (endpoint.view.is_healthy(), endpoint.is_ejected) {
                (false, _) => &mut critical,
                (true, true) => &mut ejected,
                (true, false) => &mut healthy,
            };
            *place = place.saturating_add(1);
        }
    }
    let mut family = page.family(
        "sluice_table_endpoints",
        Kind::Gauge,
        "Endpoints: healthy, critical in Consul, or left aside by a worker after failures.",
    );
    for (state, count) in [("healthy", healthy), ("critical", critical), ("ejected", ejected)] {
        family.sample(&[("state", state)], count);
    }
}
