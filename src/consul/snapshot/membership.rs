//! Which instances serve a name in the mesh: what `/v1/health/connect/<service>` answers, for all
//! services at once.
//!
//! Consul's `state/catalog.go` (`connectNameFromServiceNode`, and the links of terminating
//! gateways): sidecars of the service, instances that speak mTLS themselves, and instances of the
//! terminating gateways that a configuration entry links to it. Mixtures are legal. Consul
//! compares names of services without regard to case.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::consul::model::{Check, Kind, Node, Service, TerminatingGateway};
use crate::consul::names::{DEFAULT_NAMESPACE, Realm};
use crate::limits::CONSUL_INSTANCES_MAX;

use super::note::{Notes, Quoted};

/// A service of the own datacenter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServiceKey {
    pub(super) namespace: String,
    /// Lower-cased.
    pub(super) name: String,
}

impl ServiceKey {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        let namespace = if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace };
        Self { namespace: namespace.to_ascii_lowercase(), name: name.to_ascii_lowercase() }
    }
}

/// An instance that connections for a service may be forwarded to: what the filters of subsets
/// look at, too.
#[derive(Clone, Debug)]
pub(super) struct Instance<'a> {
    pub(super) node: &'a Node,
    pub(super) service: &'a Service,
    /// Its own and its node's.
    pub(super) checks: Vec<&'a Check>,
}

pub(super) type Members<'a> = BTreeMap<ServiceKey, Vec<Instance<'a>>>;

/// The instances of every service that has one.
pub(super) fn members<'a>(
    catalog: &[&'a Node],
    terminating_gateways: &[TerminatingGateway],
    own: &Realm,
    notes: &mut Notes,
) -> Members<'a> {
    let links = Links::new(catalog, terminating_gateways);
    let mut members = Members::new();
    let mut count: usize = 0;
    for node in catalog.iter().copied().filter(|node| node.peer_name.is_empty()) {
        let checks = Checks::of(node);
        for service in &node.services {
            if !is_local(service, own, notes) {
                continue;
            }
            let keys = links.served_by(service, notes);
            for key in &*keys {
                if count >= CONSUL_INSTANCES_MAX {
                    let reason = format!("left out: only {CONSUL_INSTANCES_MAX} are routed to");
                    notes.add("further instances", reason);
                    return members;
                }
                count = count.saturating_add(1);
                let instance = Instance { node, service, checks: checks.of_service(service) };
                members.entry(key.clone()).or_default().push(instance);
            }
        }
    }
    members
}

/// Whether it is of this datacenter and of the partition that is followed.
fn is_local(service: &Service, own: &Realm, notes: &mut Notes) -> bool {
    // An agent that knows no partitions names none.
    if !service.partition.is_empty() && Realm::new(own.datacenter(), &service.partition) != *own {
        let subject = format!("service {}", Quoted(&service.name));
        let partition = Quoted(&service.partition);
        notes.add(subject, format!("left out: partition {partition} is not served"));
        return false;
    }
    service.peer_name.is_empty()
}

/// What each terminating gateway leads to, by the service that its instances are.
struct Links(HashMap<ServiceKey, Vec<ServiceKey>>);

impl Links {
    fn new(catalog: &[&Node], gateways: &[TerminatingGateway]) -> Self {
        let registered =
            if gateways.is_empty() { BTreeMap::new() } else { registered_services(catalog) };
        let mut links: HashMap<ServiceKey, Vec<ServiceKey>> = HashMap::new();
        for gateway in gateways {
            let key = ServiceKey::new(&gateway.namespace, &gateway.name);
            let linked = links.entry(key).or_default();
            for service in &gateway.services {
                let key = ServiceKey::new(&service.namespace, &service.name);
                if service.name == "*" {
                    let all = registered.iter().filter(|(other, is_typical)| {
                        **is_typical && other.namespace == key.namespace
                    });
                    linked.extend(all.map(|(other, _)| other.clone()));
                } else if registered.contains_key(&key) {
                    linked.push(key);
                }
            }
        }
        for linked in links.values_mut() {
            linked.sort_unstable();
            linked.dedup();
        }
        Self(links)
    }

    /// The services that an instance serves in the mesh; usually none or one.
    fn served_by(&self, service: &Service, notes: &mut Notes) -> Cow<'_, [ServiceKey]> {
        let one = |name: &str| Cow::Owned(vec![ServiceKey::new(&service.namespace, name)]);
        match service.kind {
            Kind::ConnectProxy if service.proxy.destination_service_name.is_empty() => {
                let subject = format!("sidecar {}", Quoted(&service.id));
                notes.add(subject, "left out: it does not say which service it is for");
                Cow::Borrowed(&[])
            }
            Kind::ConnectProxy => one(&service.proxy.destination_service_name),
            _ if service.connect.native => one(&service.name),
            Kind::TerminatingGateway => {
                let linked = self.0.get(&ServiceKey::new(&service.namespace, &service.name));
                Cow::Borrowed(linked.map_or(&[], Vec::as_slice))
            }
            Kind::Typical | Kind::MeshGateway | Kind::IngressGateway | Kind::Other => {
                Cow::Borrowed(&[])
            }
        }
    }
}

/// The services of the catalog, and whether a wildcard stands for them: for every service with an
/// instance without a kind, also for those with sidecars and natives, but not for Consul itself.
///
/// A gateway that is linked to a service that nobody registered knows nothing of it, and would
/// refuse what is forwarded to it.
fn registered_services(catalog: &[&Node]) -> BTreeMap<ServiceKey, bool> {
    let mut registered = BTreeMap::new();
    let own = catalog.iter().filter(|node| node.peer_name.is_empty());
    let services = own.flat_map(|node| &node.services);
    for service in services.filter(|service| service.peer_name.is_empty()) {
        let key = ServiceKey::new(&service.namespace, &service.name);
        let is_typical = service.kind == Kind::Typical && service.name != "consul";
        *registered.entry(key).or_default() |= is_typical;
    }
    registered
}

/// The checks of a node, by what they are for.
pub(super) struct Checks<'a> {
    node: Vec<&'a Check>,
    services: HashMap<&'a str, Vec<&'a Check>>,
}

impl<'a> Checks<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        let mut checks = Self { node: Vec::new(), services: HashMap::new() };
        for check in &node.checks {
            if check.service_id.is_empty() {
                checks.node.push(check);
            } else {
                checks.services.entry(&check.service_id).or_default().push(check);
            }
        }
        checks
    }

    pub(super) fn of_service(&self, service: &Service) -> Vec<&'a Check> {
        let own = self.services.get(service.id.as_str()).into_iter().flatten();
        self.node.iter().chain(own).copied().collect()
    }
}
