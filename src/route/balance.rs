//! Chooses the endpoint of a new connection.
//!
//! Candidates are the healthy endpoints; all of them when the cluster panics, which it does when
//! none is healthy, or fewer than its threshold. Of these, neither the ones already tried for
//! this session nor the ejected ones are taken; but if ejection leaves none, it is ignored: an
//! endpoint that failed a moment ago is better than no endpoint. If it leaves fewer than the
//! threshold, neither health nor ejection counts: the few would be overrun.

use std::net::SocketAddr;

use super::table::EndpointView;
use super::{ClusterView, EndpointId, Loads, Policy};
use crate::kernel::Tick;

/// The endpoint to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its id.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
}

/// Draws before all endpoints are looked at. A draw that meets nobody eligible is repeated, so
/// that each has its exact share; with few eligible among many, counting them is cheaper.
const DRAWS: u32 = 4;

/// Chooses an endpoint that may be dialed, if there is one. `random` decides everything that is
/// left to chance; `tried` are the endpoints that this session has been refused by.
#[must_use]
pub fn pick(
    cluster: &ClusterView<'_>,
    loads: &Loads,
    now: Tick,
    random: u64,
    tried: &[EndpointId],
) -> Option<Pick> {
    let dice = Dice(random);
    let mut choice =
        Choice { cluster, loads, now, tried, panics: false, respect_ejection: true, dice };
    choice.respect_ejection = !choice.too_few_are_left();
    choice.panics = cluster.panics() || !choice.respect_ejection;
    let endpoint = choice.make().or_else(|| {
        choice.respect_ejection = false;
        choice.make()
    })?;
    Some(Pick { id: endpoint.id(), address: endpoint.address() })
}

struct Choice<'a> {
    cluster: &'a ClusterView<'a>,
    loads: &'a Loads,
    now: Tick,
    tried: &'a [EndpointId],
    /// Health does not count.
    panics: bool,
    respect_ejection: bool,
    dice: Dice,
}

impl<'a> Choice<'a> {
    fn make(&mut self) -> Option<EndpointView<'a>> {
        match self.cluster.policy() {
            Policy::LeastConnections => self.less_loaded_of_two(),
            Policy::RoundRobin => self.next(),
            Policy::Random => self.draw(None),
        }
    }

    /// Drawing by weight and comparing by weight together give each its share at any load: with
    /// no connections at all the first draw decides.
    fn less_loaded_of_two(&mut self) -> Option<EndpointView<'a>> {
        let first = self.draw(None)?;
        if self.cluster.endpoint_count() == 1 {
            return Some(first);
        }
        let Some(second) = self.draw(Some(first.id())) else { return Some(first) };
        // active / weight, without the division.
        let first_load = self.active(first).saturating_mul(self.cluster.share(second).into());
        let second_load = self.active(second).saturating_mul(self.cluster.share(first).into());
        Some(if second_load < first_load { second } else { first })
    }

    fn next(&mut self) -> Option<EndpointView<'a>> {
        for _ in 0..DRAWS {
            let turn = self.loads.next_turn(self.cluster.id());
            let point = self.cluster.round_robin_point(turn);
            let endpoint = self.cluster.endpoint_at_weight(point)?;
            if self.is_eligible(endpoint) {
                return Some(endpoint);
            }
        }
        // Going on to the next one would give it the shares of all who are missing.
        self.draw_among_eligible(None)
    }

    /// An eligible endpoint by weight, other than `except`.
    fn draw(&mut self, except: Option<EndpointId>) -> Option<EndpointView<'a>> {
        for _ in 0..DRAWS {
            let point = self.dice.below(self.cluster.total_weight());
            let endpoint = self.cluster.endpoint_at_weight(point)?;
            if Some(endpoint.id()) != except && self.is_eligible(endpoint) {
                return Some(endpoint);
            }
        }
        self.draw_among_eligible(except)
    }

    #[cold]
    fn draw_among_eligible(&mut self, except: Option<EndpointId>) -> Option<EndpointView<'a>> {
        let cluster = self.cluster;
        let may = |choice: &Self, endpoint: &EndpointView<'_>| {
            Some(endpoint.id()) != except && choice.is_eligible(*endpoint)
        };
        let eligible = cluster.endpoints().filter(|endpoint| may(self, endpoint));
        let total: u32 = eligible.map(|endpoint| cluster.share(endpoint)).sum();
        let mut point = self.dice.below(total);
        cluster.endpoints().filter(|endpoint| may(self, endpoint)).find(|endpoint| {
            let share = cluster.share(*endpoint);
            let hit = point < share;
            point = point.saturating_sub(share);
            hit
        })
    }

    fn is_eligible(&self, endpoint: EndpointView<'_>) -> bool {
        (endpoint.is_healthy() || self.panics)
            && !(self.respect_ejection && self.loads.is_ejected(endpoint.id(), self.now))
            && !self.tried.contains(&endpoint.id())
    }

    /// Whether fewer endpoints than the threshold are healthy and not ejected. Without a
    /// threshold this costs nothing.
    fn too_few_are_left(&self) -> bool {
        let percent = usize::from(self.cluster.panic_threshold_percent());
        let needed = (self.cluster.endpoint_count() as usize).saturating_mul(percent).div_ceil(100);
        let is_left = |endpoint: &EndpointView<'_>| {
            endpoint.is_healthy() && !self.loads.is_ejected(endpoint.id(), self.now)
        };
        self.cluster.endpoints().filter(is_left).take(needed).count() < needed
    }

    fn active(&self, endpoint: EndpointView<'_>) -> u64 {
        self.loads.active(endpoint.id()).into()
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
struct Dice(u64);

impl Dice {
    /// A number below `bound`, or 0 if that is 0. One number is likelier than another by at most
    /// `bound` in 2^32.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let scaled = ((bits ^ (bits >> 31)) >> 32).wrapping_mul(bound.into()) >> 32;
        u32::try_from(scaled).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
