//! Follows the stream of a proxy, of which each answer has all resources of one type.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::grpc::{Call, Status};
use super::message::{Assignment, Cluster, DiscoveryRequest, DiscoveryResponse, Listener, Node};
use super::picture::{Discovery, Picture};
use crate::support::datacenter::Datacenter;

const METHOD: &str = "/envoy.service.discovery.v2.AggregatedDiscoveryService/\
                      StreamAggregatedResources";
const GRPC_PORT: u16 = 8502;
const CLUSTERS: &str = "type.googleapis.com/envoy.api.v2.Cluster";
const ENDPOINTS: &str = "type.googleapis.com/envoy.api.v2.ClusterLoadAssignment";
const LISTENERS: &str = "type.googleapis.com/envoy.api.v2.Listener";

/// The stream of one proxy. Ended when dropped.
pub struct Ads {
    runtime: Runtime,
    call: Call,
    node: Node,
    clusters: Typed<Cluster>,
    assignments: Typed<Assignment>,
    listeners: Typed<Listener>,
}

/// All resources of a type, and the version that they are of: empty before the first.
struct Typed<T> {
    version: String,
    resources: Vec<T>,
}

impl<T> Default for Typed<T> {
    fn default() -> Self {
        Self { version: String::new(), resources: Vec::new() }
    }
}

impl<T: Message + Default> Typed<T> {
    fn take(&mut self, response: &DiscoveryResponse) {
        let decode = |any: &super::message::Any| T::decode(any.value.as_slice()).unwrap();
        self.resources = response.resources.iter().map(decode).collect();
        self.version.clone_from(&response.version_info);
    }
}

impl Ads {
    /// Asks a datacenter's agent in the name of a proxy that is registered with it.
    pub fn of(
        datacenter: &Datacenter,
        proxy_id: &str,
        service: &str,
        token: Option<&str>,
    ) -> Result<Self, Status> {
        let server = SocketAddr::from((datacenter.host(), GRPC_PORT));
        let token = token.map(|token| ("x-consul-token", token));
        let headers: Vec<(&str, &str)> = token.into_iter().collect();
        // The connection is kept going also while nobody waits for it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let call = runtime.block_on(Call::begin(server, METHOD, &headers))?;
        let node = Node { id: proxy_id.to_owned(), cluster: service.to_owned() };
        let mut ads = Self {
            runtime,
            call,
            node,
            clusters: Typed::default(),
            assignments: Typed::default(),
            listeners: Typed::default(),
        };
        for type_url in [CLUSTERS, ENDPOINTS, LISTENERS] {
            ads.ask(type_url, "", "")?;
        }
        Ok(ads)
    }

    /// The next version of everything; `None` if there is none in this time.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Picture>, Status> {
        let deadline = tokio::time::Instant::now() + patience;
        while !self.take(deadline)? {
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
        }
        let (clusters, assignments) = (&self.clusters.resources, &self.assignments.resources);
        Ok(Some(Picture::new(clusters, assignments, &self.listeners.resources)))
    }

    /// The same as it came.
    pub fn resources(&self) -> (&[Cluster], &[Assignment], &[Listener]) {
        (&self.clusters.resources, &self.assignments.resources, &self.listeners.resources)
    }

    /// Takes an answer, and says whether everything is of one version now.
    fn take(&mut self, deadline: tokio::time::Instant) -> Result<bool, Status> {
        let Self { runtime, call, .. } = self;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let Ok(message) = runtime.block_on(async { timeout(left, call.receive()).await }) else {
            return Ok(false);
        };
        let response = DiscoveryResponse::decode(message?).unwrap();
        match response.type_url.as_str() {
            CLUSTERS => self.clusters.take(&response),
            ENDPOINTS => self.assignments.take(&response),
            LISTENERS => self.listeners.take(&response),
            other => panic!("an answer of type {other}, which nobody asked for"),
        }
        self.ask(&response.type_url, &response.version_info, &response.nonce)?;
        Ok(self.is_whole())
    }

    /// Nothing is sent for endpoints while there are none to be discovered.
    fn is_whole(&self) -> bool {
        let version = &self.clusters.version;
        let is_discovered = |cluster: &Cluster| Discovery::of(cluster) == Discovery::Eds;
        let has_discovered = self.clusters.resources.iter().any(is_discovered);
        !version.is_empty()
            && self.listeners.version == *version
            && (self.assignments.version == *version || !has_discovered)
    }

    /// Asks for a type, and says which version of it is there.
    fn ask(&mut self, type_url: &str, version: &str, nonce: &str) -> Result<(), Status> {
        let request = DiscoveryRequest {
            version_info: version.to_owned(),
            node: Some(self.node.clone()),
            type_url: type_url.to_owned(),
            response_nonce: nonce.to_owned(),
        };
        self.call.send(&request.encode_to_vec())
    }
}
