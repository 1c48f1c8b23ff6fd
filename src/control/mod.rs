//! The thread that follows the outside world and drives the workers, and its helpers.
//!
//! ```text
//!   signals ──▶ control ──orders, eventfd──▶ workers ──records──▶ log writer ─▶ stdout
//!                ▲   │                          ▲
//!   admin HTTP ──┘   │          builder ──mailbox┘
//!   Consul ◀──link──▶┴──answers──▶ ▲── routes file, resolver
//! ```
//!
//! * control: one thread, never busy for long: admin HTTP, the ties to Consul, drain, watching over
//!   the workers.
//! * builder (nice 19): takes in Consul's answers or the routes file, builds and publishes tables.
//! * log writer (nice 19): formats the access log. Blocked by its reader, it blocks no one else.
//! * resolver: one thread per round, because getaddrinfo(3) cannot be given up.

pub mod access_log;
mod assembly;
mod builder;
mod crew;
mod drain;
pub(crate) mod events;
pub mod gateway;
mod heartbeat;
pub mod hold;
mod hosts;
mod link;
mod listening;
mod log_writer;
pub mod logging;
mod origins;
mod overseer;
pub mod plan;
pub mod provenance;
mod reconfigure;
pub(crate) mod refusals;
mod reporter;
pub(crate) mod resolver;
pub(crate) mod runtime;
pub mod service_manager;
pub mod shared;
pub mod signals;
mod source;
pub mod state_file;
pub(crate) mod workers;

pub use gateway::{Gateway, Remote};
pub(crate) use source::file::parse as parse_routes;
