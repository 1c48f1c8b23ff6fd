//! What the tests share: the gateway under test, its peers, and how to look at a process.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

pub mod backend;
pub mod black_hole;
pub mod certificates;
pub mod client;
pub mod directory;
pub mod gateway;
pub mod hello;
pub mod idle;
pub mod pattern;
pub mod plan;
pub mod process;
pub mod socket;

pub use gateway::Gateway;

/// How long anything that should happen soon may take. Generous: the machine may be busy, and
/// only a failing test ever waits for it.
pub const SOON: Duration = Duration::from_secs(20);

/// The engine that a gateway is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    IoUring,
    Epoll,
}

impl Engine {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// How much of the stated load to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Ci,
    Full,
}

impl Scale {
    /// What `SLUICE_E2E_SCALE` asks for.
    pub fn asked() -> Self {
        match std::env::var("SLUICE_E2E_SCALE").as_deref() {
            Err(_) | Ok("ci") => Self::Ci,
            Ok("full") => Self::Full,
            Ok(other) => panic!("SLUICE_E2E_SCALE is '{other}': expected 'ci' or 'full'"),
        }
    }

    /// One of two values.
    pub fn pick<T>(self, ci: T, full: T) -> T {
        match self {
            Self::Ci => ci,
            Self::Full => full,
        }
    }
}

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test that others may run beside.
pub fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that measures, or that takes away what others need.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again and again until `found` has an answer; `None` when [`SOON`] has passed.
pub fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(answer) = found() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
