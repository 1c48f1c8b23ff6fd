//! The life of a registration.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep};

use super::introduce::{beaten_check, introduce};
use super::owned::beat_id;
use super::retry::Retry;
use super::signature::Signature;
use super::{Definition, Health, RegisterError, Registration, RegistrationStatus, definition};
use crate::consul::agent::{AgentError, Client, segment};
use crate::kernel::random::Random;
use crate::limits::BEAT_INTERVAL;

#[cfg(test)]
mod tests;

/// Keeps the gateway known to the agent with the health told last, until the sender of `health`
/// is gone; what it sent last is still told, if the agent can be told. `status` says how it
/// stands: whoever leaves may wait there for [`super::State::Told`].
pub async fn keep(
    client: Client,
    registration: Registration,
    mut health: Receiver<Health>,
    status: Arc<RegistrationStatus>,
) {
    let mut random = Random::from_system();
    let mut keeper = Keeper {
        signature: Signature::new(&mut random),
        tokens: client.token_changes(),
        seen: status.seen(),
        client,
        registration,
        status,
        is_known: false,
        introduced_with: 0,
        failure: None,
        retry: Retry::new(random),
    };
    loop {
        let now = health.borrow_and_update().clone();
        // Not cut short when the health changes: the agent may be at the one message while the
        // next overtakes it. A message takes milliseconds, and at most its timeout.
        let wait = keeper.turn(&now).await;
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            Ok(()) = keeper.tokens.changed() => keeper.take_token(),
            Ok(()) = keeper.seen.changed() => {}
            () = sleep(wait) => {}
        }
    }
}

struct Keeper {
    client: Client,
    registration: Registration,
    status: Arc<RegistrationStatus>,
    /// Counts the tokens that there were.
    tokens: Receiver<u64>,
    /// What the agent says of the service with our id.
    seen: Receiver<Option<Definition>>,
    /// The agent was told who we are, and has not failed since.
    is_known: bool,
    /// With which of the tokens it was told.
    introduced_with: u64,
    /// Of what is written into a check that others may write into, too.
    signature: Signature,
    /// What the operator was told of last, until it works again.
    failure: Option<RegisterError>,
    retry: Retry,
}

impl Keeper {
    /// Tells the health, and who we are where that is needed; returns the time until the next
    /// turn.
    async fn turn(&mut self, health: &Health) -> Duration {
        match self.tell(health).await {
            Ok(()) => {
                self.retry.reset();
                self.failure = None;
                self.status.told(self.registration.id(), health);
                BEAT_INTERVAL
            }
            Err(error) => {
                let error = error.naming_the_right(self.registration.service());
                // Whatever it was: the agent may have been away and be another now. But whoever
                // took our place, or has it with us, is not driven out: both would do so for ever.
                self.is_known &= error.is_of_another_gateway();
                let is_news = self.failure.as_ref().is_none_or(|told| !told.is_like(&error));
                self.status.failed(self.registration.id(), &error, is_news);
                self.failure = Some(error);
                self.retry.next()
            }
        }
    }

    /// There is another token. The agent keeps the one that a registration came with, and writes
    /// to the catalog with it: it has to be told again before that one is no good any more.
    fn take_token(&mut self) {
        self.is_known &= *self.tokens.borrow() == self.introduced_with;
    }

    async fn tell(&mut self, health: &Health) -> Result<(), RegisterError> {
        if matches!(health, Health::Leaving(_)) {
            return self.leave(health).await;
        }
        if self.is_known {
            if let Some(replaced) = self.replaced().await? {
                return Err(replaced);
            }
            let shared = self.shared().await;
            match self.beat(health).await {
                Err(error) if is_forgotten(&error) => {
                    tracing::info!(
                        id = self.registration.id(),
                        "the Consul agent forgot this gateway, and is told again"
                    );
                }
                other => return other.map_err(Into::into).and(shared.map_or(Ok(()), Err)),
            }
        }
        self.client.look_at_token();
        self.introduced_with = *self.tokens.borrow();
        introduce(&self.client, &self.registration, health).await?;
        self.status.introduced();
        // A state that comes with a registration is not kept over a restart of the agent; this
        // one is.
        self.beat(health).await?;
        self.is_known = true;
        Ok(())
    }

    /// Whether another gateway has our id. What was seen may be from before we registered: the
    /// agent is asked before anybody is told.
    async fn replaced(&self) -> Result<Option<RegisterError>, RegisterError> {
        let Registration::Owned(owned) = &self.registration else { return Ok(None) };
        let own = owned.definition();
        let is_other =
            |definition: &Definition| definition.is_mesh_gateway() && !definition.is_where(&own);
        if !self.seen.borrow().as_ref().is_some_and(is_other) {
            return Ok(None);
        }
        match definition(&self.client, owned.id()).await {
            Ok(now) if is_other(&now) => Ok(Some(RegisterError::Replaced {
                id: now.id,
                address: now.address,
                own: own.address,
            })),
            Ok(_) | Err(RegisterError::NotDefined { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether another gateway writes into our check. It is not kept from that, nor are we: which
    /// of the two has the registration is for people to say.
    async fn shared(&mut self) -> Option<RegisterError> {
        let output = self.beaten().await?;
        let other = self.signature.look(&output, Instant::now())?.to_owned();
        Some(RegisterError::Shared { id: self.registration.id().to_owned(), other })
    }

    /// What the check says that others may write into, too.
    async fn beaten(&self) -> Option<String> {
        let Registration::Foreign { proxy_id } = &self.registration else { return None };
        Some(beaten_check(&self.client, proxy_id).await?.output)
    }

    /// Who leaves and is forgotten is gone; nobody is to be told of him again. The health of
    /// whoever took our place, or stays in it, is not ours.
    async fn leave(&mut self, health: &Health) -> Result<(), RegisterError> {
        if self.is_known && (self.replaced().await?.is_some() || self.another_stays().await) {
            return Ok(());
        }
        match self.beat(health).await {
            Err(error) if !is_forgotten(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether another gateway goes on in our place. Where one was there a moment ago and our beat
    /// was the last, its next one tells.
    async fn another_stays(&mut self) -> bool {
        let Some(output) = self.beaten().await else { return false };
        if self.signature.another(&output).is_some() {
            return true;
        }
        if self.signature.look(&output, Instant::now()).is_none() {
            return false;
        }
        sleep(BEAT_INTERVAL + BEAT_INTERVAL / 10).await;
        self.beaten().await.is_some_and(|output| self.signature.another(&output).is_some())
    }

    async fn beat(&self, health: &Health) -> Result<(), AgentError> {
        let path = format!("/v1/agent/check/update/{}", segment(&beat_id(self.registration.id())));
        let output = match self.registration {
            Registration::Owned(_) => health.output().to_owned(),
            Registration::Foreign { .. } => self.signature.sign(health.output()),
        };
        let body = json!({ "Status": health.status(), "Output": output });
        self.client.put(&path, &[], Some(&body)).await.map(drop)
    }
}

/// Whether the agent does not have the check. Consul says it with 500, newer ones with 404.
fn is_forgotten(error: &AgentError) -> bool {
    let message = error.message().unwrap_or_default();
    let is_unknown =
        message.contains("does not have associated TTL") || message.contains("Unknown check");
    matches!(error.status(), Some(404 | 500)) && is_unknown
}
