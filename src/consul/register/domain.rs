//! The domain that names of Consul's servers end with: the agents' `domain`.

use serde::Deserialize;
use tokio::sync::watch::Sender;
use tokio::time::sleep;

use super::introduce::LIMITS;
use super::retry::Retry;
use crate::consul::agent::{AgentError, Client};
use crate::consul::names::SERVER_DOMAIN;
use crate::kernel::random::Random;
use crate::limits::AGENT_RESYNC;

/// `/v1/agent/self`, as far as it is needed.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct AgentSelf {
    debug_config: DebugConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DebugConfig {
    #[serde(rename = "DNSDomain")]
    domain: String,
}

/// The agent's domain; `None` if it does not say one.
///
/// # Errors
/// The agent cannot be asked, or the token may not read this (`agent:read`): no other answer has
/// the domain.
pub async fn server_domain(client: &Client) -> Result<Option<String>, AgentError> {
    let answer = client.get("/v1/agent/self", &[], LIMITS).await?;
    let agent: AgentSelf = serde_json::from_slice(&answer.body).unwrap_or_default();
    let domain = agent.debug_config.domain;
    Ok(Some(domain.trim_end_matches('.').to_owned()).filter(|domain| !domain.is_empty()))
}

/// Follows the agent's domain, and tells each change of it, for as long as somebody listens. What
/// cannot be read stays as it was.
pub async fn follow_server_domain(client: Client, found: Sender<Option<String>>) {
    let mut retry = Retry::new(Random::from_system());
    let mut is_told = false;
    loop {
        let turn = client.turn().await;
        let asked = server_domain(&client).await;
        drop(turn);
        let pause = match asked {
            Ok(domain) => {
                retry.reset();
                if domain.is_some() {
                    found.send_if_modified(|known| {
                        let is_news = *known != domain;
                        *known = domain;
                        is_news
                    });
                }
                AGENT_RESYNC
            }
            Err(error) if error.status() == Some(403) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::info!(
                        "the token may not read the agent's domain (agent:read): if names of \
                         Consul's servers end with another than {SERVER_DOMAIN:?}, say it with \
                         --server-domain"
                    );
                }
                AGENT_RESYNC
            }
            Err(error) => {
                tracing::debug!(%error, "domain not read");
                retry.next()
            }
        };
        tokio::select! {
            () = found.closed() => return,
            () = sleep(pause) => {}
        }
    }
}
