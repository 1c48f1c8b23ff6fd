//! Names, clusters, endpoints: what control produces and workers look up.
//!
//! ```text
//!   standalone ─┐                     ┌─ Interner: keys → dense ids
//!   (consul)   ─┴─▶ model::Routes ─▶ Publisher ─▶ RoutingTable ─▶ Mailbox ─▶ Inbox (a worker)
//!                                                                            lookup, pick
//!                                                                            Loads: its counts
//! ```
//!
//! A table is immutable; what changes per connection is in [`loads::Loads`], by id, and so
//! survives any number of tables.

pub mod balance;
pub mod directory;
pub mod explain;
pub mod interner;
pub mod loads;
pub mod mailbox;
pub mod model;
pub mod publish;
pub mod standalone;
pub mod table;

pub use balance::{Pick, pick};
pub use directory::Directory;
pub use interner::Interner;
pub use loads::{ClusterFigures, Loads};
pub use mailbox::{Delivery, Inbox, Mailbox};
pub use model::{Address, Cluster, Endpoint, Name, Pattern, Policy, Route, Routes, Target};
pub use publish::Publisher;
pub use table::{ClusterView, RoutingTable};

/// A cluster: a set of endpoints that serve the same names. Dense, interned by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// An endpoint of a cluster. Dense, interned by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);
