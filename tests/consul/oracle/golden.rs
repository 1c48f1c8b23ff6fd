//! What Consul's own tests expect an Envoy gateway to be told: its golden files, of version 1.8.7.
//!
//! `scripts/consul-goldens` takes them out of Debian's source package; they are no part of this
//! project. What they are made of is Go there (`agent/proxycfg/testing.go`), and stands here as
//! the catalog that it would be. Where the files cannot be had, the test is left out and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sluice::consul::model::duration;
use sluice::consul::register::Definition;
use sluice::consul::snapshot::{Snapshot, TableOptions};
use sluice::consul::watch::Part;
use sluice::route::{Pattern, Target};

const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The folder of the files; or why there is none.
fn folder() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("SLUICE_CONSUL_GOLDENS") {
        return Ok(PathBuf::from(named));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consul-goldens");
    let output = Command::new(&script).output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if !output.status.success() {
        return Err(text(output.stderr));
    }
    Ok(PathBuf::from(text(output.stdout)))
}

/// All golden files of a kind for a case: one for each version of Envoy.
fn goldens(folder: &Path, kind: &str, case: &str) -> Vec<Value> {
    let files = fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let is_of_case = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix(case).is_some_and(|rest| rest.starts_with('.'))
    };
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    files.filter(is_of_case).map(read).collect()
}

/// A case of Consul's, by the name of its files.
struct Case {
    name: &'static str,
    kinds: &'static [&'static str],
    has_services: bool,
    resolvers: Value,
    /// `Proxy.Config` of the gateway.
    config: Value,
}

impl Case {
    fn new(name: &'static str) -> Self {
        let kinds = &["clusters", "endpoints", "listeners"];
        Self { name, kinds, has_services: true, resolvers: json!([]), config: json!({}) }
    }

    /// Only of files of these kinds.
    fn of(self, kinds: &'static [&'static str]) -> Self {
        Self { kinds, ..self }
    }

    fn without_services(self) -> Self {
        Self { has_services: false, ..self }
    }

    fn resolvers(self, resolvers: Value) -> Self {
        Self { resolvers, ..self }
    }

    fn config(self, config: Value) -> Self {
        Self { config, ..self }
    }
}

fn cases() -> Vec<Case> {
    let subsets = json!({
        "v1": {"Filter": "Service.Meta.version == 1"},
        "v2": {"Filter": "Service.Meta.version == 2", "OnlyPassing": true},
    });
    let resolver = |name: &str, more: Value| {
        let mut resolver = json!({"Kind": "service-resolver", "Name": name, "Subsets": subsets});
        for (key, value) in more.as_object().unwrap() {
            resolver[key] = value.clone();
        }
        resolver
    };
    let nothing = json!({});
    let default = json!({"DefaultSubset": "v2"});
    let both = |more: &Value| json!([resolver("foo", more.clone()), resolver("bar", more.clone())]);
    vec![
        Case::new("mesh-gateway"),
        Case::new("mesh-gateway-using-federation-states"),
        Case::new("mesh-gateway-no-services").without_services(),
        // The clusters of this case are made with one of the resolvers only.
        Case::new("mesh-gateway-service-subsets").of(&["endpoints"]).resolvers(both(&nothing)),
        Case::new("mesh-gateway-service-subsets")
            .of(&["clusters"])
            .resolvers(json!([resolver("bar", nothing)])),
        Case::new("mesh-gateway-default-service-subset").resolvers(both(&default)),
        Case::new("mesh-gateway-ignore-extra-resolvers").resolvers(json!([
            resolver("bar", default),
            resolver("notfound", json!({"DefaultSubset": "v2"})),
        ])),
        Case::new("mesh-gateway-service-timeouts")
            .resolvers(json!([resolver("bar", json!({"ConnectTimeout": "10s"}))])),
        Case::new("mesh-gateway-tagged-addresses").config(json!({
            "envoy_mesh_gateway_no_default_bind": true,
            "envoy_mesh_gateway_bind_tagged_addresses": true,
        })),
        Case::new("mesh-gateway-custom-addresses").config(json!({
            "envoy_mesh_gateway_bind_addresses": {
                "foo": {"Address": "198.17.2.3", "Port": 8080},
                "bar": {"Address": "2001:db8::ff", "Port": 9999},
                "baz": {"Address": "127.0.0.1", "Port": 8765},
            },
        })),
    ]
}

/// The sidecars of a service: last octet, version, status of a check.
fn sidecars(service: &str, instances: &[(u8, &str, Option<&str>)]) -> Vec<Value> {
    let node = |(number, (last, version, status)): (usize, &(u8, &str, Option<&str>))| {
        let id = format!("{service}-sidecar-proxy");
        let checks: Vec<Value> = status
            .iter()
            .map(|status| json!({"CheckID": "proxy-alive", "ServiceID": id, "Status": status}))
            .collect();
        json!({
            "Node": format!("{service}-node-{number}"), "Address": format!("10.1.1.{last}"),
            "Services": [{
                "Kind": "connect-proxy", "ID": id, "Service": id, "Port": 2222,
                "Address": format!("172.16.1.{last}"), "Meta": {"version": version},
                "Proxy": {"DestinationServiceName": service},
            }],
            "Checks": checks,
        })
    };
    (1..).zip(instances).map(node).collect()
}

