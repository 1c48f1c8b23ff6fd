//! The addresses of the federation's gateways, for whoever lets only them in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Snapshot;
use crate::consul::model::{CheckServiceNode, Kind};

/// Every address that Consul knows of the gateways of other datacenters, and of our own: a
/// gateway is dialed at one of them, and may dial from another.
pub(super) fn addresses(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let states = snapshot.gateways.iter().flat_map(|taken| taken.content.values().flatten());
    let gateways = states.filter(|gateway| gateway.service.kind == Kind::MeshGateway);
    gateways.flat_map(known_of).collect()
}

fn known_of(gateway: &CheckServiceNode) -> impl Iterator<Item = IpAddr> {
    let CheckServiceNode { node, service, .. } = gateway;
    let tagged = service.tagged_addresses.values().map(|tagged| &tagged.address);
    let own = [&service.address, &node.address].into_iter();
    let texts = own.chain(tagged).chain(node.tagged_addresses.values());
    // Of all addresses of a host is nobody's in particular.
    let ips = texts.filter_map(|text| text.parse::<IpAddr>().ok());
    ips.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified())
}
