//! `include` and `exclude`: which addresses of a list stay.

use std::net::IpAddr;

use nix::net::if_::InterfaceFlags;

use super::TemplateError;
use super::network::{Network, bits_of, is_forwardable, is_of_rfc};
use crate::consul::filter::Pattern;
use crate::sys::interfaces::InterfaceAddress;

type List = Vec<InterfaceAddress>;

/// Parts a list into what a selector matches, and what not. Of several values with `|` between
/// them go-sockaddr looks at each by itself: an address is then in either list as often as it
/// matches, or does not.
pub(super) fn split(
    function: &str,
    selector: &str,
    value: &str,
    list: List,
) -> Result<(List, List), TemplateError> {
    let wrong = |expected| TemplateError::Argument {
        function: format!("{function} {selector:?}"),
        given: format!("{value:?}"),
        expected,
    };
    let lower = value.to_lowercase();
    match selector.to_lowercase().as_str() {
        "address" => {
            let pattern = pattern(value).ok_or_else(|| wrong(PATTERN))?;
            Ok(part(list, |address| pattern.is_match(&cidr(address))))
        }
        "name" => {
            let pattern = pattern(value).ok_or_else(|| wrong(PATTERN))?;
            Ok(part(list, |address| pattern.is_match(&address.interface)))
        }
        "port" => {
            // An address of an interface has none, which is 0.
            let pattern = pattern(value).ok_or_else(|| wrong(PATTERN))?;
            Ok(part(list, |_| pattern.is_match("0")))
        }
        "flag" | "flags" => {
            let flags = Flags::read(&lower).ok_or_else(|| wrong(FLAGS))?;
            Ok(part(list, |address| flags.fit(address)))
        }
        "network" => {
            let networks: Option<Vec<Network>> = value.split('|').map(Network::parse).collect();
            let networks = networks.ok_or_else(|| wrong("networks, such as 10.0.0.0/8"))?;
            Ok(part_by_each(&list, &networks, |network, address| {
                network.contains(Network::of(address))
            }))
        }
        "rfc" | "rfcs" => {
            let known = |text: &str| {
                let number = text.parse().ok()?;
                let nowhere = Network::parse("192.0.2.1")?;
                is_of_rfc(number, nowhere).map(|_| number)
            };
            let numbers: Option<Vec<u32>> = value.split('|').map(known).collect();
            let numbers = numbers.ok_or_else(|| wrong(RFCS))?;
            Ok(part_by_each(&list, &numbers, |number, address| {
                is_of_rfc(*number, Network::of(address)) == Some(true)
            }))
        }
        "size" => {
            let bits = value
                .parse()
                .ok()
                .filter(|bits: &u8| list.iter().all(|address| *bits <= bits_of(address.ip)));
            let bits = bits.ok_or_else(|| wrong("the bits of a network mask, such as 24"))?;
            Ok(part(list, |address| address.mask_bits == bits))
        }
        "type" => {
            let types: Vec<&str> = lower.split('|').collect();
            if !types.iter().all(|name| matches!(*name, "ip" | "ipv4" | "ipv6" | "unix")) {
                return Err(wrong("ip, ipv4 or ipv6"));
            }
            Ok(part_by_each_address(&list, &types, |name, address| match *name {
                "ip" => true,
                "ipv4" => address.ip.is_ipv4(),
                "ipv6" => address.ip.is_ipv6(),
                _ => false,
            }))
        }
        _ => Err(TemplateError::Argument {
            function: function.to_owned(),
            given: format!("{selector:?}"),
            expected: "address, flag, name, network, port, rfc, size or type",
        }),
    }
}

const PATTERN: &str = "a regular expression of Go's";
const RFCS: &str = "1122, 1918, 3849, 3927, 4193, 5737, 6598 or 6890";
const FLAGS: &str = "broadcast, forwardable, global unicast, link-local unicast, loopback, \
                     multicast, point-to-point, unspecified or up";

