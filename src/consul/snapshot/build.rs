//! Makes routes out of a snapshot. What is added first has the name, should two want the same.

mod peers;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use crate::consul::model::{CheckServiceNode, Kind, Status};
use crate::consul::names::{self, Realm};
use crate::refusal::Refusal;
use crate::route::model::NameError;
use crate::route::{Name, Pattern, Policy};

use super::note::{Notes, Quoted};
use super::place::{Place, Places, Reach, address, health_and_weight};
use super::table::{ConsulTable, Group, Leads, Origin, TableOptions};
use super::{Snapshot, Taken};

pub(super) fn build(snapshot: &Snapshot, options: &TableOptions) -> ConsulTable {
    let (Some(trust_domain), Some(own)) = (snapshot.trust_domain(), snapshot.datacenter()) else {
        return ConsulTable::default();
    };
    let mut builder = Builder {
        snapshot,
        options,
        trust_domain,
        own: Realm::new(own, &options.partition),
        table: ConsulTable {
            panic_threshold_percent: options.panic_threshold_percent,
            remote: options.remote,
            ..ConsulTable::default()
        },
        notes: Notes::default(),
    };
    builder.services();
    if options.expose_servers {
        builder.servers();
    }
    builder.realms();
    builder.imports();
    builder.peer_servers();
    builder.refusals();
    builder.table.gateways = super::gateways::addresses(snapshot);
    builder.table.notes = builder.notes.finish();
    builder.table
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    options: &'a TableOptions,
    trust_domain: &'a str,
    /// The own datacenter and partition.
    own: Realm,
    table: ConsulTable,
    notes: Notes,
}

/// The servers of the own datacenter.
impl Builder<'_> {
    /// Health and weights of servers do not count: whoever names one wants that one.
    fn servers(&mut self) {
        let mut all = Places::default();
        for server in content(&self.snapshot.servers) {
            let place = match address(&server.node, &server.service, Reach::Lan) {
                Ok(address) => Place { address, weight: 1, healthy: true },
                Err(why) => {
                    let subject = format_args!("server {}", Quoted(&server.node.name));
                    self.notes.add(subject, format_args!("left out: {why}"));
                    continue;
                }
            };
            all.add(place.clone());
            let domain = &self.options.server_domain;
            let subject = || format!("server {}", Quoted(&server.node.name));
            let name = names::server(&server.node.name, self.own.datacenter(), domain);
            if let Some(name) = self.named(subject, name) {
                self.cluster(name, self.group(Origin::Server, vec![place]));
            }
        }
        let subject = || "the servers".to_owned();
        let name = names::servers(self.own.datacenter(), &self.options.server_domain);
        if let Some(name) = self.named(subject, name) {
            self.cluster(name, self.group(Origin::Server, all.finish()));
        }
    }
}

/// The other datacenters, and other partitions.
impl Builder<'_> {
    fn realms(&mut self) {
        for (realm, gateways) in known_realms(self.snapshot) {
            if realm == self.own {
                continue;
            }
            if [realm.datacenter(), realm.partition()].into_iter().all(names::is_datacenter) {
                self.realm(&realm, &gateways);
            } else {
                self.notes.add(told(&realm), "left out: its name is not one that Consul allows");
            }
        }
    }

    /// Everything in a datacenter, by the names of its services and of its servers, leads to its
    /// gateways. Servers are in the default partition.
    fn realm(&mut self, realm: &Realm, gateways: &[&CheckServiceNode]) {
        let places = self.remote_places(realm, gateways);
        let subject = || told(realm);
        let services = names::gateways(realm, self.trust_domain);
        let Some(services) = self.named(subject, services) else { return };
        let mut names = vec![services];
        let is_elsewhere = realm.datacenter() != self.own.datacenter();
        if self.options.expose_servers && realm.is_default() && is_elsewhere {
            let servers = names::servers(realm.datacenter(), &self.options.server_domain);
            names.extend(self.named(subject, servers));
        }
        for name in names {
            if places.is_empty() {
                self.refuse_all(&name, Refusal::NoGateways);
                continue;
            }
            let leads = Leads::To(name.as_str().to_owned());
            self.route(Pattern::Suffix(name.clone()), leads);
            let origin = match realm.is_default() {
                true => Origin::Datacenter(realm.datacenter().to_owned()),
                false => Origin::Partition,
            };
            self.cluster(name, self.group(origin, places.clone()));
        }
    }

    fn remote_places(&mut self, realm: &Realm, gateways: &[&CheckServiceNode]) -> Vec<Place> {
        let mut places = Places::default();
        for CheckServiceNode { node, service, checks } in gateways {
            if service.kind != Kind::MeshGateway {
                continue;
            }
            match address(node, service, Reach::Wan) {
                Ok(address) => {
                    let statuses: Vec<Status> = checks.iter().map(|check| check.status).collect();
                    let (healthy, weight) = health_and_weight(service, &statuses, false);
                    places.add(Place { address, weight, healthy });
                }
                Err(why) => {
                    let subject = format!("gateway {} of {}", Quoted(&service.id), told(realm));
                    self.notes.add(subject, format_args!("left out: {why}"));
                }
            }
        }
        places.finish()
    }
}

