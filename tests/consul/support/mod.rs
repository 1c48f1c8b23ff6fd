//! Datacenters of real Consul agents, and a gateway's registration there.

pub mod acl;
pub mod ads;
pub mod catalog;
pub mod client_agent;
pub mod datacenter;
#[path = "../../e2e/support/directory.rs"]
pub mod directory;
pub mod envoy;
pub mod fake_agent;
pub mod fake_answers;
pub mod federation;
pub mod gateway;
pub mod hosts;
pub mod http;
pub mod installed;
pub mod mesh;
mod process;
pub mod program;
pub mod random;
pub mod scene;
pub mod secrets;
mod server;
pub mod steady_traffic;
mod tls;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that takes at most seconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Asks again and again, of another process that cannot be waited for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
