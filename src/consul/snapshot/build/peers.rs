//! Clusters that are peers: what is exported to them, what is imported from them, and how servers
//! reach each other through gateways.
//!
//! Sources: `agent/proxycfg/mesh_gateway.go` and `agent/xds/clusters.go` of Consul 1.14 to 1.17.

use std::collections::BTreeMap;

use crate::consul::model::{CheckServiceNode, ExportedService, Node, Peering, Service};
use crate::consul::names::{self, Realm};
use crate::consul::snapshot::membership::{Checks, Instance, Members, ServiceKey};
use crate::consul::snapshot::note::Quoted;
use crate::consul::snapshot::place::{
    AddressError, Place, Places, Reach, address, health_and_weight,
};
use crate::consul::snapshot::resolvers::{Resolution, Resolvers};
use crate::consul::snapshot::table::Origin;
use crate::refusal::Refusal;
use crate::route::{Name, Pattern};

use super::{Builder, content};

/// Peerings in these states have no connections.
const ENDED: [&str; 2] = ["DELETING", "TERMINATED"];

/// What is exported.
impl Builder<'_> {
    pub(super) fn exports(&mut self, members: &Members<'_>, resolvers: &Resolvers) {
        for export in content(&self.snapshot.exports) {
            if Realm::new(self.own.datacenter(), &export.partition) != self.own {
                continue;
            }
            let key = ServiceKey::new(&export.namespace, &export.service);
            let instances = members.get(&key).map_or(&[][..], Vec::as_slice);
            let resolution = resolvers.get(&key);
            for peer in &export.consumers.peers {
                let subject = || exported(export);
                let (partition, domain) = (self.own.partition(), self.trust_domain);
                let name = names::exported(&key.name, &key.namespace, partition, peer, domain);
                if let Some(name) = self.named(subject, name) {
                    self.export(export, name, instances, resolution);
                }
            }
        }
    }

    fn export(
        &mut self,
        export: &ExportedService,
        name: Name,
        instances: &[Instance<'_>],
        resolution: Option<&Resolution>,
    ) {
        let speaks_http = |instance: &Instance<'_>| instance.service.proxy.config.is_http();
        let refused = if instances.iter().any(speaks_http) {
            let why = "it speaks HTTP, and HTTP over cluster peering ends TLS at the gateway";
            Some((Refusal::HttpOverPeering, why))
        } else if resolution.is_some_and(|resolution| resolution.is_redirected) {
            Some((Refusal::NoEndpoints, "its resolver redirects, which is not followed for peers"))
        } else if instances.is_empty() {
            Some((Refusal::NoEndpoints, "it has no instance in the mesh"))
        } else {
            None
        };
        if let Some((refusal, why)) = refused {
            self.notes.add(exported(export), format_args!("refused: {why}"));
            return self.refuse(Pattern::Exact(name), refusal);
        }
        let default = resolution.and_then(Resolution::default);
        self.instances(Origin::Peer, name, instances, resolution, default);
    }
}

/// What is imported.
impl Builder<'_> {
    /// The addresses of imported instances are those of the peer's gateways, for others to dial.
    pub(super) fn imports(&mut self) {
        let mut groups: BTreeMap<Name, Places> = BTreeMap::new();
        for node in content(&self.snapshot.catalog) {
            if node.peer_name.is_empty() {
                continue;
            }
            let checks = Checks::of(node);
            for service in &node.services {
                let Some(name) = self.imported_name(node, service) else { continue };
                let place = address(node, service, Reach::Wan);
                let instance = Instance { node, service, checks: checks.of_service(service) };
                let place = place.map(|address| remote(address, &instance));
                if let Some(place) = self.kept(node, service, place) {
                    groups.entry(name).or_default().add(place);
                }
            }
        }
        for (name, places) in groups {
            self.cluster(name, self.group(Origin::Peer, places.finish()));
        }
    }

    /// A peer says which name leads to it. It must not be one of ours.
    fn imported_name(&mut self, node: &Node, service: &Service) -> Option<Name> {
        let said = service.connect.peer_meta.server_names.first()?;
        let subject = || {
            let (id, peer) = (Quoted(&service.id), Quoted(&node.peer_name));
            format!("instance {id} of peer {peer}")
        };
        let name = self.named(subject, Name::parse(said))?;
        if !is_of_another(&name, ".external.", self.trust_domain) {
            self.notes
                .add(subject(), "left out: its server name is not one of an exported service");
            return None;
        }
        Some(name)
    }

    fn kept(
        &mut self,
        node: &Node,
        service: &Service,
        place: Result<Place, AddressError>,
    ) -> Option<Place> {
        place
            .inspect_err(|why| {
                let (id, peer) = (Quoted(&service.id), Quoted(&node.peer_name));
                let subject = format_args!("instance {id} of peer {peer}");
                self.notes.add(subject, format_args!("left out: {why}"));
            })
            .ok()
    }
}

