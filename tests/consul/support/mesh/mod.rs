//! A mesh on real agents: gateways as processes, services that prove who they are, and sessions
//! between them.

pub mod backend;
#[path = "../../../e2e/support/black_hole.rs"]
pub mod black_hole;
pub mod figure;
pub mod identity;
#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shared with the tests of other parts, which need more of it"
)]
#[path = "../../../e2e/support/pattern.rs"]
mod pattern;
pub mod proxy;
pub mod services;
pub mod session;
pub mod sluice;
