//! The data path: one [`worker::Worker`] per core, and its sessions.
//!
//! `accept → sniff → look up → dial → relay → close`. Nothing here knows Consul, or which
//! kernel it runs on.

pub mod orders;
pub mod record;
pub mod settings;
pub mod stats;
