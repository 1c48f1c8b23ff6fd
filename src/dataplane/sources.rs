//! How many connections of each source have an incomplete hello, in one worker.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Whoever has one IPv6 address has at least this much of it (RFC 6177).
const PREFIX_BITS: u32 = 64;

/// The counts of those sources that have any. Keyed by the standard library's randomized hash:
/// peers choose where they come from.
#[derive(Debug, Default)]
pub(crate) struct Sources(HashMap<IpAddr, u32>);

impl Sources {
    /// Counts one more connection of a source, unless it has `count_max` already.
    pub(crate) fn enter(&mut self, ip: IpAddr, count_max: u32) -> bool {
        let count = self.0.entry(key(ip)).or_default();
        let has_room = *count < count_max;
        if has_room {
            *count = count.saturating_add(1);
        }
        has_room
    }

    /// Of how many sources there are any.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One that was counted is not incomplete any more.
    pub(crate) fn leave(&mut self, ip: IpAddr) {
        let key = key(ip);
        if let Some(count) = self.0.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

fn key(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - PREFIX_BITS).unwrap_or_default();
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_room_and_none_is_kept_without_need() {
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut sources = Sources::default();
        assert!(sources.enter(one, 2) && sources.enter(one, 2));
        assert!(!sources.enter(one, 2));
        assert!(sources.enter(other, 2));
        sources.leave(one);
        assert!(sources.enter(one, 2), "one that was refused does not count");
        for _ in 0..2 {
            sources.leave(one);
        }
        sources.leave(other);
        assert_eq!(sources.len(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let ips = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"];
        let [one, same, other] = ips.map(|text| text.parse::<IpAddr>().unwrap());
        let mut sources = Sources::default();
        assert!(sources.enter(one, 1) && !sources.enter(same, 1) && sources.enter(other, 1));
    }
}
