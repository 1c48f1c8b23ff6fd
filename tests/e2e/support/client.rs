//! The sidecar in front of a gateway: mutual TLS, one session at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::backend::{Outcome, Outcomes, Side, is_reset};
use super::certificates::{Authority, server_name};
use super::pattern::Pattern;
use super::plan::{Ending, SessionPlan};

/// What a session may take in all; the largest on a busy machine takes seconds.
const SESSION_TIME_MAX: Duration = Duration::from_secs(120);

/// A mesh of services in one datacenter, and a client of them.
pub struct Mesh {
    config: Arc<ClientConfig>,
    services: Vec<Service>,
    outcomes: Outcomes,
}

/// One service: who it is and where.
pub struct Service {
    /// Its server name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    certificate: CertificateDer<'static>,
}

impl Mesh {
    /// Starts so many services, each with a certificate of its own.
    pub async fn start(count: usize) -> Self {
        let authority = Authority::new();
        let outcomes = Outcomes::default();
        let mut services = Vec::new();
        for index in 0..count {
            let service = format!("backend-{index:02}");
            let leaf = authority.leaf(&service, "dc2");
            let config = authority.server(&leaf);
            let address = super::backend::serve(index, config, outcomes.clone()).await;
            let name = server_name(&service, "dc2");
            services.push(Service { name, address, certificate: leaf.certificate });
        }
        let config = authority.client(&authority.leaf("web", "dc1"));
        Self { config, services, outcomes }
    }

    /// The services.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Runs a session through a gateway, and says what was wrong on either side.
    pub async fn session(&self, gateway: SocketAddr, plan: SessionPlan) -> Outcome {
        let both = async {
            self.client_side(gateway, plan).await.map_err(|why| format!("client: {why}"))?;
            let outcome = self.outcomes.of(plan.nonce).await;
            outcome.map_err(|why| format!("backend: {why}"))
        };
        let outcome = tokio::time::timeout(SESSION_TIME_MAX, both).await;
        let outcome = outcome.unwrap_or_else(|_| Err("it did not end in time".to_owned()));
        outcome.map_err(|why| format!("{why}, in {plan:?}"))
    }

    async fn client_side(&self, gateway: SocketAddr, plan: SessionPlan) -> Outcome {
        let service = &self.services[plan.backend];
        let name = ServerName::try_from(service.name.clone()).unwrap();
        let stream = TcpStream::connect(gateway).await.map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(self.config.clone());
        let mut stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
        let identity = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if identity != Some(&service.certificate) {
            return Err(format!("the peer is not {}", service.name));
        }
        stream.write_all(&plan.to_head()).await.map_err(|e| format!("head: {e}"))?;
        let mut answer = [0; 16];
        match stream.read_exact(&mut answer).await {
            // A reset drops what is under way, the answer too.
            Err(error) if plan.ending == Ending::BackendResets && is_reset(&error) => {
                return Ok(());
            }
            answered => answered.map_err(|error| format!("answer: {error}"))?,
        };
        if answer[..8] != plan.nonce.to_le_bytes() {
            return Err("the answer has another session's nonce".to_owned());
        }
        let side = Side {
            received: Pattern::new(!plan.nonce),
            receive_bytes: plan.down_bytes,
            sent: Pattern::new(plan.nonce),
            send_bytes: plan.up_bytes,
            resets: plan.ending == Ending::ClientResets,
            is_reset: plan.ending == Ending::BackendResets,
            reset_at_bytes: plan.reset_at_bytes,
            sends_last: plan.ending == Ending::BackendFirst,
            stall: Duration::from_millis(plan.client_stall_ms.into()),
        };
        side.run(stream).await
    }
}
