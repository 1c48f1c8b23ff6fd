//! Our table: as a gateway answers for `/routes`, or as the agent's answers make it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::facts::{Cluster, Endpoint, Facts, Leads};
use crate::doctor::known::Known;
use crate::route::{self, Routes, Target};

/// What a table says.
pub(super) fn table(known: &Known) -> Facts {
    match known {
        Known::Gateway { answer, .. } => of_gateway(answer),
        Known::Agent { routes, .. } => of_routes(routes),
    }
}

/// A route of `/routes`. Gateways of earlier versions say less.
#[derive(Deserialize)]
struct Told {
    route: String,
    refused: Option<String>,
    cluster: Option<String>,
    connect_timeout_us: Option<u64>,
    policy: Option<String>,
    panic_threshold_percent: Option<f64>,
    #[serde(default)]
    endpoints: Vec<ToldEndpoint>,
}

#[derive(Deserialize)]
struct ToldEndpoint {
    address: String,
    weight: u32,
    healthy: bool,
}

fn of_gateway(answer: &Value) -> Facts {
    let routes = answer.get("routes").and_then(Value::as_array).into_iter().flatten();
    let told = routes.filter_map(|route| Told::deserialize(route).ok());
    Facts { routes: told.map(leads).collect(), ..Facts::default() }
}

fn leads(told: Told) -> (String, Leads) {
    if let Some(why) = told.refused {
        return (told.route, Leads::Refused(why));
    }
    let endpoint = |it: ToldEndpoint| {
        (it.address, Endpoint { weight: it.weight, is_healthy: it.healthy, priority: 0 })
    };
    let cluster = Cluster {
        name: told.cluster.unwrap_or_default(),
        spelling: told.route.clone(),
        connect_timeout: told.connect_timeout_us.map(Duration::from_micros),
        policy: told.policy,
        panic_threshold_percent: told.panic_threshold_percent,
        endpoints: told.endpoints.into_iter().map(endpoint).collect(),
        ..Cluster::default()
    };
    (told.route, Leads::To(cluster))
}

fn of_routes(routes: &Routes) -> Facts {
    let mut facts = Facts::default();
    for route in &routes.routes {
        let pattern = route.pattern.to_string();
        let leads = match route.target {
            Target::Refuse(why) => Leads::Refused(why.name().to_owned()),
            Target::Cluster(index) => match routes.clusters.get(index) {
                Some(cluster) => Leads::To(of_cluster(&pattern, cluster)),
                None => continue,
            },
        };
        facts.routes.insert(pattern, leads);
    }
    facts
}

fn of_cluster(spelling: &str, cluster: &route::Cluster) -> Cluster {
    let mut endpoints: BTreeMap<String, Endpoint> = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        let said =
            Endpoint { weight: endpoint.weight.into(), is_healthy: endpoint.healthy, priority: 0 };
        // A host name may lead to an address that is there already: one that works is enough.
        let there = endpoints.entry(endpoint.address.to_string()).or_insert(said);
        there.weight = there.weight.max(said.weight);
        there.is_healthy |= said.is_healthy;
    }
    Cluster {
        name: cluster.key.clone(),
        spelling: spelling.to_owned(),
        connect_timeout: Some(cluster.connect_timeout),
        policy: Some(cluster.policy.name().to_owned()),
        panic_threshold_percent: Some(cluster.panic_threshold_percent.into()),
        endpoints,
        ..Cluster::default()
    }
}
