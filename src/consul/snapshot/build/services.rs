//! The services of the own datacenter, and their subsets.

use std::time::Duration;

use crate::consul::names;
use crate::consul::snapshot::current::Current;
use crate::consul::snapshot::membership::{Instance, Members, ServiceKey, members};
use crate::consul::snapshot::note::Quoted;
use crate::consul::snapshot::place::{Place, Places, Reach, address, health_and_weight};
use crate::consul::snapshot::resolvers::{Balancing, Resolution, Resolvers, Subset};
use crate::consul::snapshot::table::{Group, Origin};
use crate::refusal::Refusal;
use crate::route::{Name, Pattern, Policy};

use super::{Builder, content};

impl Builder<'_> {
    /// All services before any subset: a service `v1.web` is not to lose its name to a subset.
    pub(super) fn services(&mut self) {
        let current =
            Current::new(content(&self.snapshot.catalog), content(&self.snapshot.critical));
        let links = content(&self.snapshot.terminating_gateways);
        let members = members(&current.nodes(), links, &self.own, &mut self.notes);
        let none = Resolvers::default();
        let resolvers = self.snapshot.resolvers.as_ref().map_or(&none, |taken| &taken.content);
        resolvers.iter().for_each(|resolution| self.note(resolution));
        for (key, instances) in &members {
            self.service(key, instances, resolvers.get(key));
        }
        self.subsets(&members, resolvers);
        self.exports(&members, resolvers);
    }

    /// What of a resolver is not taken as it is written.
    fn note(&mut self, resolution: &Resolution) {
        let Resolution { name, connect_timeout, default_subset, subsets, balancing, .. } =
            resolution;
        let subject = || format!("service-resolver {}", Quoted(name));
        if connect_timeout.is_none() {
            let reason = "its ConnectTimeout is no duration such as 5s; the default is used";
            self.notes.add(subject(), reason);
        }
        if !default_subset.is_empty() && !subsets.contains_key(default_subset) {
            let subset = Quoted(default_subset);
            let reason = format!("it has no subset {subset}; all instances are used by default");
            self.notes.add(subject(), reason);
        }
        match balancing {
            Balancing::By(_) => {}
            Balancing::Hash(policy) => {
                let reason = format!("{policy} needs HTTP, which a mesh gateway does not see");
                self.notes.add(subject(), format!("{reason}; least connections are used"));
            }
            Balancing::Unknown(policy) => {
                let policy = Quoted(policy);
                let reason =
                    format!("its policy {policy} is not known; least connections are used");
                self.notes.add(subject(), reason);
            }
        }
        for (subset_name, subset) in subsets {
            if let Some(error) = subset.error() {
                let subject = format!("subset {} of service {}", Quoted(subset_name), Quoted(name));
                self.notes.add(subject, format!("refused: its filter selects nothing: {error}"));
            }
        }
    }

    /// The name of a service, which stands for all of its instances or for a subset.
    fn service(
        &mut self,
        key: &ServiceKey,
        instances: &[Instance<'_>],
        resolution: Option<&Resolution>,
    ) {
        let subject = || format!("service {}", Quoted(&key.name));
        let name = names::service(&key.name, &key.namespace, &self.own, self.trust_domain);
        let Some(name) = self.named(subject, name) else { return };
        let default = resolution.and_then(Resolution::default);
        self.instances(Origin::Service, name, instances, resolution, default);
    }

    fn subsets(&mut self, members: &Members<'_>, resolvers: &Resolvers) {
        for (key, instances) in members {
            let Some(resolution) = resolvers.get(key) else { continue };
            for (subset_name, subset) in &resolution.subsets {
                let subject =
                    || format!("subset {} of service {}", Quoted(subset_name), Quoted(&key.name));
                let (namespace, domain) = (&key.namespace, self.trust_domain);
                let name = names::subset(subset_name, &key.name, namespace, &self.own, domain);
                let Some(name) = self.named(subject, name) else { continue };
                self.instances(Origin::Subset, name, instances, Some(resolution), Some(subset));
            }
        }
    }

    /// A cluster of instances. One that nobody can tell the instances of is refused: more of them
    /// than was meant would be worse than none.
    pub(super) fn instances(
        &mut self,
        origin: Origin,
        name: Name,
        instances: &[Instance<'_>],
        resolution: Option<&Resolution>,
        subset: Option<&Subset>,
    ) {
        if subset.is_some_and(|subset| subset.error().is_some()) {
            return self.refuse(Pattern::Exact(name), Refusal::NoEndpoints);
        }
        let said = resolution.and_then(|resolution| resolution.connect_timeout);
        let said = said.filter(|timeout| *timeout > Duration::ZERO);
        let connect_timeout = said.unwrap_or(self.options.connect_timeout);
        let policy =
            resolution.map_or_else(Policy::default, |resolution| resolution.balancing.policy());
        let places = self.local_places(instances, subset);
        self.cluster(name, Group { origin, connect_timeout, policy, places });
    }

    fn local_places(&mut self, instances: &[Instance<'_>], subset: Option<&Subset>) -> Vec<Place> {
        let datacenter = self.snapshot.datacenter().unwrap_or_default();
        let only_passing = subset.is_some_and(|subset| subset.only_passing);
        let mut places = Places::default();
        for instance in instances {
            if subset.is_some_and(|subset| !subset.has(instance, datacenter)) {
                continue;
            }
            let Instance { node, service, checks } = instance;
            match address(node, service, Reach::Lan) {
                Ok(address) => {
                    let statuses: Vec<_> = checks.iter().map(|check| check.status).collect();
                    let (healthy, weight) = health_and_weight(service, &statuses, only_passing);
                    places.add(Place { address, weight, healthy });
                }
                Err(why) => {
                    let (id, node) = (Quoted(&service.id), Quoted(&node.name));
                    let subject = format_args!("instance {id} on node {node}");
                    self.notes.add(subject, format_args!("left out: {why}"));
                }
            }
        }
        places.finish()
    }
}
