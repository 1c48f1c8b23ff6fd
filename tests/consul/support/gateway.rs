//! A gateway as far as Consul knows one: a port that listens, and its registration.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use sluice::consul::agent::{AgentFlags, AgentSettings, Client};
use sluice::consul::register::{
    Address, Health, Owned, Registration, RegistrationStatus, State, Wanted, keep,
};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::SOON;
use super::datacenter::Datacenter;
use super::hosts::free_host;

/// The usual name of a gateway, and its port.
pub const NAME: &str = "mesh-gateway";
pub const PORT: u16 = 8443;
/// The checks of one that we register.
pub const BEAT: &str = "sluice:mesh-gateway";
pub const LISTENING: &str = "sluice:mesh-gateway:listening";

/// A gateway of the usual name at a host, as its operator wants it.
pub fn wanted(host: Ipv4Addr) -> Wanted {
    Wanted { lan: Address::new(host.to_string(), PORT), ..Wanted::of_service(NAME) }
}

/// A registration of ours.
pub fn owned(wanted: Wanted) -> Registration {
    Registration::Owned(Box::new(Owned::new(wanted).unwrap()))
}

/// A client of a datacenter's agent, with flags as an operator would type them.
pub fn client(datacenter: &Datacenter, flags: AgentFlags) -> Client {
    let http_addr = flags.http_addr.clone().or_else(|| Some(datacenter.url()));
    client_of(AgentFlags { http_addr, ..flags })
}

pub fn client_of(flags: AgentFlags) -> Client {
    let settings = AgentSettings::from_flags_and_environment(&flags, |_| None).unwrap();
    Client::new(&settings).unwrap()
}

/// Runs a future to its end.
pub fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(SOON, future).await.expect("not in time") })
}

/// A listener at a new host, and a registration that is kept. Ended when dropped, without a word.
pub struct Gateway {
    pub host: Ipv4Addr,
    pub status: Arc<RegistrationStatus>,
    health: Option<watch::Sender<Health>>,
    crash: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _listener: TcpListener,
}

impl Gateway {
    /// A gateway of the usual name, which serves from the beginning.
    pub fn start(datacenter: &Datacenter) -> Self {
        let host = free_host();
        Self::start_as(client(datacenter, AgentFlags::default()), host, owned(wanted(host)))
    }

    /// Any gateway.
    pub fn start_as(client: Client, host: Ipv4Addr, registration: Registration) -> Self {
        Self::start_with(client, host, registration, Health::Passing)
    }

    pub fn start_with(
        client: Client,
        host: Ipv4Addr,
        registration: Registration,
        health: Health,
    ) -> Self {
        // What connects is left in the queue: for Consul's check that is enough.
        let listener = TcpListener::bind((host, PORT)).unwrap();
        let status = Arc::new(RegistrationStatus::default());
        let (health, told) = watch::channel(health);
        let (crash, crashed) = oneshot::channel();
        let kept = keep(client, registration, told, Arc::clone(&status));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = kept => {}
                    _ = crashed => {}
                }
            });
        });
        Self {
            host,
            status,
            health: Some(health),
            crash: Some(crash),
            thread: Some(thread),
            _listener: listener,
        }
    }

    pub fn tell(&self, health: Health) {
        self.health.as_ref().unwrap().send_replace(health);
    }

    /// Waits until the state of the registration is one for which something holds.
    pub fn wait(&self, holds: impl FnMut(&State) -> bool) -> State {
        let mut states = self.status.subscribe();
        wait_for(async { states.wait_for(holds).await.unwrap().clone() })
    }

    /// Waits until the agent was told a health.
    pub fn wait_told(&self, health: &Health) {
        self.wait(|state| matches!(state, State::Told(told) if told == health));
    }

    /// Waits until the agent cannot be told, and says why.
    pub fn wait_failing(&self) -> String {
        match self.wait(|state| matches!(state, State::Failing { .. })) {
            State::Failing { reason, .. } => reason,
            _ => unreachable!("it was waited for"),
        }
    }

    /// Drops the sender of the health, and waits until nothing is kept any more.
    pub fn end(&mut self) {
        self.health.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.crash.take().unwrap().send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
