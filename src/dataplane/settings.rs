//! What an operator set, as the data path uses it.

use std::time::Duration;

use crate::kernel::Keepalive;
use crate::limits;

use super::access::Access;

/// How a refused TLS client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefuseWith {
    /// A fatal alert that names the kind, then a clean close.
    #[default]
    Alert,
    /// A bare RST, as Envoy does.
    Reset,
}

/// Settings of a worker. A duration of zero means: no such limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Total time for a hello.
    pub hello_timeout: Duration,
    /// Time without traffic after which a session is closed.
    pub idle_timeout: Duration,
    /// The same, once one direction has ended.
    pub half_close_timeout: Duration,
    /// Endpoints tried for one session.
    pub dial_attempts_max: u8,
    /// How refusals are told.
    pub refuse_with: RefuseWith,
    /// Keepalive towards endpoints.
    pub upstream_keepalive: Option<Keepalive>,
    /// Sessions at most.
    pub session_count_max: u32,
    /// Pipes at most, lent and idle.
    pub pipe_count_max: usize,
    /// The most by which the closes of a drain are spread.
    pub drain_spread: Duration,
    /// What is asked of connections because of where they come from.
    pub access: Access,
    /// Whether sessions leave records for the access log.
    pub access_log: bool,
    /// Whether they do so also when they have reached their endpoint.
    pub access_log_start: bool,
    /// They do so also this often.
    pub access_log_every: Duration,
}

impl Settings {
    /// The time without traffic after which a session is closed of which one direction has
    /// ended. Without a limit of its own it has the other's.
    #[must_use]
    pub const fn half_close(&self) -> Duration {
        if self.half_close_timeout.is_zero() { self.idle_timeout } else { self.half_close_timeout }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hello_timeout: limits::HELLO_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            half_close_timeout: limits::HALF_CLOSE_TIMEOUT,
            dial_attempts_max: limits::DIAL_ATTEMPTS_MAX,
            refuse_with: RefuseWith::default(),
            upstream_keepalive: None,
            session_count_max: 4096,
            pipe_count_max: limits::PIPE_COUNT,
            drain_spread: limits::DRAIN_SPREAD,
            access: Access::default(),
            access_log: false,
            access_log_start: false,
            access_log_every: Duration::ZERO,
        }
    }
}
