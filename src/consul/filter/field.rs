//! The fields that filters may look at, and how they are read.

use std::collections::BTreeMap;

use crate::consul::model::{Check, ExposedPath, Node, Service, ServiceAddress, Upstream, Weights};

use super::error::{FilterError, shown};
use super::expression::{Selector, Text};

/// An instance, its node and the checks of both: Consul's `CheckServiceNode`.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The node's datacenter, as Consul writes it.
    pub datacenter: &'a str,
    /// Its node.
    pub node: &'a Node,
    /// The instance: of a service with a sidecar, that.
    pub service: &'a Service,
    /// All checks that count for it.
    pub checks: &'a [&'a Check],
}

/// Where a field is.
#[derive(Clone, Debug)]
pub(super) enum Field {
    Datacenter,
    Node(Leaf<Node>),
    Service(Leaf<Service>),
    /// Of the tagged address of this name, if there is one.
    Address(Text, Leaf<ServiceAddress>),
    /// Of one of the upstreams.
    Upstream(Leaf<Upstream>),
    /// Of one of the exposed paths.
    Path(Leaf<ExposedPath>),
    /// The checks as a whole.
    Checks,
    /// Of one of the checks.
    Check(Leaf<Check>),
}

/// How a field is read out of what has it.
#[derive(Clone, Debug)]
pub(super) enum Leaf<T> {
    Text(fn(&T) -> &str),
    Number(fn(&T) -> i64),
    Flag(fn(&T) -> bool),
    Texts(fn(&T) -> &[String]),
    Map(fn(&T) -> &BTreeMap<String, String>),
    /// What a map has for a key.
    Entry(fn(&T) -> &BTreeMap<String, String>, Text),
    /// A map of addresses.
    Addresses(fn(&T) -> &BTreeMap<String, ServiceAddress>),
    /// A list of what has fields, by its length.
    List(fn(&T) -> usize),
}

/// What a field is: that says what it can be compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Flag,
    Texts,
    Map,
    List,
}

impl Type {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::Map => "a map",
            Self::List => "a list",
        }
    }
}

impl Field {
    /// # Errors
    /// There is no such field, or it is one that has fields and is nothing by itself.
    pub(super) fn of(selector: &Selector) -> Result<Self, FilterError> {
        let names: Vec<&[u8]> = selector.0.iter().map(Vec::as_slice).collect();
        let field = match names.as_slice() {
            [b"Checks", b"Output"] => return Err(FilterError::CheckOutput),
            [b"Node", b"Datacenter"] => Some(Self::Datacenter),
            [b"Node", rest @ ..] => node(rest).map(Self::Node),
            [b"Service", b"TaggedAddresses", key, name] => {
                address(name).map(|leaf| Self::Address(key.to_vec(), leaf))
            }
            [b"Service", b"Proxy", b"Upstreams", first, rest @ ..] => {
                upstream(first, rest).map(Self::Upstream)
            }
            [b"Service", b"Proxy", b"Expose", b"Paths", name] => path(name).map(Self::Path),
            [b"Service", b"Proxy", rest @ ..] => proxy(rest).map(Self::Service),
            [b"Service", rest @ ..] => service(rest).map(Self::Service),
            [b"Checks"] => Some(Self::Checks),
            [b"Checks", name] => check(name).map(Self::Check),
            _ => None,
        };
        field.ok_or_else(|| FilterError::Selector { selector: shown(&selector.joined()) })
    }

    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Datacenter => Type::Text,
            Self::Node(leaf) => leaf.kind(),
            Self::Service(leaf) => leaf.kind(),
            Self::Address(_, leaf) => leaf.kind(),
            Self::Upstream(leaf) => leaf.kind(),
            Self::Path(leaf) => leaf.kind(),
            Self::Checks => Type::List,
            Self::Check(leaf) => leaf.kind(),
        }
    }
}

impl<T> Leaf<T> {
    fn kind(&self) -> Type {
        match self {
            Self::Text(_) | Self::Entry(..) => Type::Text,
            Self::Number(_) => Type::Number,
            Self::Flag(_) => Type::Flag,
            Self::Texts(_) => Type::Texts,
            Self::Map(_) | Self::Addresses(_) => Type::Map,
            Self::List(_) => Type::List,
        }
    }
}

fn node(names: &[&[u8]]) -> Option<Leaf<Node>> {
    Some(match names {
        [b"ID"] => Leaf::Text(|node| &node.id),
        [b"Node"] => Leaf::Text(|node| &node.name),
        [b"Address"] => Leaf::Text(|node| &node.address),
        [b"TaggedAddresses"] => Leaf::Map(|node| &node.tagged_addresses),
        [b"TaggedAddresses", key] => Leaf::Entry(|node| &node.tagged_addresses, key.to_vec()),
        [b"Meta"] => Leaf::Map(|node| &node.meta),
        [b"Meta", key] => Leaf::Entry(|node| &node.meta, key.to_vec()),
        _ => return None,
    })
}

