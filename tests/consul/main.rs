//! Real Consul agents: what the gateway tells them, and what becomes of it.
//!
//! `SLUICE_CONSUL` names the binary; without it, `scripts/install-consul` installs one. Every
//! test starts datacenters of its own, on loopback addresses of its own, so that tests run side
//! by side; they need no root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and no peer controls what it reads"
)]
#![allow(unreachable_pub, missing_docs, reason = "nobody links against tests")]

mod acceptance;
mod admin;
mod allowed;
mod bad_input;
mod cost;
mod dead_consul;
mod defined_by_others;
mod diff;
mod disk_full;
mod doctor;
mod documented;
mod false_answers;
mod foreign;
mod mass_removal;
mod options;
mod oracle;
mod outages;
mod owned;
mod path;
mod readme;
mod refused;
mod replaced;
mod rights;
mod routing;
mod secrecy;
mod subsets;
mod support;
mod support_works;
mod templates;
mod tokens;
mod truth;
mod wan_federation;
