//! The records of a table's arena, and how they are read out of bytes.
//!
//! Plain fixed-size records in native byte order, because a table never leaves its process.
//! Reading never panics: outside of the arena everything is zero, which means "none".

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::route::model::WEIGHT_MAX;
use crate::route::{Endpoint, EndpointId, Policy};

/// Where the sections of an arena begin, in bytes, and how long they are, in records. In order:
/// slots, rules, clusters, endpoints, names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// Hash slots, a power of two, or 0 for a table without rules.
    pub(super) slot_count: usize,
    pub(super) rules_at: usize,
    pub(super) rule_count: usize,
    /// Indexed by cluster id; ids not in this table are holes.
    pub(super) clusters_at: usize,
    pub(super) cluster_slot_count: usize,
    pub(super) endpoints_at: usize,
    pub(super) names_at: usize,
    /// Bit `n - 1`: some suffix has `n` labels. A name has at most 128.
    pub(super) suffix_depths: u128,
}

pub(super) const SLOT_BYTES: usize = 8;
pub(super) const RULE_BYTES: usize = 12;
pub(super) const CLUSTER_BYTES: usize = 40;
pub(super) const ENDPOINT_BYTES: usize = 32;

#[inline]
pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
}

/// The record of this index in a section.
#[inline]
pub(super) fn record<const N: usize>(arena: &[u8], section_at: usize, index: usize) -> &[u8] {
    let at = section_at.saturating_add(index.saturating_mul(N));
    arena.get(at..at.saturating_add(N)).unwrap_or_default()
}

/// A piece of the names section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// From the beginning of the section.
    pub(super) at: u32,
    pub(super) length_bytes: u32,
}

/// One hash slot: part of the key's hash, and a rule.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotRecord {
    pub(super) tag: u32,
    /// 0: empty.
    pub(super) rule_plus_one: u32,
}

impl SlotRecord {
    pub(super) fn write(self, to: &mut Vec<u8>) {
        to.extend(self.tag.to_ne_bytes());
        to.extend(self.rule_plus_one.to_ne_bytes());
    }

    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self { tag: read_u32(bytes, 0), rule_plus_one: read_u32(bytes, 4) }
    }
}

/// A rule. The key of a suffix rule begins with its dot, that of an exact rule never does, so
/// that one hash table serves both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RuleRecord {
    pub(super) key: Text,
    /// 0: to the cluster; else to the refusal of this number, less one.
    pub(super) refusal_plus_one: u8,
    pub(super) cluster: u32,
}

impl RuleRecord {
    pub(super) fn write(self, to: &mut Vec<u8>) {
        to.extend(self.key.at.to_ne_bytes());
        // A key has at most 256 bytes: a name, and the dot in front of a suffix.
        to.extend((self.key.length_bytes << 8 | u32::from(self.refusal_plus_one)).to_ne_bytes());
        to.extend(self.cluster.to_ne_bytes());
    }

    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let [refusal_plus_one, ..] = read_u32(bytes, 4).to_le_bytes();
        let key = Text { at: read_u32(bytes, 0), length_bytes: read_u32(bytes, 4) >> 8 };
        Self { key, refusal_plus_one, cluster: read_u32(bytes, 8) }
    }
}

/// A cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClusterRecord {
    pub(super) name: Text,
    pub(super) endpoint_first: u32,
    pub(super) endpoint_count: u32,
    pub(super) healthy_count: u32,
    /// Of all endpoints; their number if all weigh the same.
    pub(super) total_weight: u32,
    /// By how much round robin steps through the total weight; has no divisor in common with it.
    pub(super) stride: u32,
    /// Saturated: about an hour.
    pub(super) connect_timeout_us: u32,
    pub(super) policy: Policy,
    pub(super) panic_threshold_percent: u8,
    pub(super) flags: u8,
    pub(super) keepalive: KeepaliveRecord,
}

/// Keepalive, in seconds; none if all is 0. tcp(7) knows no more than these hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeepaliveRecord {
    pub(super) idle: u16,
    pub(super) interval: u16,
    pub(super) probe_count: u8,
}

impl ClusterRecord {
    /// Not a hole.
    pub(super) const PRESENT: u8 = 1;
    /// All endpoints weigh the same.
    pub(super) const UNIFORM: u8 = 2;
    /// So few are healthy that health is ignored.
    pub(super) const PANICS: u8 = 4;
    /// Its endpoints are told whose connection they get.
    pub(super) const ANNOUNCED: u8 = 8;

