//! What Consul says is in the routing of new sessions within a second, and live ones go on.
//!
//! Every session is mutual TLS with leaf certificates of Consul's, and checks who it reached and
//! each byte. Where data flows, there is a gateway for each engine, and both must do it.

mod datacenters;
mod instances;
mod pair;
mod places;
mod refused;
mod services;
mod third;
mod unaffected;