fn service(names: &[&[u8]]) -> Option<Leaf<Service>> {
    Some(match names {
        [b"Kind"] => Leaf::Text(|service| service.kind.as_str()),
        [b"ID"] => Leaf::Text(|service| &service.id),
        [b"Service"] => Leaf::Text(|service| &service.name),
        [b"Tags"] => Leaf::Texts(|service| &service.tags),
        [b"Address"] => Leaf::Text(|service| &service.address),
        [b"TaggedAddresses"] => Leaf::Addresses(|service| &service.tagged_addresses),
        [b"Meta"] => Leaf::Map(|service| &service.meta),
        [b"Meta", key] => Leaf::Entry(|service| &service.meta, key.to_vec()),
        [b"Port"] => Leaf::Number(|service| service.port),
        [b"Weights", b"Passing"] => Leaf::Number(|service| weights_of(service).passing),
        [b"Weights", b"Warning"] => Leaf::Number(|service| weights_of(service).warning),
        [b"EnableTagOverride"] => Leaf::Flag(|service| service.enable_tag_override),
        [b"Connect", b"Native"] => Leaf::Flag(|service| service.connect.native),
        _ => return None,
    })
}

/// Consul fills in its defaults where a registration says none.
fn weights_of(service: &Service) -> Weights {
    service.weights.unwrap_or_default()
}

fn proxy(names: &[&[u8]]) -> Option<Leaf<Service>> {
    Some(match names {
        [b"DestinationServiceName"] => {
            Leaf::Text(|service| &service.proxy.destination_service_name)
        }
        [b"DestinationServiceID"] => Leaf::Text(|service| &service.proxy.destination_service_id),
        [b"LocalServiceAddress"] => Leaf::Text(|service| &service.proxy.local_service_address),
        [b"LocalServicePort"] => Leaf::Number(|service| service.proxy.local_service_port),
        [b"MeshGateway", b"Mode"] => Leaf::Text(|service| &service.proxy.mesh_gateway.mode),
        [b"Upstreams"] => Leaf::List(|service| service.proxy.upstreams.len()),
        [b"Expose", b"Checks"] => Leaf::Flag(|service| service.proxy.expose.checks),
        [b"Expose", b"Paths"] => Leaf::List(|service| service.proxy.expose.paths.len()),
        _ => return None,
    })
}

fn address(name: &[u8]) -> Option<Leaf<ServiceAddress>> {
    Some(match name {
        b"Address" => Leaf::Text(|address| &address.address),
        b"Port" => Leaf::Number(|address| address.port),
        _ => return None,
    })
}

fn upstream(first: &[u8], rest: &[&[u8]]) -> Option<Leaf<Upstream>> {
    Some(match (first, rest) {
        (b"DestinationType", []) => Leaf::Text(|upstream| &upstream.destination_type),
        (b"DestinationNamespace", []) => Leaf::Text(|upstream| &upstream.destination_namespace),
        (b"DestinationName", []) => Leaf::Text(|upstream| &upstream.destination_name),
        (b"Datacenter", []) => Leaf::Text(|upstream| &upstream.datacenter),
        (b"LocalBindAddress", []) => Leaf::Text(|upstream| &upstream.local_bind_address),
        (b"LocalBindPort", []) => Leaf::Number(|upstream| upstream.local_bind_port),
        (b"MeshGateway", [b"Mode"]) => Leaf::Text(|upstream| &upstream.mesh_gateway.mode),
        _ => return None,
    })
}

fn path(name: &[u8]) -> Option<Leaf<ExposedPath>> {
    Some(match name {
        b"ListenerPort" => Leaf::Number(|path| path.listener_port),
        b"Path" => Leaf::Text(|path| &path.path),
        b"LocalPathPort" => Leaf::Number(|path| path.local_path_port),
        b"Protocol" => Leaf::Text(|path| &path.protocol),
        b"ParsedFromCheck" => Leaf::Flag(|path| path.parsed_from_check),
        _ => return None,
    })
}

fn check(name: &[u8]) -> Option<Leaf<Check>> {
    Some(match name {
        b"Node" => Leaf::Text(|check| &check.node),
        b"CheckID" => Leaf::Text(|check| &check.id),
        b"Name" => Leaf::Text(|check| &check.name),
        b"Status" => Leaf::Text(|check| check.status.as_str()),
        b"Notes" => Leaf::Text(|check| &check.notes),
        b"ServiceID" => Leaf::Text(|check| &check.service_id),
        b"ServiceName" => Leaf::Text(|check| &check.service_name),
        b"ServiceTags" => Leaf::Texts(|check| &check.service_tags),
        b"Type" => Leaf::Text(|check| &check.kind),
        _ => return None,
    })
}
