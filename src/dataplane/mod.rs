//! The data path: one [`worker::Worker`] per core, and its sessions.
//!
//! `accept → sniff → look up → dial → relay → close`. Nothing here knows Consul, or which
//! kernel it runs on.
//!
//! Each stage of a session is a file that extends the worker: [`listeners`] accept, [`admission`]
//! asks whose connection it is, [`opening`] and [`sniff`] find the route, [`dial`] connects,
//! [`relay`] and [`pump`] move the bytes, [`ends`] closes, [`parcel`] moves a session elsewhere.
//! [`tally`] counts what it comes to, [`recording`] tells the access log, [`survey`] shows sessions
//! to whoever asks.

pub mod access;
mod admission;
mod announce;
mod core;
mod dial;
mod ends;
mod listeners;
mod names;
mod opening;
pub mod orders;
pub mod parcel;
mod pipes;
mod pump;
pub mod record;
mod recording;
mod relay;
mod session;
pub mod settings;
mod slab;
mod sniff;
mod sources;
pub mod stats;
pub mod survey;
mod tally;
mod timer;
pub mod times;
pub mod worker;
