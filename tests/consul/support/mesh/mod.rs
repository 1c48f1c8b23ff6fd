//! A mesh on real agents: gateways as processes, services that prove who they are, and sessions
//! between them.

pub mod backend;
pub mod blackhole;
pub mod figure;
pub mod identity;
#[allow(dead_code, reason = "shared with the tests of other parts, which need more of it")]
#[path = "../../../e2e/support/pattern.rs"]
mod pattern;
pub mod proxy;
pub mod services;
pub mod session;
pub mod sluice;