/// Servers, where the mesh entry wants them to use gateways.
impl Builder<'_> {
    pub(super) fn peer_servers(&mut self) {
        let mesh = self.snapshot.mesh.as_ref();
        if !mesh.is_some_and(|mesh| mesh.content.peering.peer_through_mesh_gateways) {
            return;
        }
        let mut own = Places::default();
        for server in content(&self.snapshot.servers) {
            if let Some(place) = own_server(server) {
                own.add(place);
            }
        }
        let name = names::peering_server(self.own.datacenter(), self.trust_domain);
        if let Some(name) = self.named(|| "the servers, for peers".to_owned(), name) {
            self.cluster(name, self.group(Origin::Peer, own.finish()));
        }
        for peering in content(&self.snapshot.peerings) {
            self.servers_of(peering);
        }
    }

    fn servers_of(&mut self, peering: &Peering) {
        let is_ended = ENDED.contains(&peering.state.as_str());
        if is_ended || peering.peer_server_name.is_empty() {
            return;
        }
        let subject = || format!("the servers of peer {}", Quoted(&peering.name));
        let name = self.named(subject, Name::parse(&peering.peer_server_name));
        let Some(name) = name else { return };
        if !is_of_another(&name, ".peering.", self.trust_domain) {
            self.notes.add(subject(), "left out: their server name is not one of such");
            return;
        }
        let manual = &peering.manual_server_addresses;
        let said = if manual.is_empty() { &peering.peer_server_addresses } else { manual };
        let mut places = Places::default();
        for text in said {
            match server_address(text) {
                Some(Ok(address)) => places.add(Place { address, weight: 1, healthy: true }),
                _ => self.notes.add(subject(), format_args!("{} is no address", Quoted(text))),
            }
        }
        self.cluster(name, self.group(Origin::Peer, places.finish()));
    }
}

fn exported(export: &ExportedService) -> String {
    format!("exported service {}", Quoted(&export.service))
}

/// Whether a name that a peer gives is of the kind that it may give, and not of ours.
fn is_of_another(name: &Name, kind: &str, trust_domain: &str) -> bool {
    let (name, own) = (name.as_str(), trust_domain.to_ascii_lowercase());
    name.contains(kind) && !name.ends_with(&own)
}

fn remote(address: crate::route::Address, instance: &Instance<'_>) -> Place {
    let statuses: Vec<_> = instance.checks.iter().map(|check| check.status).collect();
    let (healthy, weight) = health_and_weight(instance.service, &statuses, false);
    Place { address, weight, healthy }
}

/// Where a server takes connections of peers: at its node, on the port that its meta says. Read
/// replicas, and servers that say none, take none.
fn own_server(server: &CheckServiceNode) -> Option<Place> {
    let meta = &server.service.meta;
    if meta.get("read_replica").is_some_and(|value| value == "true") {
        return None;
    }
    let port = meta.get("grpc_tls_port")?.parse().ok()?;
    let at = Service { port, ..Service::default() };
    let address = address(&server.node, &at, Reach::Lan).ok()?;
    Some(Place { address, weight: 1, healthy: true })
}

/// `ADDRESS:PORT`, an IPv6 address in brackets.
fn server_address(text: &str) -> Option<Result<crate::route::Address, AddressError>> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let at = Service { address: host.to_owned(), port: port.parse().ok()?, ..Service::default() };
    Some(address(&Node::default(), &at, Reach::Lan))
}
