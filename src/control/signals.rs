//! Signals of the process, as orders to its gateway.

use std::io;
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};

use super::gateway::Remote;
use crate::error::Exit;

/// Keeps the signals from the calling thread and all it starts: they wait for [`follow`]. To be
/// called before any other thread exists.
///
/// # Errors
/// pthread_sigmask(3).
pub fn hold_back() -> io::Result<()> {
    Ok(ours().thread_block()?)
}

/// Where the gateway will be found, once it has started.
pub type Started = Arc<OnceLock<Remote>>;

/// Follows the signals from now on, on a thread of its own that lasts as long as the process:
/// SIGHUP reloads, SIGTERM and SIGINT drain, and when repeated end the process at once. Before
/// the gateway has started they do so the first time: a start may have to wait for Consul.
///
/// # Errors
/// No thread could be started.
pub fn follow(started: Started) -> io::Result<()> {
    let signals = ours();
    let wait = move || {
        let mut told_to_end = false;
        loop {
            match (signals.wait(), started.get()) {
                (Ok(Signal::SIGHUP), None) => {}
                (Ok(Signal::SIGHUP), Some(remote)) => remote.reload(),
                (Ok(signal), None) => {
                    tracing::info!(%signal, "told to end before the gateway has started");
                    std::process::exit(Exit::Success as i32);
                }
                (Ok(signal), Some(remote)) if told_to_end => {
                    let sessions = remote.shared().total(|stats| stats.sessions.get());
                    tracing::warn!(%signal, sessions, "told again to end: ending at once");
                    remote.shared().remove_socket_files();
                    std::process::exit(Exit::Success as i32);
                }
                (Ok(signal), Some(remote)) => {
                    told_to_end = true;
                    tracing::info!(%signal, "told to end: draining; once more ends at once");
                    remote.drain();
                }
                // sigwait(3) fails only for a set that holds no valid signal.
                (Err(_), _) => return,
            }
        }
    };
    std::thread::Builder::new().name("sluice-signals".into()).spawn(wait)?;
    Ok(())
}

fn ours() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
}
