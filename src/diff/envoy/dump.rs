//! `/config_dump` and `/clusters`, as far as they decide about routes. Protobuf's JSON leaves out
//! what has its default, and so all of it may be missing.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// `envoy.admin.v3.ConfigDump`.
#[derive(Deserialize)]
pub(super) struct Dump {
    configs: Vec<Section>,
}

/// One of its sections; each has the fields of one kind only.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Section {
    #[serde(rename = "@type")]
    kind: String,
    static_clusters: Vec<HeldCluster>,
    dynamic_active_clusters: Vec<HeldCluster>,
    static_listeners: Vec<HeldListener>,
    dynamic_listeners: Vec<DynamicListener>,
    static_endpoint_configs: Vec<HeldAssignment>,
    dynamic_endpoint_configs: Vec<HeldAssignment>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeldCluster {
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeldListener {
    listener: Listener,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DynamicListener {
    active_state: Option<HeldListener>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeldAssignment {
    endpoint_config: Assignment,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) discovery: Option<String>,
    pub(super) cluster_type: Option<Named>,
    /// `5s`, `0.250s`.
    pub(super) connect_timeout: Option<String>,
    pub(super) lb_policy: Option<String>,
    pub(super) common_lb_config: CommonBalancing,
    pub(super) circuit_breakers: CircuitBreakers,
    pub(super) load_assignment: Assignment,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CommonBalancing {
    pub(super) healthy_panic_threshold: Option<Percent>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Percent {
    pub(super) value: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CircuitBreakers {
    pub(super) thresholds: Vec<Threshold>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Threshold {
    /// `HIGH` is for requests that a router says so of; `DEFAULT` is left out.
    pub(super) priority: Option<String>,
    pub(super) max_connections: Option<u32>,
}

/// `ClusterLoadAssignment`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Assignment {
    pub(super) cluster_name: String,
    pub(super) endpoints: Vec<Locality>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Locality {
    pub(super) priority: u32,
    pub(super) lb_endpoints: Vec<BalancedEndpoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BalancedEndpoint {
    pub(super) endpoint: Placed,
    pub(super) health_status: Option<String>,
    pub(super) load_balancing_weight: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Placed {
    pub(super) address: Address,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    pub(super) socket_address: Option<SocketAddress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SocketAddress {
    pub(super) address: String,
    pub(super) port_value: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listener {
    pub(super) filter_chains: Vec<FilterChain>,
    pub(super) default_filter_chain: Option<FilterChain>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FilterChain {
    /// `server_names`, and whatever else a connection must have.
    pub(super) filter_chain_match: Map<String, Value>,
    pub(super) filters: Vec<Filter>,
    pub(super) transport_socket: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) typed_config: Map<String, Value>,
    /// As Envoys before 1.18 may still have it.
    pub(super) config: Map<String, Value>,
}

impl Dump {
    /// # Errors
    /// It is none: the reason.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let dump: Self = parse(body)?;
        let is_there = |kind: &str| dump.configs.iter().any(|it| it.kind.ends_with(kind));
        match is_there(".ClustersConfigDump") && is_there(".ListenersConfigDump") {
            true => Ok(dump),
            false => Err("its answer tells of no listeners and clusters".to_owned()),
        }
    }

    /// Whether it tells of endpoints at all.
    pub(super) fn has_endpoints(&self) -> bool {
        self.configs.iter().any(|section| section.kind.ends_with(".EndpointsConfigDump"))
    }

    /// The clusters in use, each with whether Envoy was started with it.
    pub(super) fn clusters(&self) -> impl Iterator<Item = (&Cluster, bool)> {
        self.configs.iter().flat_map(|section| {
            let started_with = section.static_clusters.iter().map(|held| (&held.cluster, true));
            let told = section.dynamic_active_clusters.iter().map(|held| (&held.cluster, false));
            started_with.chain(told)
        })
    }

    /// The listeners in use.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.configs.iter().flat_map(|section| {
            let active = section.dynamic_listeners.iter().filter_map(|it| it.active_state.as_ref());
            section.static_listeners.iter().chain(active).map(|held| &held.listener)
        })
    }

    /// The endpoints in use.
    pub(super) fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        self.configs.iter().flat_map(|section| {
            let all = section.static_endpoint_configs.iter();
            all.chain(&section.dynamic_endpoint_configs).map(|held| &held.endpoint_config)
        })
    }
}

/// `envoy.admin.v3.Clusters`.
#[derive(Default, Deserialize)]
pub(super) struct Statuses {
    cluster_statuses: Vec<ClusterStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClusterStatus {
    name: String,
    host_statuses: Vec<HostStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HostStatus {
    address: Address,
    health_status: HostHealth,
    weight: Option<u32>,
    priority: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HostHealth {
    eds_health_status: Option<String>,
}

impl Statuses {
    /// # Errors
    /// It is none: the reason.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        parse(body)
    }

    /// The same as assignments.
    pub(super) fn assignments(&self) -> impl Iterator<Item = Assignment> {
        self.cluster_statuses.iter().map(|status| {
            let locality = |host: &HostStatus| {
                let endpoint = BalancedEndpoint {
                    endpoint: Placed { address: host.address.clone() },
                    health_status: host.health_status.eds_health_status.clone(),
                    load_balancing_weight: host.weight,
                };
                Locality { priority: host.priority, lb_endpoints: vec![endpoint] }
            };
            let endpoints = status.host_statuses.iter().map(locality).collect();
            Assignment { cluster_name: status.name.clone(), endpoints }
        })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))
}