/// Names that lead nowhere, each with its own reason. They are the widest patterns there are,
/// so that they take nothing from others.
impl Builder<'_> {
    fn refusals(&mut self) {
        let own = names::gateways(&self.own, self.trust_domain);
        let trust_domain = Name::parse(self.trust_domain);
        let internal = names::internal(self.trust_domain);
        let mut known: BTreeSet<String> =
            known_realms(self.snapshot).keys().map(|it| it.datacenter().to_owned()).collect();
        known.insert(self.own.datacenter().to_owned());
        known.retain(|name| names::is_datacenter(name));
        if let (Ok(own), Ok(trust_domain), Ok(internal)) = (own, trust_domain, internal) {
            self.refuse_all(&own, Refusal::UnknownName);
            for datacenter in &known {
                if let Ok(name) = names::partitions(datacenter, self.trust_domain) {
                    self.refuse(Pattern::Suffix(name), Refusal::NoGateways);
                }
            }
            for name in internal {
                self.refuse(Pattern::Suffix(name), Refusal::UnknownDatacenter);
            }
            self.refuse_all(&trust_domain, Refusal::UnknownName);
        }
        self.servers_refused(&known);
        self.other_trust_domains();
    }

    /// Names of servers are under no trust domain; without this they would be taken for such.
    fn servers_refused(&mut self, datacenters: &BTreeSet<String>) {
        for datacenter in datacenters {
            if let Ok(name) = names::servers(datacenter, &self.options.server_domain) {
                self.refuse_all(&name, Refusal::UnknownName);
            }
        }
    }

    /// Whatever else is under `consul`, where all trust domains are.
    fn other_trust_domains(&mut self) {
        if let Ok(above) = names::above(self.trust_domain) {
            self.refuse(Pattern::Suffix(above), Refusal::OtherTrustDomain);
        }
    }
}

/// How things get into the table.
impl Builder<'_> {
    fn named(
        &mut self,
        subject: impl FnOnce() -> String,
        name: Result<Name, NameError>,
    ) -> Option<Name> {
        name.inspect_err(|why| self.notes.add(subject(), format_args!("left out: {why}"))).ok()
    }

    /// Adds a cluster that is called what its name is, and the route to it.
    fn cluster(&mut self, name: Name, group: Group) {
        let key = name.as_str().to_owned();
        if self.table.clusters.contains_key(&key) {
            let subject = format_args!("a second cluster {}", Quoted(&key));
            self.notes.add(subject, "left out: the name is taken");
            return;
        }
        self.route(Pattern::Exact(name), Leads::To(key.clone()));
        self.table.clusters.insert(key, group);
    }

    /// A cluster that no resolver says anything of.
    fn group(&self, origin: Origin, places: Vec<Place>) -> Group {
        let (connect_timeout, policy) = (self.options.connect_timeout, Policy::default());
        Group { origin, connect_timeout, policy, places }
    }

    fn refuse_all(&mut self, name: &Name, why: Refusal) {
        self.refuse(Pattern::Exact(name.clone()), why);
        self.refuse(Pattern::Suffix(name.clone()), why);
    }

    fn refuse(&mut self, pattern: Pattern, why: Refusal) {
        self.route(pattern, Leads::Refused(why));
    }

    fn route(&mut self, pattern: Pattern, leads: Leads) {
        self.table.routes.entry(pattern).or_insert(leads);
    }
}

/// Every datacenter that Consul names, and every partition that has gateways, with these.
fn known_realms(snapshot: &Snapshot) -> BTreeMap<Realm, Vec<&CheckServiceNode>> {
    let states = snapshot.gateways.as_ref().map(|taken| &*taken.content);
    let states = states.into_iter().flatten();
    let named = content(&snapshot.datacenters).iter().chain(states.clone().map(|(name, _)| name));
    let mut known: BTreeMap<Realm, Vec<&CheckServiceNode>> =
        named.map(|name| (Realm::new(name, ""), Vec::new())).collect();
    for (datacenter, gateways) in states {
        for gateway in gateways {
            let realm = Realm::new(datacenter, &gateway.service.partition);
            known.entry(realm).or_default().push(gateway);
        }
    }
    known
}

/// For people.
fn told(realm: &Realm) -> String {
    let datacenter = Quoted(realm.datacenter());
    if realm.is_default() {
        return format!("datacenter {datacenter}");
    }
    format!("partition {} of datacenter {datacenter}", Quoted(realm.partition()))
}

fn content<T>(slot: &Option<Taken<Vec<T>>>) -> &[T] {
    slot.as_ref().map_or(&[], |taken| taken.content.as_slice())
}
