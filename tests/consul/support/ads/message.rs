//! Messages of Envoy's discovery service, version 2, as far as they are read: fields by their
//! numbers in Envoy's `envoy/api/v2`. What is one of several there is optional here.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub response_nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub cluster: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Cluster {
    #[prost(string, tag = "1")]
    pub name: String,
    /// See [`super::picture::Discovery`].
    #[prost(int32, tag = "2")]
    pub discovery: i32,
    #[prost(message, optional, tag = "4")]
    pub connect_timeout: Option<Duration>,
    #[prost(int32, tag = "6")]
    pub policy: i32,
    #[prost(message, optional, tag = "11")]
    pub tls: Option<UpstreamTls>,
    #[prost(message, optional, tag = "27")]
    pub common: Option<CommonBalancing>,
    /// The endpoints, unless they are discovered.
    #[prost(message, optional, tag = "33")]
    pub assignment: Option<Assignment>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct UpstreamTls {
    #[prost(message, optional, tag = "1")]
    pub common: Option<CommonTls>,
    #[prost(string, tag = "2")]
    pub server_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DownstreamTls {
    #[prost(message, optional, tag = "1")]
    pub common: Option<CommonTls>,
    #[prost(message, optional, tag = "2")]
    pub require_client_certificate: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CommonTls {
    #[prost(message, repeated, tag = "2")]
    pub certificates: Vec<Certificate>,
    #[prost(message, optional, tag = "3")]
    pub validation: Option<Validation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Certificate {
    #[prost(message, optional, tag = "1")]
    pub chain: Option<DataSource>,
    #[prost(message, optional, tag = "2")]
    pub key: Option<DataSource>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Validation {
    #[prost(message, optional, tag = "1")]
    pub trusted_ca: Option<DataSource>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DataSource {
    #[prost(string, tag = "3")]
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CommonBalancing {
    #[prost(message, optional, tag = "1")]
    pub healthy_panic_threshold: Option<Percent>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Percent {
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// `ClusterLoadAssignment`.
#[derive(Clone, PartialEq, Message)]
pub struct Assignment {
    #[prost(string, tag = "1")]
    pub cluster: String,
    #[prost(message, repeated, tag = "2")]
    pub localities: Vec<Locality>,
    #[prost(message, optional, tag = "4")]
    pub policy: Option<AssignmentPolicy>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AssignmentPolicy {
    #[prost(message, optional, tag = "3")]
    pub overprovisioning_factor: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Locality {
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<BalancedEndpoint>,
    #[prost(uint32, tag = "5")]
    pub priority: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct BalancedEndpoint {
    #[prost(message, optional, tag = "1")]
    pub endpoint: Option<Endpoint>,
    /// 0: unknown, 1: healthy; others are not.
    #[prost(int32, tag = "2")]
    pub health: i32,
    #[prost(message, optional, tag = "4")]
    pub weight: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Endpoint {
    #[prost(message, optional, tag = "1")]
    pub address: Option<Address>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Address {
    #[prost(message, optional, tag = "1")]
    pub socket: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SocketAddress {
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Listener {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub address: Option<Address>,
    #[prost(message, repeated, tag = "3")]
    pub chains: Vec<FilterChain>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FilterChain {
    #[prost(message, optional, tag = "1")]
    pub when: Option<FilterChainMatch>,
    #[prost(message, optional, tag = "2")]
    pub tls: Option<DownstreamTls>,
    #[prost(message, repeated, tag = "3")]
    pub filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FilterChainMatch {
    #[prost(string, repeated, tag = "11")]
    pub server_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Filter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub config: Option<Struct>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`; only texts are read.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
}
