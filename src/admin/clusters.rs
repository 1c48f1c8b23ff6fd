//! What there is to say of clusters: what the table has, and what the workers counted.

use std::cmp::Reverse;

use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::METRICS_TRAFFIC_WINDOW;
use crate::route::table::EndpointView;
use crate::route::{ClusterFigures, ClusterId, ClusterView};

/// A cluster of the table, and what all workers counted of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) view: ClusterView<'a>,
    pub(super) figures: ClusterFigures,
}

/// An endpoint, and what all workers know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) view: EndpointView<'a>,
    /// Connections, those being made included.
    pub(super) active: u64,
    /// Connections that were begun or taken over.
    pub(super) opened: u64,
    /// Of these, those that it refused, or reset before its first byte, or did not answer.
    pub(super) failed: u64,
    /// Whether a worker leaves it aside after failures.
    pub(super) is_ejected: bool,
}

impl Known<'_> {
    /// Whether it is dialed as long as there are enough of its kind.
    pub(super) fn is_used(&self) -> bool {
        self.view.is_healthy() && !self.is_ejected
    }
}

impl<'a> Counted<'a> {
    /// The cluster of this id, if the table has it.
    pub(super) fn of(published: &'a Published, id: ClusterId) -> Option<Self> {
        Some(Self::new(published, published.table.cluster(id)?))
    }

    fn new(published: &Published, view: ClusterView<'a>) -> Self {
        let of_workers = published.loads.iter().map(|loads| loads.figures(view.id()));
        let figures = of_workers.fold(ClusterFigures::default(), ClusterFigures::and);
        Self { view, figures }
    }
}

/// All clusters, by name.
pub(super) fn all(published: &Published) -> Vec<Counted<'_>> {
    let counted = published.table.clusters().map(|view| Counted::new(published, view));
    let mut all: Vec<Counted<'_>> = counted.collect();
    all.sort_by_key(|cluster| cluster.view.name());
    all
}

/// The clusters that have a session or had traffic lately, by name; of more than `count_max`,
/// those used last. Says besides how many are left out for that.
pub(super) fn used(
    published: &Published,
    now: Tick,
    count_max: usize,
) -> (Vec<Counted<'_>>, usize) {
    let mut used = all(published);
    used.retain(|cluster| is_used(&cluster.figures, now));
    let left_out = used.len().saturating_sub(count_max);
    if left_out > 0 {
        used.sort_by_key(|cluster| Reverse(cluster.figures.used_at));
        used.truncate(count_max);
        used.sort_by_key(|cluster| cluster.view.name());
    }
    (used, left_out)
}

fn is_used(figures: &ClusterFigures, now: Tick) -> bool {
    let is_recent = |at: Tick| u128::from(now.since_us(at)) <= METRICS_TRAFFIC_WINDOW.as_micros();
    figures.sessions > 0 || figures.used_at.is_some_and(is_recent)
}

/// The endpoints of a cluster.
pub(super) fn endpoints<'a>(
    published: &'a Published,
    cluster: &ClusterView<'a>,
    now: Tick,
) -> impl Iterator<Item = Known<'a>> + use<'a> {
    cluster.endpoints().map(move |view| {
        let loads = published.loads.iter();
        let counts = loads.clone().map(|loads| loads.opened_and_failed(view.id()));
        let (opened, failed) = counts.fold((0_u64, 0_u64), |(opened, failed), more| {
            (opened.wrapping_add(more.0), failed.wrapping_add(more.1))
        });
        Known {
            view,
            opened,
            failed,
            active: loads.clone().map(|loads| u64::from(loads.active(view.id()))).sum(),
            is_ejected: loads.clone().any(|loads| loads.is_ejected(view.id(), now)),
        }
    })
}

#[cfg(test)]
mod tests;
