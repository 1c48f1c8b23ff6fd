//! Compares what Envoy routes by with what is routed here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::facts::{Cluster, Discovery, Endpoint, Facts, Leads};
use super::note::Note;
use crate::doctor::known::Resolved;
use crate::refusal::Refusal;
use crate::route::Pattern;

/// In what both differ, and the names that it is so for.
pub(super) type Findings = BTreeMap<Finding, BTreeSet<String>>;

/// In what both differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Whether that is meant.
    pub(super) note: Option<Note>,
    pub(super) aspect: Aspect,
    pub(super) envoy: String,
    pub(super) here: String,
}

/// What of a name is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    Chain,
    Route,
    Spelling,
    Cluster,
    Discovery,
    Timeout,
    Policy,
    PanicThreshold,
    ConnectionLimit,
    /// By address and port.
    Endpoint(String),
}

impl Aspect {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Chain => "chain".to_owned(),
            Self::Route => "route".to_owned(),
            Self::Spelling => "spelling".to_owned(),
            Self::Cluster => "cluster".to_owned(),
            Self::Discovery => "discovery".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::Policy => "policy".to_owned(),
            Self::PanicThreshold => "panic threshold".to_owned(),
            Self::ConnectionLimit => "connection limit".to_owned(),
            Self::Endpoint(address) => format!("endpoint {address}"),
        }
    }

    /// What to do about a difference in it.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Chain => {
                "such connections are not served here: leave an Envoy in this place for them"
            }
            Self::Route | Self::Cluster | Self::Spelling => {
                "`sluice routes NAME` says which rules there are here; of a sidecar whose own \
                 service is registered nowhere (`consul catalog services`) Consul tells Envoy \
                 nothing"
            }
            Self::Discovery => "Consul configures no mesh gateway so: who configures this Envoy?",
            Self::Timeout => {
                "it is connect_timeout_ms of Proxy.Config, or ConnectTimeout of the \
                 service-resolver; where neither says any, --connect-timeout"
            }
            Self::Policy => "it is LoadBalancer of the service-resolver",
            Self::PanicThreshold | Self::ConnectionLimit => "",
            Self::Endpoint(_) => {
                "`/clusters` of Envoy's admin server and `sluice routes` say what each was told; \
                 one that Envoy has ejected is unhealthy there for a while"
            }
        }
    }
}

/// Compares name by name. `resolved`: the host names that Envoy resolves by itself.
pub(super) fn compare(envoy: &Facts, here: &Facts, resolved: &Resolved) -> Findings {
    let mut comparison = Comparison { resolved, name: "", findings: Findings::new() };
    for strange in &envoy.strange {
        let what = strange.what.clone();
        let finding =
            Finding { note: None, aspect: Aspect::Chain, envoy: what, here: NOTHING.to_owned() };
        comparison.findings.entry(finding).or_default().extend(strange.names.iter().cloned());
    }
    for name in envoy.routes.keys().chain(here.routes.keys()).collect::<BTreeSet<_>>() {
        comparison.name = name;
        match (envoy.routes.get(name), here.routes.get(name)) {
            (Some(Leads::To(envoy)), Some(Leads::To(here))) => comparison.clusters(envoy, here),
            (Some(Leads::To(envoy)), here) => comparison.only_envoy(envoy, here),
            (_, Some(Leads::To(here))) => {
                comparison.differ(Aspect::Route, NOTHING, &led(here));
            }
            _ => {}
        }
    }
    comparison.findings
}

const NOTHING: &str = "nothing";

struct Comparison<'a> {
    resolved: &'a Resolved,
    /// The name that is looked at.
    name: &'a str,
    findings: Findings,
}