fn gateway(number: usize, wan: &str, status: &str) -> Value {
    json!({
        "Node": {"Node": "mesh-gateway", "Address": format!("10.0.1.{number}")},
        "Service": {
            "Kind": "mesh-gateway", "ID": "mesh-gateway", "Service": "mesh-gateway",
            "Address": format!("10.0.1.{number}"), "Port": 8443,
            "TaggedAddresses": {"wan": {"Address": wan, "Port": 443}},
        },
        "Checks": [{"CheckID": "any", "Status": status}],
    })
}

impl Case {
    fn snapshot(&self) -> Snapshot {
        let consul = json!({"ID": "consul", "Service": "consul", "Port": 8300});
        let mut nodes =
            vec![json!({"Node": "server", "Address": "10.1.1.200", "Services": [consul]})];
        let (mut datacenters, mut gateways) = (vec!["dc1"], json!({}));
        if self.has_services {
            let warning = Some("warning");
            let of_foo = [(3, "1", None), (4, "1", None), (5, "2", None), (9, "2", warning)];
            nodes.extend(sidecars("foo", &of_foo));
            nodes.extend(sidecars("bar", &[(6, "1", None), (7, "1", None), (8, "2", None)]));
            datacenters.extend(["dc2", "dc4", "dc6"]);
            gateways = json!({
                "dc2": [gateway(1, "198.18.1.1", "passing"), gateway(2, "198.18.1.2", "passing")],
                "dc4": [
                    gateway(1, "123.us-west-2.elb.notaws.com", "passing"),
                    gateway(2, "456.us-west-2.elb.notaws.com", "passing"),
                    gateway(3, "198.38.1.1", "passing"),
                ],
                "dc6": [gateway(1, "123.us-east-1.elb.notaws.com", "critical")],
            });
        }
        let server = json!({"Node": "server", "Address": "10.1.1.200", "Datacenter": "dc1"});
        let server = json!([{"Node": server, "Service": consul}]);
        let mut snapshot = Snapshot::default();
        for (part, body) in [
            (Part::Roots, json!({"TrustDomain": TRUST_DOMAIN})),
            (Part::Catalog, json!(nodes)),
            (Part::Resolvers, self.resolvers.clone()),
            (Part::Gateways, gateways),
            (Part::Datacenters, json!(datacenters)),
            (Part::Servers, server),
        ] {
            snapshot.take(part, body.to_string().as_bytes()).unwrap();
        }
        snapshot
    }

    /// The addresses that the gateway accepts on.
    fn binds(&self) -> BTreeSet<SocketAddr> {
        let definition = json!({
            "Kind": "mesh-gateway", "ID": "mesh-gateway", "Service": "mesh-gateway",
            "Address": "1.2.3.4", "Port": 8443, "Proxy": {"Config": self.config},
            "TaggedAddresses": {
                "lan": {"Address": "1.2.3.4", "Port": 8443},
                "wan": {"Address": "198.18.0.1", "Port": 443},
            },
        });
        let definition = Definition::parse(definition.to_string().as_bytes()).unwrap();
        definition.binds().into_iter().collect()
    }
}

/// An endpoint: its address, health and weight.
type Endpoint = (String, bool, u64);

/// A cluster of ours, by its name.
struct Cluster {
    connect_timeout: Duration,
    endpoints: BTreeSet<Endpoint>,
    has_hosts: bool,
}

/// What we make of a case.
struct Ours {
    clusters: BTreeMap<String, Cluster>,
    suffixes: BTreeSet<String>,
}

impl Ours {
    fn of(case: &Case) -> Self {
        let table = case.snapshot().table(&TableOptions::default());
        assert_eq!(table.notes().len(), 0, "{:?}", table.notes());
        let mut hosts = BTreeMap::new();
        let routes = table.resolve(|name, port| {
            let count = u16::try_from(hosts.len()).unwrap();
            let address = SocketAddr::from(([0xfd0f, 0, 0, 0, 0, 0, 0, count], port));
            hosts.insert(address, format!("{name}:{port}"));
            vec![address]
        });
        let mut ours = Self { clusters: BTreeMap::new(), suffixes: BTreeSet::new() };
        for route in &routes.routes {
            let Target::Cluster(index) = route.target else { continue };
            let name = match &route.pattern {
                Pattern::Exact(name) => name.as_str().to_owned(),
                Pattern::Suffix(_) => {
                    ours.suffixes.insert(route.pattern.to_string());
                    continue;
                }
            };
            let cluster = &routes.clusters[index];
            let text = |address: &SocketAddr| {
                hosts.get(address).cloned().unwrap_or_else(|| address.to_string())
            };
            let endpoints = cluster.endpoints.iter();
            let endpoints = endpoints.map(|at| (text(&at.address), at.healthy, at.weight.into()));
            let has_hosts = cluster.endpoints.iter().any(|at| hosts.contains_key(&at.address));
            let (connect_timeout, endpoints) = (cluster.connect_timeout, endpoints.collect());
            ours.clusters.insert(name, Cluster { connect_timeout, endpoints, has_hosts });
        }
        ours
    }

