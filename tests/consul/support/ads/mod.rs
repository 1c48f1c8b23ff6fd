//! What Consul would tell an Envoy in a proxy's place: listeners, clusters and endpoints, over
//! its aggregated discovery service (ADS, version 2: what Consul 1.8 speaks).
//!
//! * `grpc`: the call. `message`: what is said in it. `follow`: one version of everything after
//!   the other. `picture`: what that means for names and upstreams.

mod follow;
mod grpc;
pub mod message;
mod picture;

pub use follow::Ads;
pub use picture::{BY_SERVER_NAME, Destination, Discovery, Picture, forwarded_to};
