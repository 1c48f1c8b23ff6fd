//! Sluice, a Consul mesh gateway.
//!
//! ```text
//!            control (one thread)                     workers (one per core)
//!   Consul ──┐                                     ┌── accept → sniff → look up → dial → relay
//!   routes ──┴─▶ route::Routes ─▶ RoutingTable ════╪══ the same
//!   signals ───▶ drain                 (mailbox)   └── the same
//! ```
//!
//! * [`kernel`]: what a worker asks of Linux, and the three implementations of it.
//! * [`tls`]: reads the server name out of a ClientHello; pure.
//! * [`proxy_protocol`]: whose connection a proxy passes on; pure.
//! * [`route`]: names, clusters, endpoints, balancing, and how a table reaches the workers.
//! * [`dataplane`]: the worker and its sessions. Knows nothing of Consul.
//! * [`consul`]: what is asked of Consul's agent, what its answers mean, what it is told. Knows
//!   nothing of kernels.
//! * [`control`]: the thread that follows the outside world and drives the workers.
//! * [`admin`]: its HTTP server.
//! * [`cli`], [`config`], [`error`]: what was typed, what it means, and how it ends.
//! * [`located`]: what is wrong with a file that an operator wrote, and where.
//! * [`listing`]: what `check` and `routes` print, of a file or of a gateway that runs.
//! * [`doctor`]: what `sluice doctor` looks at, and what it says of it.
//! * [`path`]: what `sluice path` says of the way of a connection.
//! * [`diff`]: what `sluice diff` finds between the table here and an Envoy gateway's.
//! * [`manual`]: man pages and completions, of the same definitions.
//! * [`demo`]: two gateways and a service in one process.
//! * [`sys`]: pipes, sockets, affinity, process limits.
//!
//! `unsafe` is denied outside of `kernel` and `sys`.

pub mod admin;
pub mod cli;
pub mod config;
pub mod consul;
pub mod control;
pub mod dataplane;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod error;
#[allow(unsafe_code, reason = "rings, mapped memory and system calls")]
pub mod kernel;
pub mod limits;
pub mod listing;
pub mod located;
pub mod manual;
pub mod path;
pub mod proxy_protocol;
pub mod refusal;
pub mod route;
#[allow(unsafe_code, reason = "system calls without a safe wrapper")]
pub mod sys;
pub mod tls;