impl Comparison<'_> {
    fn only_envoy(&mut self, envoy: &Cluster, here: Option<&Leads>) {
        let why = match here {
            Some(Leads::Refused(why)) => Some(why.as_str()),
            _ => None,
        };
        let told = why.map_or_else(|| NOTHING.to_owned(), |why| format!("refused ({why})"));
        let note = if Pattern::parse(self.name).is_err() {
            Some(Note::NoName)
        } else if envoy.is_of_bootstrap {
            Some(Note::Bootstrap)
        } else if why == Some(Refusal::NoEndpoints.name()) {
            Some(Note::BadFilter)
        } else {
            None
        };
        self.find(note, Aspect::Route, &led(envoy), &told);
    }

    fn clusters(&mut self, envoy: &Cluster, here: &Cluster) {
        if envoy.spelling != here.spelling {
            let (aspect, note) = (Aspect::Spelling, Some(Note::UpperCase));
            self.find(note, aspect, &envoy.spelling, &here.spelling);
        }
        if !envoy.name.eq_ignore_ascii_case(&here.name) {
            self.differ(Aspect::Cluster, &envoy.name, &here.name);
        }
        if let Discovery::Other(how) = &envoy.discovery {
            self.differ(Aspect::Discovery, how, "addresses and host names");
        }
        if let (Some(envoy), Some(here)) = (envoy.connect_timeout, here.connect_timeout)
            && envoy != here
        {
            self.differ(Aspect::Timeout, &format!("{envoy:?}"), &format!("{here:?}"));
        }
        if let (Some(envoy), Some(here)) = (&envoy.policy, &here.policy)
            && envoy != here
        {
            let is_meant = envoy == "round_robin" && here == "least_connections";
            self.find(is_meant.then_some(Note::Policy), Aspect::Policy, envoy, here);
        }
        if let (Some(envoy), Some(here)) =
            (envoy.panic_threshold_percent, here.panic_threshold_percent)
            && envoy.total_cmp(&here).is_ne()
        {
            let (envoy, here) = (format!("{envoy} %"), format!("{here} %"));
            self.find(Some(Note::PanicThreshold), Aspect::PanicThreshold, &envoy, &here);
        }
        if let (Some(envoy), None) = (envoy.connections_max, here.connections_max) {
            let (aspect, envoy) = (Aspect::ConnectionLimit, format!("{envoy} connections"));
            self.find(Some(Note::ConnectionLimit), aspect, &envoy, "none");
        }
        self.endpoints(envoy, here);
    }

    fn endpoints(&mut self, envoy: &Cluster, here: &Cluster) {
        let mut met: BTreeSet<&String> = BTreeSet::new();
        for (address, said) in &envoy.endpoints {
            let ours = here.endpoints.get_key_value(address);
            met.extend(ours.map(|(address, _)| address));
            let ours = ours.map(|(_, ours)| ours);
            if ours == Some(said) {
                continue;
            }
            let is_any = address.parse().is_ok_and(|it: SocketAddr| it.port() == 0);
            let note = (is_any && ours.is_none()).then_some(Note::NoPort);
            self.find(note, Aspect::Endpoint(address.clone()), &text(said), &told(ours));
        }
        for (host, said) in &envoy.hosts {
            met.extend(self.host(host, said, here));
        }
        let note = (!envoy.hosts.is_empty()).then_some(Note::Hosts);
        for (address, ours) in here.endpoints.iter().filter(|(address, _)| !met.contains(address)) {
            self.find(note, Aspect::Endpoint(address.clone()), NOTHING, &text(ours));
        }
    }

    /// A host name that Envoy resolves. Returns which of our endpoints are of it: a resolver may
    /// tell each of us others of its addresses, so one in common is enough.
    fn host<'a>(
        &mut self,
        host: &(String, u16),
        said: &Endpoint,
        here: &'a Cluster,
    ) -> Vec<&'a String> {
        let aspect = Aspect::Endpoint(format!("{}:{}", host.0, host.1));
        let addresses = match self.resolved.get(host) {
            Some(Ok(addresses)) => addresses.as_slice(),
            Some(Err(why)) => {
                self.differ(aspect, &text(said), &format!("no address: {why}"));
                return Vec::new();
            }
            None => &[],
        };
        let ours: Vec<_> = addresses
            .iter()
            .filter_map(|address| here.endpoints.get_key_value(&address.to_string()))
            .collect();
        if ours.is_empty() {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let told = format!("none of its addresses ({})", all.join(", "));
            self.differ(aspect, &text(said), &told);
        } else if ours.iter().all(|(_, ours)| ours.is_healthy != said.is_healthy) {
            self.differ(aspect, &text(said), &told(ours.first().map(|(_, ours)| *ours)));
        }
        ours.into_iter().map(|(address, _)| address).collect()
    }

    fn differ(&mut self, aspect: Aspect, envoy: &str, here: &str) {
        self.find(None, aspect, envoy, here);
    }

    fn find(&mut self, note: Option<Note>, aspect: Aspect, envoy: &str, here: &str) {
        let finding = Finding { note, aspect, envoy: envoy.to_owned(), here: here.to_owned() };
        self.findings.entry(finding).or_default().insert(self.name.to_owned());
    }
}

fn led(cluster: &Cluster) -> String {
    match cluster.endpoints.len().saturating_add(cluster.hosts.len()) {
        1 => "leads to 1 endpoint".to_owned(),
        count => format!("leads to {count} endpoints"),
    }
}

fn text(endpoint: &Endpoint) -> String {
    endpoint.to_string()
}

fn told(endpoint: Option<&Endpoint>) -> String {
    endpoint.map_or_else(|| NOTHING.to_owned(), text)
}
