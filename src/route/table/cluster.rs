//! A cluster as it lies in a table.

use std::time::Duration;

use crate::kernel::Keepalive;
use crate::route::{ClusterId, Policy};

use super::layout::{
    CLUSTER_BYTES, ClusterRecord, ENDPOINT_BYTES, KeepaliveRecord, Layout, record,
};
use super::{EndpointView, text_at};

/// A cluster of a table, with its endpoints.
#[derive(Clone, Copy, Debug)]
pub struct ClusterView<'a> {
    id: ClusterId,
    record: ClusterRecord,
    name: &'a [u8],
    endpoints: &'a [u8],
}

impl<'a> ClusterView<'a> {
    pub(super) fn read(arena: &'a [u8], layout: &Layout, id: ClusterId) -> Option<Self> {
        let index = id.0 as usize;
        if index >= layout.cluster_slot_count {
            return None;
        }
        let bytes = record::<CLUSTER_BYTES>(arena, layout.clusters_at, index);
        let cluster = ClusterRecord::read(bytes);
        if !cluster.is(ClusterRecord::PRESENT) {
            return None;
        }
        let first = cluster.endpoint_first as usize;
        let at = layout.endpoints_at.saturating_add(first.saturating_mul(ENDPOINT_BYTES));
        let length = (cluster.endpoint_count as usize).saturating_mul(ENDPOINT_BYTES);
        Some(Self {
            id,
            record: cluster,
            name: text_at(arena, layout, cluster.name),
            endpoints: arena.get(at..at.saturating_add(length)).unwrap_or_default(),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// Its key, which is its name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// A connection to an endpoint must stand within this time; zero: no such limit.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_micros(self.record.connect_timeout_us.into())
    }

    /// Keepalive of its connections, where it is another than that of all.
    #[must_use]
    pub fn keepalive(&self) -> Option<Keepalive> {
        let KeepaliveRecord { idle, interval, probe_count } = self.record.keepalive;
        (idle > 0).then(|| Keepalive {
            idle: Duration::from_secs(idle.into()),
            interval: Duration::from_secs(interval.into()),
            probe_count: probe_count.into(),
        })
    }

    /// How an endpoint is chosen.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.record.policy
    }

    /// Below which share of healthy endpoints health is ignored.
    #[must_use]
    pub fn panic_threshold_percent(&self) -> u8 {
        self.record.panic_threshold_percent
    }

    /// Whether so few endpoints are healthy that health is ignored.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.record.is(ClusterRecord::PANICS)
    }

    /// Whether its endpoints are told whose connection they get, by a header of the PROXY protocol.
    #[inline]
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.record.is(ClusterRecord::ANNOUNCED)
    }

    /// How many endpoints it has.
    #[must_use]
    pub fn endpoint_count(&self) -> u32 {
        self.record.endpoint_count
    }

    /// How many of them are healthy.
    #[must_use]
    pub fn healthy_count(&self) -> u32 {
        self.record.healthy_count
    }

    /// The endpoint of this index.
    #[inline]
    #[must_use]
    pub fn endpoint(&self, index: u32) -> Option<EndpointView<'a>> {
        let at = (index as usize).saturating_mul(ENDPOINT_BYTES);
        self.endpoints.get(at..at.saturating_add(ENDPOINT_BYTES)).map(EndpointView)
    }

    /// All endpoints, in the order they came in.
    pub fn endpoints(&self) -> impl Iterator<Item = EndpointView<'a>> + use<'a> {
        self.endpoints.chunks_exact(ENDPOINT_BYTES).map(EndpointView)
    }

    /// The sum of all weights; if all weigh the same, each counts 1.
    #[inline]
    pub(in crate::route) fn total_weight(&self) -> u32 {
        self.record.total_weight
    }

    /// The weight of an endpoint as [`ClusterView::total_weight`] counts it.
    #[inline]
    pub(in crate::route) fn share(&self, endpoint: EndpointView<'_>) -> u32 {
        if self.record.is(ClusterRecord::UNIFORM) { 1 } else { endpoint.weight().into() }
    }

    /// The endpoint whose share a point below [`ClusterView::total_weight`] falls in.
    #[inline]
    pub(in crate::route) fn endpoint_at_weight(&self, point: u32) -> Option<EndpointView<'a>> {
        if self.record.is(ClusterRecord::UNIFORM) {
            return self.endpoint(point);
        }
        let (mut low, mut high) = (0, self.record.endpoint_count);
        while low < high {
            let middle = low.midpoint(high);
            if self.endpoint(middle)?.weight_through() <= point {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        self.endpoint(low)
    }

    /// Where the `turn`-th step of a round robin falls. Each round of `total_weight` turns meets
    /// every point once, and those of one endpoint far apart.
    #[inline]
    pub(in crate::route) fn round_robin_point(&self, turn: u32) -> u32 {
        let product = u64::from(turn).wrapping_mul(self.record.stride.into());
        let point = product.checked_rem(self.record.total_weight.into()).unwrap_or_default();
        u32::try_from(point).unwrap_or_default()
    }
}
