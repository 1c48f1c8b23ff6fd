//! Reads and follows what the agent says of a gateway.

use tokio::sync::watch::Sender;
use tokio::time::sleep;

use super::definition::Definition;
use super::error::RegisterError;
use super::introduce::LIMITS;
use super::retry::Retry;
use crate::consul::agent::{AgentError, Answer, Client, Limits, segment};
use crate::kernel::random::Random;
use crate::limits::{DEFINITION_WAIT, REGISTER_RETRY_LEAST, REGISTER_RETRY_MOST};

/// What the agent says of the service with an id.
///
/// # Errors
/// It has none, or cannot be asked.
pub async fn definition(client: &Client, id: &str) -> Result<Definition, RegisterError> {
    let answer = ask(client, id, &[], LIMITS).await?;
    read(&answer, id)
}

/// The same, with the answer as it came: to be kept, and read again by [`Definition::parse`].
///
/// # Errors
/// Those of [`definition`].
pub async fn definition_as_told(
    client: &Client,
    id: &str,
) -> Result<(Definition, Vec<u8>), RegisterError> {
    let answer = ask(client, id, &[], LIMITS).await?;
    Ok((read(&answer, id)?, answer.body.to_vec()))
}

/// Follows what the agent says of the service with an id, and tells each change of it, for as
/// long as somebody listens. While the service is not there, or the agent, the last definition
/// stays in force: [`super::keep`] is who tells of that.
pub async fn follow(client: Client, id: String, found: Sender<Option<Definition>>) {
    let mut retry = Retry::new(Random::from_system());
    let mut hash = None;
    loop {
        let pause = match next(&client, &id, hash.as_deref()).await {
            Ok((definition, new_hash)) => {
                retry.reset();
                hash = new_hash;
                found.send_if_modified(|known| {
                    let is_news = known.as_ref() != Some(&definition);
                    *known = Some(definition);
                    is_news
                });
                // Also where the answer was held: agents may answer early, and again and again.
                if hash.is_some() { REGISTER_RETRY_LEAST } else { REGISTER_RETRY_MOST }
            }
            Err(error) => {
                tracing::debug!(id, %error, "definition not read");
                hash = None;
                retry.next()
            }
        };
        tokio::select! {
            () = found.closed() => return,
            () = sleep(pause) => {}
        }
    }
}

/// The definition, once it is another than that of `hash`, or after [`DEFINITION_WAIT`].
async fn next(
    client: &Client,
    id: &str,
    hash: Option<&str>,
) -> Result<(Definition, Option<String>), RegisterError> {
    let wait = format!("{}s", DEFINITION_WAIT.as_secs());
    let held = hash.map(|hash| [("hash", hash), ("wait", wait.as_str())]);
    let query = held.as_ref().map_or(&[][..], |held| &held[..]);
    // Consul adds up to a sixteenth of the wait.
    let limits = Limits { timeout: DEFINITION_WAIT * 17 / 16 + LIMITS.timeout, ..LIMITS };
    let answer = ask(client, id, query, limits).await?;
    Ok((read(&answer, id)?, answer.content_hash))
}

async fn ask(
    client: &Client,
    id: &str,
    query: &[(&str, &str)],
    limits: Limits,
) -> Result<Answer, RegisterError> {
    let path = format!("/v1/agent/service/{}", segment(id));
    client.get(&path, query, limits).await.map_err(|error| not_defined(error, id))
}

fn not_defined(error: AgentError, id: &str) -> RegisterError {
    // The words tell the agent's answer from that of a proxy in front of it, or of an old agent
    // that does not have this path.
    let is_missing = error.status() == Some(404)
        && error.message().is_some_and(|message| message.contains("unknown service"));
    if is_missing { RegisterError::NotDefined { id: id.to_owned() } } else { error.into() }
}

fn read(answer: &Answer, id: &str) -> Result<Definition, RegisterError> {
    Definition::parse(&answer.body)
        .map_err(|error| RegisterError::Garbled { id: id.to_owned(), reason: error.to_string() })
}
