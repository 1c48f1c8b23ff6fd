//! What is known of addresses: networks, and which documents set them apart.

use std::net::IpAddr;

use crate::sys::interfaces::InterfaceAddress;

/// The networks that are set apart (RFC 6890 as go-sockaddr has it).
pub(super) const RFC_6890: u32 = 6890;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    ip: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of an address of an interface.
    pub(super) const fn of(address: &InterfaceAddress) -> Self {
        Self { ip: address.ip, bits: address.mask_bits }
    }

    /// Reads `IP/BITS`; an address alone is a network of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let most = bits_of(ip);
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { ip, bits })
    }

    /// The first address.
    pub(super) fn first(self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & mask_v4(self.bits)).into()),
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & mask_v6(self.bits)).into()),
        }
    }

    /// The last one: of IPv4, its broadcast address.
    pub(super) fn last(self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() | !mask_v4(self.bits)).into()),
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() | !mask_v6(self.bits)).into()),
        }
    }

    /// The mask.
    pub(super) fn mask(self) -> IpAddr {
        match self.ip {
            IpAddr::V4(_) => IpAddr::V4(mask_v4(self.bits).into()),
            IpAddr::V6(_) => IpAddr::V6(mask_v6(self.bits).into()),
        }
    }

    /// Whether all of another network is in it.
    pub(super) fn contains(self, other: Self) -> bool {
        self.ip.is_ipv4() == other.ip.is_ipv4()
            && self.first() <= other.first()
            && self.last() >= other.last()
    }
}

/// The bits of an address of this family.
pub(super) const fn bits_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)
}

/// Whether a network is within one that a document sets apart; `None` for a document that is not
/// known.
pub(super) fn is_of_rfc(number: u32, network: Network) -> Option<bool> {
    let (_, apart) = APART.iter().find(|(known, _)| *known == number)?;
    Some(is_within(apart, network))
}

/// Whether routers pass packets to it on: it is not of this host, of this link, or for examples.
pub(super) fn is_forwardable(network: Network) -> bool {
    !is_within(&NOT_FORWARDED, network)
}

fn is_within(networks: &[&str], network: Network) -> bool {
    networks.iter().filter_map(|text| Network::parse(text)).any(|apart| apart.contains(network))
}

const NOT_FORWARDED: [&str; 15] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "2001:db8::/32",
    "2001:10::/28",
    "fe80::/10",
];

/// What each document sets apart, as far as interfaces of hosts have such addresses.
const APART: [(u32, &[&str]); 8] = [
    (1122, &["0.0.0.0/8", "127.0.0.0/8"]),
    (1918, &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
    (3849, &["2001:db8::/32"]),
    (3927, &["169.254.0.0/16"]),
    (4193, &["fc00::/7"]),
    (5737, &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]),
    (6598, &["100.64.0.0/10"]),
    (
        RFC_6890,
        &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::1/128",
            "::/128",
            "64:ff9b::/96",
            "::ffff:0:0/96",
            "100::/64",
            "2001::/16",
            "2002::/16",
            "fc00::/7",
            "fe80::/10",
        ],
    ),
];