fn pattern(text: &str) -> Option<Pattern> {
    Pattern::read(text.as_bytes()).ok()
}

/// As go-sockaddr writes an address: without the mask of a single one.
pub(super) fn cidr(address: &InterfaceAddress) -> String {
    match address.mask_bits == bits_of(address.ip) {
        true => address.ip.to_string(),
        false => format!("{}/{}", address.ip, address.mask_bits),
    }
}

fn part(list: List, fits: impl Fn(&InterfaceAddress) -> bool) -> (List, List) {
    list.into_iter().partition(fits)
}

/// First all for one value, then all for the next.
fn part_by_each<T>(
    list: &List,
    values: &[T],
    fits: impl Fn(&T, &InterfaceAddress) -> bool,
) -> (List, List) {
    let pairs = values.iter().flat_map(|value| list.iter().map(move |it| (value, it)));
    part_pairs(pairs, fits)
}

/// First all values for one address, then for the next.
fn part_by_each_address<T>(
    list: &List,
    values: &[T],
    fits: impl Fn(&T, &InterfaceAddress) -> bool,
) -> (List, List) {
    let pairs = list.iter().flat_map(|it| values.iter().map(move |value| (value, it)));
    part_pairs(pairs, fits)
}

fn part_pairs<'a, T: 'a>(
    pairs: impl Iterator<Item = (&'a T, &'a InterfaceAddress)>,
    fits: impl Fn(&T, &InterfaceAddress) -> bool,
) -> (List, List) {
    let (matched, rest): (Vec<_>, Vec<_>) = pairs.partition(|(value, it)| fits(value, it));
    let addresses = |pairs: Vec<(_, &InterfaceAddress)>| {
        pairs.into_iter().map(|(_, address)| address.clone()).collect()
    };
    (addresses(matched), addresses(rest))
}

/// What is asked of an interface, all of it, or of an address, any of it.
#[derive(Default)]
struct Flags {
    of_interface: Option<InterfaceFlags>,
    of_address: Vec<fn(&InterfaceAddress) -> bool>,
}

impl Flags {
    fn read(names: &str) -> Option<Self> {
        let mut flags = Self::default();
        for name in names.split('|') {
            let of_interface = match name {
                "broadcast" => Some(InterfaceFlags::IFF_BROADCAST),
                "loopback" => Some(InterfaceFlags::IFF_LOOPBACK),
                "multicast" => Some(InterfaceFlags::IFF_MULTICAST),
                "point-to-point" => Some(InterfaceFlags::IFF_POINTOPOINT),
                "up" => Some(InterfaceFlags::IFF_UP),
                _ => None,
            };
            let of_address: Option<fn(&InterfaceAddress) -> bool> = match name {
                "forwardable" => Some(|address| is_forwardable(Network::of(address))),
                "global unicast" => Some(|address| is_global_unicast(address.ip)),
                "link-local unicast" => Some(|address| is_link_local(address.ip)),
                "loopback" => Some(|address| address.ip.is_loopback()),
                "multicast" => Some(|address| address.ip.is_multicast()),
                "unspecified" => Some(|address| address.ip.is_unspecified()),
                _ => None,
            };
            if of_interface.is_none() && of_address.is_none() {
                return None;
            }
            if let Some(flag) = of_interface {
                *flags.of_interface.get_or_insert(InterfaceFlags::empty()) |= flag;
            }
            flags.of_address.extend(of_address);
        }
        Some(flags)
    }

    fn fit(&self, address: &InterfaceAddress) -> bool {
        self.of_interface.is_some_and(|flags| address.flags.contains(flags))
            || self.of_address.iter().any(|fits| fits(address))
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// As Go's `net.IP` has it: also what is private.
fn is_global_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !is_broadcast
        && !ip.is_unspecified()
        && !ip.is_loopback()
        && !ip.is_multicast()
        && !is_link_local(ip)
}
