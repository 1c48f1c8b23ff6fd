//! Where an instance is dialed, and its health and weight.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::consul::model::{Node, Service, Status};
use crate::limits::SERVER_NAME_BYTES_MAX;
use crate::route::Address;
use crate::route::model::WEIGHT_MAX;

/// An endpoint whose host name, if it has one, is not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) weight: u8,
    pub(super) healthy: bool,
}

/// From where an instance is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From its own datacenter.
    Lan,
    /// From another one.
    Wan,
}

/// Why an instance cannot be dialed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum AddressError {
    #[error("it listens on a Unix socket, which gateways cannot reach")]
    UnixSocket,
    #[error("it has no address, and neither has its node")]
    None,
    #[error("its port {0} is none (1 to 65535)")]
    Port(i64),
    #[error("its address {0} is of no host: register the one that it is reached at")]
    Unspecified(IpAddr),
    #[error("its address is neither an IP address nor a host name")]
    Garbage,
}

/// Where to dial an instance (Consul's `CheckServiceNode.BestAddress`). Of the tagged addresses
/// only `wan` ever counts, and only from other datacenters; one without an address of its own
/// falls back to the node's, with the port that it says.
pub(crate) fn address(
    node: &Node,
    service: &Service,
    reach: Reach,
) -> Result<Address, AddressError> {
    let tagged = service.tagged_addresses.get("wan").filter(|_| reach == Reach::Wan);
    if !service.socket_path.is_empty() && tagged.is_none() {
        return Err(AddressError::UnixSocket);
    }
    let own = tagged.map_or(&service.address, |wan| &wan.address);
    let port = tagged.map(|wan| wan.port).filter(|port| *port != 0).unwrap_or(service.port);
    let node_wan = node.tagged_addresses.get("wan").filter(|_| reach == Reach::Wan);
    let candidates = [Some(own), node_wan, Some(&node.address)];
    let host = candidates.into_iter().flatten().find(|host| !host.is_empty());
    let host = host.ok_or(AddressError::None)?;
    let port =
        u16::try_from(port).ok().filter(|port| *port != 0).ok_or(AddressError::Port(port))?;
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(AddressError::Unspecified(ip)),
        Ok(ip) => Ok(Address::Socket(SocketAddr::new(ip, port))),
        Err(_) if is_host_name(host) => Ok(Address::Host { name: host.to_ascii_lowercase(), port }),
        Err(_) => Err(AddressError::Garbage),
    }
}

/// Whether a resolver may be asked for it: letters, digits, `-`, `_` and dots.
fn is_host_name(host: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let host = host.strip_suffix('.').unwrap_or(host);
    // What is all digits and dots was meant to be an address.
    host.len() <= SERVER_NAME_BYTES_MAX
        && host.bytes().any(|byte| byte.is_ascii_alphabetic())
        && host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_legal))
}

/// Health and weight of an instance (Consul's `calculateEndpointHealthAndWeight`). `statuses` are
/// those of all its checks and its node's. `only_passing` is a subset's: a warning takes the
/// instance out.
pub(super) fn health_and_weight(
    service: &Service,
    statuses: &[Status],
    only_passing: bool,
) -> (bool, u8) {
    let has = |status| statuses.contains(&status);
    let critical = has(Status::Critical);
    let not_passing = only_passing && statuses.iter().any(|status| *status != Status::Passing);
    let weight = match service.weights {
        None => 1,
        Some(weights) if has(Status::Warning) => weights.warning,
        Some(weights) => weights.passing,
    };
    let healthy = !critical && !not_passing && weight >= 1;
    let weight = u8::try_from(weight.clamp(1, i64::from(WEIGHT_MAX))).unwrap_or(1);
    (healthy, weight)
}

/// The places of a cluster, each address once: several registrations of one address, as behind a
/// load balancer, are one place to connect to. It works if one of them says so.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    seen: HashMap<Address, usize>,
}

impl Places {
    pub(super) fn add(&mut self, place: Place) {
        match self.seen.get(&place.address).and_then(|index| self.places.get_mut(*index)) {
            Some(there) => {
                there.weight = there.weight.max(place.weight);
                there.healthy |= place.healthy;
            }
            None => {
                self.seen.insert(place.address.clone(), self.places.len());
                self.places.push(place);
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Place> {
        self.places
    }
}
