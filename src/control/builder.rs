//! The builder: takes in what routes are made of, makes tables and publishes them, at nice 19.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use tokio::sync::oneshot;

use super::hosts::Hosts;
use super::reconfigure::{Federation, Running};
use super::resolver::Answer;
use super::shared::{Published, Shared};
use super::source::consul::{ConsulSource, Offer};
use super::source::{Reread, Source};
use crate::config::{SessionLimits, TakenOver};
use crate::consul::register::Definition;
use crate::error::StartError;
use crate::limits::{RESOLVE_AT_START, SOURCE_POLL};
use crate::route::Routes;
use crate::route::publish::Publisher;
use crate::route::table::BuildError;

/// What the builder is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read the configuration and the routes file, changed or not, and say what came of it; ask
    /// Consul for everything anew.
    Reload(oneshot::Sender<Reloaded>),
    /// Consul answered.
    Answer(Offer),
    /// Consul says this of the gateway itself.
    Define(Box<Definition>),
    /// Names of Consul's servers end with this.
    ServerDomain(String),
    /// Believe what is held back; say whether anything was.
    Accept(oneshot::Sender<bool>),
    /// A host was resolved.
    Resolved(Answer),
    /// The round of resolving has ended.
    ResolvedAll,
    /// End.
    Stop,
}

/// What came of a reload.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// Of the routes file.
    pub(crate) routes: Reread,
    /// Of the configuration, where it can be read again.
    pub(crate) configuration: Option<Result<TakenOver, String>>,
}

/// Makes tables out of a source.
#[derive(Debug)]
pub(crate) struct Builder {
    source: Source,
    sessions: SessionLimits,
    hosts: Hosts,
    publisher: Publisher,
    /// Of the routes published last.
    federation: Federation,
    /// The default cluster that there is none of, as it was told.
    missing_default: Option<String>,
}

impl Builder {
    /// A builder that has published nothing yet.
    pub(crate) fn new(source: Source, sessions: SessionLimits) -> Self {
        Self {
            source,
            sessions,
            hosts: Hosts::default(),
            publisher: Publisher::default(),
            federation: Federation::default(),
            missing_default: None,
        }
    }

    pub(crate) const fn federation(&self) -> &Federation {
        &self.federation
    }

    pub(crate) const fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// Publishes the first table. Waits a little for host names; those that are not resolved by
    /// then have no endpoints until they are.
    ///
    /// # Errors
    /// The routes make no table.
    pub(crate) fn publish_first(&mut self, shared: &Shared) -> Result<(), StartError> {
        if let Source::Consul(consul) = &self.source {
            describe(consul, shared);
            if !consul.has_table() {
                tracing::info!("no routes yet: every connection is refused until Consul answers");
                return Ok(());
            }
        }
        self.hosts
            .resolve_now(self.source.hosts(), RESOLVE_AT_START)
            .map_err(StartError::system("starting a thread"))?;
        let published = self.try_publish(shared);
        published.map_err(|error| match &self.source {
            Source::File(file) => {
                StartError::RoutesInvalid(format!("{}: {error}", file.path().display()))
            }
            Source::Consul(_) => StartError::RoutesInvalid(format!("Consul's routes: {error}")),
        })
    }

