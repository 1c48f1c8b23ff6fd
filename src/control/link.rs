//! The gateway's ties to Consul: follows its answers, and keeps the gateway registered.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::{oneshot, watch as channel};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::builder::Job;
use super::source::consul::Offer;
use crate::consul::agent::Client;
use crate::consul::register::{self, Health, Registration, RegistrationStatus, State};
use crate::consul::watch::{Elsewhere, Part, Reading, Status, Verdict};
use crate::limits::TOKEN_POLL;

/// What ties a gateway to Consul.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) registration: Registration,
    /// Whether the agent is to be asked for its domain: nobody said it.
    pub(crate) asks_domain: bool,
    pub(crate) status: Arc<Status>,
    pub(crate) registered: Arc<RegistrationStatus>,
    pub(crate) jobs: Sender<Job>,
    pub(crate) health: channel::Receiver<Health>,
    /// Where metrics are asked for, beside the admin server.
    pub(crate) scraped_at: channel::Sender<Option<SocketAddr>>,
}

impl Link {
    /// Follows and keeps from now on, on tasks of this thread.
    pub(crate) fn begin(self) -> Farewell {
        let jobs = self.jobs.clone();
        let offer = async move |part, body, reading| offer(&jobs, part, body, reading).await;
        let followed = Elsewhere::new(self.client.clone(), Arc::clone(&self.status), offer);
        for part in Part::ALL {
            spawn_local(Rc::clone(&followed).follow(part));
        }
        let id = self.registration.id().to_owned();
        let following = Following {
            jobs: self.jobs,
            registered: Arc::clone(&self.registered),
            scraped_at: self.scraped_at,
            asks_domain: self.asks_domain,
        };
        spawn_local(following.run(self.client.clone(), id));
        let registered = Arc::clone(&self.registered);
        spawn_local(look_at_token(self.client.clone()));
        spawn_local(follow_token(self.client.clone(), Arc::clone(&self.status)));
        spawn_local(nudge(Arc::clone(&self.registered), self.status));
        spawn_local(register::keep(self.client, self.registration, self.health, self.registered));
        Farewell(registered)
    }
}

/// Notices another token in the token file while the agent holds all questions.
async fn look_at_token(client: Client) {
    loop {
        sleep(TOKEN_POLL).await;
        client.look_at_token();
    }
}

/// What is held was asked with a token that may have shown less, or that is about to end.
async fn follow_token(client: Client, status: Arc<Status>) {
    let mut tokens = client.token_changes();
    while tokens.changed().await.is_ok() {
        status.ask_anew();
    }
}

/// Who beats learns first that the agent is back: those that wait after a failure ask again.
async fn nudge(registered: Arc<RegistrationStatus>, status: Arc<Status>) {
    let mut states = registered.subscribe();
    while states.changed().await.is_ok() {
        if matches!(*states.borrow_and_update(), State::Told(_)) {
            status.nudge();
        }
    }
}

/// Brings an answer to the builder, and waits for what it makes of it.
async fn offer(jobs: &Sender<Job>, part: Part, body: bytes::Bytes, reading: Reading) -> Verdict {
    let (reply, verdict) = oneshot::channel();
    let offered = jobs.send(Job::Answer(Offer { part, body, reading, reply }));
    match (offered, verdict.await) {
        (Ok(()), Ok(verdict)) => verdict,
        // The builder has ended, and so will this task.
        _ => std::future::pending().await,
    }
}

/// What the agent says of the gateway has settings for the table, and says where metrics are
/// wanted. A gateway to servers needs the domain of their names, too, if that is to be asked for.
struct Following {
    jobs: Sender<Job>,
    registered: Arc<RegistrationStatus>,
    scraped_at: channel::Sender<Option<SocketAddr>>,
    asks_domain: bool,
}

impl Following {
    async fn run(mut self, client: Client, id: String) {
        let (sender, mut found) = channel::channel(None);
        spawn_local(register::follow(client.clone(), id, sender));
        while found.changed().await.is_ok() {
            let Some(definition) = found.borrow_and_update().clone() else { continue };
            if self.asks_domain && definition.exposes_servers() {
                self.asks_domain = false;
                spawn_local(follow_server_domain(client.clone(), self.jobs.clone()));
            }
            self.registered.saw(definition.clone());
            let wanted = definition.options.prometheus_bind;
            self.scraped_at.send_if_modified(|at| std::mem::replace(at, wanted) != wanted);
            if self.jobs.send(Job::Define(Box::new(definition))).is_err() {
                return;
            }
        }
    }
}

async fn follow_server_domain(client: Client, jobs: Sender<Job>) {
    let (sender, mut found) = channel::channel(None);
    spawn_local(register::follow_server_domain(client, sender));
    while found.changed().await.is_ok() {
        let domain = found.borrow_and_update().clone();
        if domain.is_some_and(|domain| jobs.send(Job::ServerDomain(domain)).is_err()) {
            return;
        }
    }
}

/// The end of the ties.
#[derive(Debug)]
pub(crate) struct Farewell(Arc<RegistrationStatus>);

impl Farewell {
    /// Waits until the agent was told that the gateway leaves, but no longer than so long.
    pub(crate) async fn told(self, patience: Duration) {
        let mut states = self.0.subscribe();
        let told = states.wait_for(|state| matches!(state, State::Told(Health::Leaving(_))));
        if timeout(patience, told).await.is_err() {
            tracing::warn!("the Consul agent was not told that this gateway leaves");
        }
    }
}
