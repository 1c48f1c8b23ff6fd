//! The network interfaces of this host, and their addresses (getifaddrs(3), and of proc(5)
//! `/proc/net/route`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The name of the interface.
    pub interface: String,
    /// What the interface is and can (netdevice(7)).
    pub flags: InterfaceFlags,
    /// The address.
    pub ip: IpAddr,
    /// The bits of its network mask.
    pub mask_bits: u8,
}

/// Every address of this host: those of one interface together, interfaces in Linux's order.
///
/// # Errors
/// Whatever getifaddrs(3) says.
pub fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in getifaddrs()? {
        // An address with a label of its own has that for a name: eth0:1.
        let name = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        let next = order.len();
        // Links come before addresses.
        order.entry(name.clone()).or_insert(next);
        let Some(ip) = entry.address.as_ref().and_then(ip_of) else { continue };
        let mask_bits = entry.netmask.as_ref().and_then(ip_of).map_or(0, mask_bits);
        found.push(InterfaceAddress { interface: name, flags: entry.flags, ip, mask_bits });
    }
    found.sort_by_key(|address| order.get(&address.interface).copied());
    Ok(found)
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn mask_bits(mask: IpAddr) -> u8 {
    let bits = match mask {
        IpAddr::V4(v4) => v4.to_bits().leading_ones(),
        IpAddr::V6(v6) => v6.to_bits().leading_ones(),
    };
    u8::try_from(bits).unwrap_or(128)
}

/// The interface of the default route: of the IPv4 route to everywhere that goes by a gateway.
#[must_use]
pub fn of_default_route() -> Option<String> {
    default_of(&fs::read_to_string("/proc/thread-self/net/route").ok()?)
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal.
fn default_of(routes: &str) -> Option<String> {
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let routes = routes.lines().skip(1).map(fields);
    let is_default = |route: &Vec<String>| {
        let number = |index: usize| u32::from_str_radix(route.get(index)?, 16).ok();
        number(1) == Some(0) && number(7) == Some(0) && number(2).is_some_and(|via| via != 0)
    };
    let metric = |route: &Vec<String>| route.get(6).and_then(|text| text.parse::<u32>().ok());
    let best = routes.filter(is_default).min_by_key(metric)?;
    best.into_iter().next()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_loopback_interface_is_among_them() {
        let all = addresses().unwrap();
        let loopback = all.iter().find(|address| address.ip == Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((loopback.interface.as_str(), loopback.mask_bits), ("lo", 8));
        assert!(loopback.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    }

    #[test]
    fn the_default_route_goes_by_a_gateway_and_has_the_least_metric() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
        let routes = |lines: &str| default_of(&format!("{head}{lines}"));
        assert_eq!(routes(""), None);
        assert_eq!(routes("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\n"), None);
        let both = "eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\n\
                    eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\n\
                    tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\n";
        assert_eq!(routes(both).as_deref(), Some("eth0"));
    }
}