    /// Works until told to stop. `jobs` is the sender of the same channel, for answers.
    pub(crate) fn run(
        mut self,
        mut running: Running,
        inbox: &Receiver<Job>,
        jobs: &Sender<Job>,
        shared: &Shared,
    ) {
        crate::sys::process::lower_thread_priority();
        loop {
            let changed = match inbox.recv_timeout(SOURCE_POLL) {
                Ok(Job::Reload(reply)) => {
                    let _ = reply.send(self.reload(&mut running, shared));
                    false
                }
                Ok(Job::Answer(offer)) => self.of_consul(shared, |consul| consul.take(offer)),
                Ok(Job::Define(definition)) => {
                    self.of_consul(shared, |consul| consul.define(&definition))
                }
                Ok(Job::ServerDomain(domain)) => {
                    self.of_consul(shared, |consul| consul.set_server_domain(domain))
                }
                Ok(Job::Accept(reply)) => self.of_consul(shared, |consul| {
                    let accepted = consul.accept();
                    let _ = reply.send(accepted);
                    accepted
                }),
                Ok(Job::Resolved(answer)) => self.hosts.learn(answer),
                Ok(Job::ResolvedAll) => self.hosts.round_ended(),
                Err(RecvTimeoutError::Timeout) => self.look(false) == Reread::Changed,
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            if changed {
                self.publish(shared);
            }
            running.set_federation(&self.federation);
            self.hosts.resolve_if_due(|| self.source.hosts(), jobs);
            self.publisher.reclaim(Instant::now());
        }
    }

    fn reload(&mut self, running: &mut Running, shared: &Shared) -> Reloaded {
        let configuration = running.reread(shared);
        let mut changed = match &configuration {
            Some(Ok(taken)) => self.set_sessions(&taken.config.sessions),
            Some(Err(_)) | None => false,
        };
        let routes = self.look(true);
        changed |= routes == Reread::Changed;
        if changed && self.source.has_table() {
            self.publish(shared);
        }
        Reloaded { routes, configuration }
    }

    /// Other limits. Says whether the table is another one with them.
    fn set_sessions(&mut self, sessions: &SessionLimits) -> bool {
        let of_table = |sessions: &SessionLimits| {
            let SessionLimits { connect_timeout, panic_threshold_percent, .. } = sessions;
            (*connect_timeout, *panic_threshold_percent, sessions.default_cluster.clone())
        };
        let is_news = of_table(sessions) != of_table(&self.sessions);
        self.sessions = sessions.clone();
        if let Source::Consul(consul) = &mut self.source {
            consul.set_sessions(sessions);
        }
        is_news
    }

    fn look(&mut self, anew: bool) -> Reread {
        match &mut self.source {
            Source::File(file) => file.look(anew),
            Source::Consul(consul) => {
                if anew {
                    consul.ask_again();
                }
                consul.save_if_due();
                Reread::Same
            }
        }
    }

    /// Does something with Consul's answers. Says whether there is a table, and another one.
    fn of_consul(&mut self, shared: &Shared, work: impl FnOnce(&mut ConsulSource) -> bool) -> bool {
        let Source::Consul(consul) = &mut self.source else { return false };
        let changed = work(consul);
        describe(consul, shared);
        changed && consul.has_table()
    }

    fn publish(&mut self, shared: &Shared) {
        self.hosts.expect(&self.source.hosts());
        if let Err(error) = self.try_publish(shared) {
            tracing::error!(%error, "routes not published; those in use are kept");
        }
    }

    fn try_publish(&mut self, shared: &Shared) -> Result<(), BuildError> {
        let mut routes = self.source.routes(&self.sessions, |name, port| self.hosts.of(name, port));
        self.set_default(&mut routes);
        self.federation = Arc::new(routes.gateways.iter().copied().collect());
        let version = self.publisher.publish(&routes)?;
        tracing::info!(
            version,
            routes = routes.routes.len(),
            endpoints = routes.clusters.iter().map(|c| c.endpoints.len()).sum::<usize>(),
            "routes published"
        );
        // Whoever is told that the gateway serves may ask at once where a name leads.
        shared.set_published(Published {
            table: Arc::new(self.publisher.table().copy()),
            loads: self.publisher.loads().cloned().collect(),
        });
        Ok(())
    }
}

impl Builder {
    /// Names that no route has lead to the default cluster, if there is one.
    fn set_default(&mut self, routes: &mut Routes) {
        let key = self.sessions.default_cluster.as_deref();
        let missing = key.filter(|key| !routes.set_default(key)).map(str::to_owned);
        if let Some(key) = missing.as_ref().filter(|_| missing != self.missing_default) {
            tracing::warn!("no cluster is called {key:?}: names without a route are refused");
        }
        self.missing_default = missing;
    }
}

/// Tells whoever asks what the table is made of.
fn describe(consul: &ConsulSource, shared: &Shared) {
    let (held, notes) = consul.describe();
    shared.provenance.set_consul(held, notes, consul.restored().map(str::to_owned));
}
