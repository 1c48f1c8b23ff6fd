//! What Consul's own integration tests ask of a mesh gateway (`test/integration/connect/envoy`), as
//! far as Consul 1.8.7 has it: each test is called what the case is called there. An Envoy is the
//! sidecar that dials, and does what Consul tells it; Sluice are the gateways. Endpoints and
//! connections are counted where those tests count them, at `/clusters` and `/stats`.

mod failover;
mod gateways;
mod ingress;
mod lab;
mod subsets;
mod terminating;