    pub(super) fn write(self, to: &mut Vec<u8>) {
        let words = [
            self.name.at,
            self.name.length_bytes,
            self.endpoint_first,
            self.endpoint_count,
            self.healthy_count,
            self.total_weight,
            self.stride,
            self.connect_timeout_us,
            u32::from(self.keepalive.idle) << 16 | u32::from(self.keepalive.interval),
        ];
        words.iter().for_each(|word| to.extend(word.to_ne_bytes()));
        let (policy, percent) = (self.policy as u8, self.panic_threshold_percent);
        to.extend([self.flags, policy, percent, self.keepalive.probe_count]);
    }

    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let tail = bytes.get(36..).and_then(<[u8]>::first_chunk);
        let [flags, policy, panic_threshold_percent, probe_count] =
            tail.copied().unwrap_or_default();
        let [interval_low, interval_high, idle_low, idle_high] = read_u32(bytes, 32).to_le_bytes();
        Self {
            name: Text { at: read_u32(bytes, 0), length_bytes: read_u32(bytes, 4) },
            endpoint_first: read_u32(bytes, 8),
            endpoint_count: read_u32(bytes, 12),
            healthy_count: read_u32(bytes, 16),
            total_weight: read_u32(bytes, 20),
            stride: read_u32(bytes, 24),
            connect_timeout_us: read_u32(bytes, 28),
            policy: match policy {
                1 => Policy::RoundRobin,
                2 => Policy::Random,
                _ => Policy::LeastConnections,
            },
            panic_threshold_percent,
            flags,
            keepalive: KeepaliveRecord {
                idle: u16::from_le_bytes([idle_low, idle_high]),
                interval: u16::from_le_bytes([interval_low, interval_high]),
                probe_count,
            },
        }
    }

    #[inline]
    pub(super) fn is(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// An endpoint as it lies in the arena; read field by field, because balancing looks at several
/// and needs the address of one.
#[derive(Clone, Copy, Debug)]
pub struct EndpointView<'a>(pub(super) &'a [u8]);

impl EndpointView<'_> {
    const HEALTHY: u8 = 1;
    const V6: u8 = 2;

    /// `weight_through`: the weights of the cluster's endpoints up to and with this one.
    pub(super) fn write(
        id: EndpointId,
        weight_through: u32,
        endpoint: &Endpoint,
        to: &mut Vec<u8>,
    ) {
        let (ip, scope) = match endpoint.address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        let family = if endpoint.address.is_ipv6() { Self::V6 } else { 0 };
        let health = if endpoint.healthy { Self::HEALTHY } else { 0 };
        let [port_low, port_high] = endpoint.address.port().to_le_bytes();
        to.extend(id.0.to_ne_bytes());
        to.extend(weight_through.to_ne_bytes());
        to.extend([endpoint.weight.clamp(1, WEIGHT_MAX), family | health, port_low, port_high]);
        to.extend(scope.to_ne_bytes());
        to.extend(ip.octets());
    }

    /// Its id.
    #[inline]
    #[must_use]
    pub fn id(self) -> EndpointId {
        EndpointId(read_u32(self.0, 0))
    }

    #[inline]
    pub(super) fn weight_through(self) -> u32 {
        read_u32(self.0, 4)
    }

    #[inline]
    fn small(self) -> [u8; 4] {
        self.0.get(8..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }

    /// Its weight, 1 to [`WEIGHT_MAX`].
    #[inline]
    #[must_use]
    pub fn weight(self) -> u8 {
        let [weight, ..] = self.small();
        weight
    }

    /// Whether whoever checks it says that it works.
    #[inline]
    #[must_use]
    pub fn is_healthy(self) -> bool {
        let [_, flags, ..] = self.small();
        flags & Self::HEALTHY != 0
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        let [_, flags, port_low, port_high] = self.small();
        let port = u16::from_le_bytes([port_low, port_high]);
        let octets: [u8; 16] =
            self.0.get(16..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        let ip = Ipv6Addr::from(octets);
        match (flags & Self::V6 != 0, ip.to_ipv4_mapped()) {
            (false, Some(v4)) => SocketAddr::new(IpAddr::V4(v4), port),
            _ => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, read_u32(self.0, 12))),
        }
    }
}
