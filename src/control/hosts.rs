//! The host names of endpoints: their addresses, resolved again on a timer.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::builder::Job;
use super::resolver::{Answer, Host, resolve};
use crate::limits::RESOLVE_INTERVAL;

/// What is known of host names.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    addresses: HashMap<Host, Vec<SocketAddr>>,
    resolving: bool,
    resolved_at: Option<Instant>,
}

impl Hosts {
    /// The addresses of a host; none while it is not resolved.
    pub(crate) fn of(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        self.addresses.get(&(name.to_owned(), port)).cloned().unwrap_or_default()
    }

    /// Resolves hosts here and now, but waits no longer than so long.
    ///
    /// # Errors
    /// No thread could be started.
    pub(crate) fn resolve_now(&mut self, hosts: BTreeSet<Host>, wait: Duration) -> io::Result<()> {
        self.resolved_at = Some(Instant::now());
        if hosts.is_empty() {
            return Ok(());
        }
        let (tell, answers) = channel();
        resolve(hosts, move |answer| tell.send(answer).is_ok())?;
        let deadline = Instant::now() + wait;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(answer) = answers.recv_timeout(left()) {
            self.learn(answer);
        }
        Ok(())
    }

    /// Takes in an answer, and says whether it changes anything. A host that stops resolving
    /// keeps its addresses: resolvers fail more often than services move.
    pub(crate) fn learn(&mut self, Answer { host, addresses }: Answer) -> bool {
        match addresses {
            Ok(addresses) if addresses.is_empty() => false,
            Ok(addresses) => self.addresses.insert(host, addresses.clone()) != Some(addresses),
            Err(error) => {
                let kept = self.addresses.get(&host).map_or(0, Vec::len);
                tracing::warn!(host = ?host.0, kept, %error, "host not resolved");
                false
            }
        }
    }

    /// These are asked for now: those that are new do not wait for the next round.
    pub(crate) fn expect(&mut self, hosts: &BTreeSet<Host>) {
        if hosts.iter().any(|host| !self.addresses.contains_key(host)) {
            self.resolved_at = None;
        }
    }

    /// A round has ended. Changes nothing by itself.
    pub(crate) const fn round_ended(&mut self) -> bool {
        self.resolving = false;
        false
    }

    /// Begins a round if it is time. Its answers come as jobs.
    pub(crate) fn resolve_if_due(
        &mut self,
        hosts: impl FnOnce() -> BTreeSet<Host>,
        jobs: &Sender<Job>,
    ) {
        let recent = self.resolved_at.is_some_and(|at| at.elapsed() < RESOLVE_INTERVAL);
        if self.resolving || recent {
            return;
        }
        self.resolved_at = Some(Instant::now());
        let hosts = hosts();
        self.addresses.retain(|host, _| hosts.contains(host));
        if hosts.is_empty() {
            return;
        }
        let tell = Telling(jobs.clone());
        let started = resolve(hosts, move |answer| tell.0.send(Job::Resolved(answer)).is_ok());
        self.resolving = started.is_ok();
    }
}

/// Tells the end of a round however it ends.
struct Telling(Sender<Job>);

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = self.0.send(Job::ResolvedAll);
    }
}