    fn names(&self, is_wanted: impl Fn(&Cluster) -> bool) -> BTreeSet<&str> {
        let wanted = self.clusters.iter().filter(|(_, cluster)| is_wanted(cluster));
        wanted.map(|(name, _)| name.as_str()).collect()
    }

    /// Names, timeouts and host names. Of several host names Envoy is told one.
    fn equal_clusters(&self, golden: &Value, on: &str) {
        let resources: Vec<&Value> = resources(golden).collect();
        let names = resources.iter().map(|resource| resource["name"].as_str().unwrap());
        assert_eq!(names.collect::<BTreeSet<_>>(), self.names(|_| true), "{on}");
        for resource in resources {
            let ours = &self.clusters[resource["name"].as_str().unwrap()];
            let timeout = duration::read(&resource["connectTimeout"]);
            assert_eq!(timeout, Some(ours.connect_timeout), "{on}: {resource}");
            let is_discovered = resource["type"] == "EDS";
            assert_eq!(is_discovered, !ours.has_hosts, "{on}: {resource}");
            let told = endpoints(&resource["loadAssignment"]);
            assert!(told.is_subset(&ours.endpoints), "{on}: {told:?} of {:?}", ours.endpoints);
            assert_eq!(told.len(), usize::from(!is_discovered), "{on}");
        }
    }

    /// The endpoints of all clusters without host names.
    fn equal_endpoints(&self, golden: &Value, on: &str) {
        let told: BTreeMap<&str, BTreeSet<Endpoint>> = resources(golden)
            .map(|resource| (resource["clusterName"].as_str().unwrap(), endpoints(resource)))
            .collect();
        assert_eq!(
            told.keys().copied().collect::<BTreeSet<_>>(),
            self.names(|it| !it.has_hosts),
            "{on}"
        );
        for (name, told) in told {
            assert_eq!(told, self.clusters[name].endpoints, "{on}: {name}");
        }
    }

    /// Suffixes, and where they are listened for.
    fn equal_listeners(&self, golden: &Value, case: &Case) {
        let mut binds = BTreeSet::new();
        for listener in resources(golden) {
            let at = &listener["address"]["socketAddress"];
            let ip = at["address"].as_str().unwrap().parse().unwrap();
            let port = u16::try_from(at["portValue"].as_u64().unwrap()).unwrap();
            binds.insert(SocketAddr::new(ip, port));
            let chains = listener["filterChains"].as_array().unwrap().iter();
            let names = chains.filter_map(|it| it["filterChainMatch"]["serverNames"].as_array());
            let told: BTreeSet<String> =
                names.flatten().map(|name| name.as_str().unwrap().to_owned()).collect();
            assert_eq!(told, self.suffixes, "{}: {listener}", case.name);
        }
        assert_eq!(binds, case.binds(), "{}", case.name);
    }
}

/// Those of an answer; Go writes `null` for none.
fn resources(golden: &Value) -> impl Iterator<Item = &Value> {
    golden["resources"].as_array().into_iter().flatten()
}

/// Those of a `ClusterLoadAssignment`.
fn endpoints(assignment: &Value) -> BTreeSet<Endpoint> {
    let localities = assignment["endpoints"].as_array().into_iter().flatten();
    let balanced = localities.flat_map(|it| it["lbEndpoints"].as_array().into_iter().flatten());
    let endpoint = |balanced: &Value| {
        let at = &balanced["endpoint"]["address"]["socketAddress"];
        let (host, port) = (at["address"].as_str().unwrap(), &at["portValue"]);
        let is_healthy = balanced["healthStatus"] == "HEALTHY";
        (
            format!("{host}:{port}"),
            is_healthy,
            balanced["loadBalancingWeight"].as_u64().unwrap_or(1),
        )
    };
    balanced.map(endpoint).collect()
}

#[test]
fn tables_equal_consuls_golden_files() {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => {
            println!("figure: Consul's golden files were left out: {why}");
            return;
        }
    };
    let mut counts = BTreeMap::new();
    for case in cases() {
        let ours = Ours::of(&case);
        for &kind in case.kinds {
            for golden in goldens(&folder, kind, case.name) {
                match kind {
                    "clusters" => ours.equal_clusters(&golden, case.name),
                    "endpoints" => ours.equal_endpoints(&golden, case.name),
                    _ => ours.equal_listeners(&golden, &case),
                }
                *counts.entry(kind).or_insert(0) += 1;
            }
        }
    }
    println!("figure: golden files of Consul: {counts:?}");
    assert!(counts.len() == 3 && counts.values().all(|&count| count >= 5), "{counts:?}");
}
