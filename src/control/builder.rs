//! The builder: reads routes, makes tables and publishes them, at nice 19.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::resolver::{Answer, Host, resolve};
use super::routes_file::{Look, RoutesFile};
use super::shared::Shared;
use crate::config::SessionLimits;
use crate::error::StartError;
use crate::limits::{RESOLVE_AT_START, RESOLVE_INTERVAL, ROUTES_POLL};
use crate::route::publish::Publisher;
use crate::route::standalone::RouteFile;

/// What the builder is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read the routes file, changed or not.
    Reload,
    /// A host was resolved.
    Resolved(Answer),
    /// The round of resolving has ended.
    ResolvedAll,
    /// End.
    Stop,
}

/// Makes tables out of the routes file.
pub(crate) struct Builder {
    file: RoutesFile,
    connect_timeout: Duration,
    panic_threshold_percent: u8,
    routes: RouteFile,
    addresses: HashMap<Host, Vec<SocketAddr>>,
    publisher: Publisher,
    resolving: bool,
    resolved_at: Option<Instant>,
}

impl Builder {
    /// Reads the routes file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or it is wrong.
    pub(crate) fn new(path: PathBuf, sessions: &SessionLimits) -> Result<Self, StartError> {
        let mut file = RoutesFile::new(path.clone());
        let text = match file.look() {
            Look::Changed(text) => text,
            Look::Same => String::new(),
            Look::Unreadable(source) => return Err(StartError::RoutesUnread { path, source }),
        };
        let routes = parse(&text, &path).map_err(StartError::RoutesInvalid)?;
        Ok(Self {
            file,
            connect_timeout: sessions.connect_timeout,
            panic_threshold_percent: sessions.panic_threshold_percent,
            routes,
            addresses: HashMap::new(),
            publisher: Publisher::default(),
            resolving: false,
            resolved_at: Some(Instant::now()),
        })
    }

    pub(crate) fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// Publishes the first table. Waits a little for host names; those that are not resolved by
    /// then have no endpoints until they are.
    ///
    /// # Errors
    /// The routes make no table.
    pub(crate) fn publish_first(&mut self, shared: &Shared) -> Result<(), StartError> {
        let hosts = self.hosts();
        if !hosts.is_empty() {
            let (tell, answers) = channel();
            resolve(hosts, move |answer| tell.send(answer).is_ok())
                .map_err(StartError::system("starting a thread"))?;
            let deadline = Instant::now() + RESOLVE_AT_START;
            let left = || deadline.saturating_duration_since(Instant::now());
            while let Ok(answer) = answers.recv_timeout(left()) {
                self.learn(answer);
            }
        }
        let routes = self.resolved();
        let published = self.publisher.publish(&routes);
        published.map_err(|error| {
            StartError::RoutesInvalid(format!("{}: {error}", self.file.path().display()))
        })?;
        // Here and not on the builder's own thread, which may come to run only later: whoever
        // is told that the gateway serves may ask at once where a name leads.
        self.share_table(shared);
        Ok(())
    }

    /// Works until told to stop. `jobs` is the sender of the same channel, for answers.
    pub(crate) fn run(mut self, inbox: &Receiver<Job>, jobs: &Sender<Job>, shared: &Shared) {
        crate::sys::process::lower_thread_priority();
        loop {
            match inbox.recv_timeout(ROUTES_POLL) {
                Ok(Job::Reload) => {
                    let look = self.file.look_anew();
                    self.take_in(look, shared);
                }
                Ok(Job::Resolved(answer)) => {
                    if self.learn(answer) {
                        self.publish(shared);
                    }
                }
                Ok(Job::ResolvedAll) => self.resolving = false,
                Err(RecvTimeoutError::Timeout) => {
                    let look = self.file.look();
                    self.take_in(look, shared);
                }
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.resolve_if_due(jobs);
            self.publisher.reclaim(Instant::now());
        }
    }

    fn take_in(&mut self, look: Look, shared: &Shared) {
        let path = self.file.path().display();
        match look {
            Look::Same => {}
            Look::Unreadable(error) => {
                tracing::error!(%error, "cannot read {path}; the routes in use are kept");
            }
            Look::Changed(text) => match parse(&text, self.file.path()) {
                Ok(routes) => {
                    self.routes = routes;
                    // New hosts are not to wait for the next round.
                    if self.hosts().iter().any(|host| !self.addresses.contains_key(host)) {
                        self.resolved_at = None;
                    }
                    self.publish(shared);
                }
                Err(problems) => {
                    tracing::error!("{problems}; the routes in use are kept");
                }
            },
        }
    }

    fn publish(&mut self, shared: &Shared) {
        let routes = self.resolved();
        match self.publisher.publish(&routes) {
            Ok(version) => {
                tracing::info!(
                    version,
                    routes = routes.routes.len(),
                    endpoints = routes.clusters.iter().map(|c| c.endpoints.len()).sum::<usize>(),
                    "routes published"
                );
                self.share_table(shared);
            }
            Err(error) => {
                tracing::error!(%error, "routes not published; those in use are kept");
            }
        }
    }

    fn share_table(&self, shared: &Shared) {
        shared.set_table(Arc::new(self.publisher.table().copy()));
    }

    fn resolved(&self) -> crate::route::Routes {
        let mut routes = self.routes.resolve(self.connect_timeout, |name, port| {
            self.addresses.get(&(name.to_owned(), port)).cloned().unwrap_or_default()
        });
        for cluster in &mut routes.clusters {
            cluster.panic_threshold_percent = self.panic_threshold_percent;
        }
        routes
    }

    fn hosts(&self) -> BTreeSet<Host> {
        self.routes.hosts().map(|(name, port)| (name.to_owned(), port)).collect()
    }

    /// Takes in an answer, and says whether it changes the table. A host that stops resolving
    /// keeps its addresses: resolvers fail more often than services move.
    fn learn(&mut self, Answer { host, addresses }: Answer) -> bool {
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

    fn resolve_if_due(&mut self, jobs: &Sender<Job>) {
        let recent = self.resolved_at.is_some_and(|at| at.elapsed() < RESOLVE_INTERVAL);
        if self.resolving || recent {
            return;
        }
        let hosts = self.hosts();
        if hosts.is_empty() {
            self.resolved_at = Some(Instant::now());
            return;
        }
        self.addresses.retain(|host, _| hosts.contains(host));
        let tell = Telling(jobs.clone());
        let started = resolve(hosts, move |answer| tell.0.send(Job::Resolved(answer)).is_ok());
        self.resolving = started.is_ok();
        self.resolved_at = Some(Instant::now());
    }
}

/// Tells the end of a round however it ends.
struct Telling(Sender<Job>);

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = self.0.send(Job::ResolvedAll);
    }
}

/// Parses a routes file; what is wrong comes as one text with a line for each.
pub(crate) fn parse(text: &str, path: &Path) -> Result<RouteFile, String> {
    RouteFile::parse(text, &path.display().to_string())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
