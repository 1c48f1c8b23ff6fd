//! service-resolver entries: filters select what Consul's own select, and its resolvers make the
//! routes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluice::consul::filter::{Filter, Subject};
use sluice::consul::model::{Check, Kind, Node, Service};
use sluice::consul::snapshot::{ConsulTable, TableOptions};
use sluice::consul::watch::Part;
use sluice::route::{Pattern, Policy, Target};

use crate::support::datacenter::{Datacenter, Plan};

mod generated;

use generated::Generator;

/// How many filters are made; those written by hand come on top.
const FILTER_COUNT: usize = 900;

#[test]
fn filters_select_what_consuls_select_and_fail_where_they_fail() {
    let datacenter = Plan::new("dc1").start();
    let mut generator = Generator::new(7);
    for number in 0..24 {
        datacenter.put("/v1/catalog/register", &generator.instance(number));
    }
    let catalog = datacenter.get(Part::Catalog.path());
    let nodes: Vec<Node> = serde_json::from_str(&catalog.body).unwrap();
    let instances: Vec<(&Node, &Service, Vec<&Check>)> =
        nodes.iter().flat_map(instances_of).collect();
    assert_eq!(instances.len(), 24);

    let mut filters = generated::by_hand();
    filters.extend((0..FILTER_COUNT).map(|_| generator.filter()));
    let (mut differences, mut outcomes) = (Vec::new(), BTreeMap::new());
    for filter in &filters {
        let expected = consuls(&datacenter, filter);
        let found = ours(&instances, filter);
        *outcomes.entry(kind(&expected)).or_insert(0_usize) += 1;
        if expected.as_ref().ok() != found.as_ref().ok() {
            differences
                .push(format!("{filter:?}\n    Consul: {expected:?}\n    here:   {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), filters.len(), {
        differences.join("\n")
    });
    // Filters that all fail, or all select everything, would show little.
    for outcome in ["error", "none", "some", "all"] {
        assert!(outcomes.get(outcome) > Some(&40), "{outcomes:?}");
    }
}

type Outcome = Result<BTreeSet<String>, String>;

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Err(_) => "error",
        Ok(ids) if ids.is_empty() => "none",
        Ok(ids) if ids.len() == 24 => "all",
        Ok(_) => "some",
    }
}

/// The instances of `web` in the mesh on a node, with the checks that count for them.
fn instances_of(node: &Node) -> impl Iterator<Item = (&Node, &Service, Vec<&Check>)> {
    let is_instance =
        |service: &&Service| service.kind == Kind::ConnectProxy || service.connect.native;
    node.services.iter().filter(is_instance).map(move |service| {
        let counts = |check: &&Check| check.service_id.is_empty() || check.service_id == service.id;
        (node, service, node.checks.iter().filter(counts).collect())
    })
}

fn ours(instances: &[(&Node, &Service, Vec<&Check>)], filter: &str) -> Outcome {
    let filter = Filter::parse(filter).map_err(|error| error.to_string())?;
    let is_meant = |(node, service, checks): &&(&Node, &Service, Vec<&Check>)| {
        filter.matches(&Subject { datacenter: "dc1", node, service, checks })
    };
    Ok(instances.iter().filter(is_meant).map(|(_, service, _)| service.id.clone()).collect())
}

fn consuls(datacenter: &Datacenter, filter: &str) -> Outcome {
    let encoded: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = datacenter.get(&format!("/v1/health/connect/web?filter={encoded}"));
    if answer.status != 200 {
        assert!(answer.body.contains("boolean expression"), "{filter}: {}", answer.body);
        return Err(answer.body);
    }
    let id = |entry: &Value| entry["Service"]["ID"].as_str().unwrap().to_owned();
    Ok(answer.json().as_array().unwrap().iter().map(id).collect())
}

#[test]
fn resolvers_make_the_routes_and_a_bad_filter_takes_one_subset_away() {
    let datacenter = Plan::new("dc1").start();
    for (number, version) in [(1, "1"), (2, "1"), (3, "2"), (4, "2")] {
        let host = format!("127.0.1.{number}");
        datacenter.register(&json!({
            "Name": "web", "ID": format!("web-{number}"), "Port": 8080, "Address": host,
            "Meta": {"version": version}, "Connect": {"SidecarService": {
                "Port": 21000, "Address": host, "Check": {"TTL": "1h", "Status": "passing"},
            }},
        }));
    }
    datacenter.check("service:web-4-sidecar-proxy", "warn");
    // Consul takes a filter that it cannot evaluate.
    datacenter.config_entry(&json!({
        "Kind": "service-resolver", "Name": "web", "DefaultSubset": "v2", "ConnectTimeout": "8s",
        "Subsets": {
            "v1": {"Filter": "Service.Meta.version == 1"},
            "v2": {"Filter": "Service.Meta.version == 2", "OnlyPassing": true},
            "all": {"Filter": ""},
            "bad": {"Filter": "Service.Nothing == 1"},
        },
    }));
    datacenter.wait("the warning", "/v1/health/connect/web", |instances| {
        let instances = instances.as_array()?;
        let has_warning = instances.iter().any(|instance| {
            let checks = instance["Checks"].as_array();
            checks.is_some_and(|checks| checks.iter().any(|check| check["Status"] == "warning"))
        });
        (instances.len() == 4 && has_warning).then_some(())
    });
    let table = table(&datacenter);
    let v2 = ["127.0.1.3:21000", "127.0.1.4:21000 down"];
    assert_eq!(endpoints(&table, "web"), Some(v2.map(str::to_owned).into()));
    assert_eq!(endpoints(&table, "v2.web"), Some(v2.map(str::to_owned).into()));
    let v1 = ["127.0.1.1:21000", "127.0.1.2:21000"].map(str::to_owned);
    assert_eq!(endpoints(&table, "v1.web"), Some(v1.into()));
    assert_eq!(endpoints(&table, "all.web").map(|all| all.len()), Some(4));
    assert_eq!(endpoints(&table, "bad.web"), None);
    let notes: Vec<String> = table.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("subset \"bad\" of service \"web\""), "{notes:?}");
}

fn table(datacenter: &Datacenter) -> ConsulTable {
    datacenter.snapshot().table(&TableOptions::default())
}

/// The endpoints of a name in dc1; `None` if it is refused, or unknown.
fn endpoints(table: &ConsulTable, name: &str) -> Option<Vec<String>> {
    let routes = table.resolve(|_, _| Vec::new());
    let route = routes.routes.iter().find(|route| match &route.pattern {
        Pattern::Exact(exact) => exact.as_str().starts_with(&format!("{name}.default.dc1.")),
        Pattern::Suffix(_) => false,
    });
    let Target::Cluster(index) = route?.target else { return None };
    let cluster = &routes.clusters[index];
    assert_eq!((cluster.connect_timeout.as_secs(), cluster.policy), (8, Policy::default()));
    let text = |endpoint: &sluice::route::Endpoint| {
        let down = if endpoint.healthy { "" } else { " down" };
        format!("{}{down}", endpoint.address)
    };
    let mut endpoints: Vec<String> = cluster.endpoints.iter().map(text).collect();
    endpoints.sort_unstable();
    Some(endpoints)
}
