//! System calls that have no safe wrapper elsewhere, and what `/proc` and cgroups tell.

pub mod affinity;
pub mod arguments;
pub mod cgroup;
pub mod inherited;
pub mod interfaces;
pub mod listener;
pub mod owner;
pub mod pipe;
pub mod process;
pub mod slot;
pub mod socket;
pub mod waker;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Ignores SIGPIPE for the whole process. splice(2) to a socket whose peer has reset it raises
/// SIGPIPE, and knows no flag like `MSG_NOSIGNAL`. To be called before any worker starts;
/// Rust's runtime does the same for executables, but not for what loads this as a library.
///
/// # Errors
/// None are documented for SIGPIPE (signal(2)).
pub fn ignore_sigpipe() -> nix::Result<()> {
    // SAFETY: signal(2) asks that a handler be async-signal-safe. SIG_IGN runs no code.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }.map(drop)
}
