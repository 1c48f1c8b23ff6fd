//! Reads every part once, as whoever follows them would have them in force.

use bytes::Bytes;
use tokio::task::JoinSet;

use super::blocking::Query;
use super::documented::Documented;
use super::follow::{limits_of, now};
use super::merged::{Merged, Place};
use super::{Part, elsewhere};
use crate::consul::agent::{AgentError, Answer, Client};
use crate::limits::AGENT_ELSEWHERE_MAX;

/// Asks for every part once. The gateways come last, merged with what other datacenters say of
/// their own; one that does not answer counts by its federation state.
///
/// Runs on a [`tokio::task::LocalSet`].
///
/// # Errors
/// The agent does not answer for a part.
pub async fn read_once(client: &Client) -> Result<Vec<(Part, Bytes)>, AgentError> {
    let mut merged = Merged::default();
    let mut bodies = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let body = ask(client, part).await?.body;
        let read = merged.take(part, &body);
        // What cannot be read goes on as it is: whoever takes it in says what is wrong with it.
        if part != Part::Gateways || read.is_err() {
            bodies.push((part, body));
        }
    }
    ask_elsewhere(client, &mut merged).await;
    bodies.extend(merged.body().map(|body| (Part::Gateways, body)));
    Ok(bodies)
}

/// Asks the other datacenters side by side: those that are away keep one waiting.
async fn ask_elsewhere(client: &Client, merged: &mut Merged) {
    let mut asking = JoinSet::new();
    for place in merged.places().into_iter().take(AGENT_ELSEWHERE_MAX) {
        let client = client.clone();
        asking.spawn_local(async move {
            let answer = elsewhere::ask(&client, &place, &query()).await;
            (place, answer)
        });
    }
    while let Some(asked) = asking.join_next().await {
        let asked: Option<(Place, Result<Answer, AgentError>)> = asked.ok();
        if let Some((place, Ok(answer))) = asked {
            // One that cannot be read counts as none.
            let _ = merged.there(&place, &answer.body, answer.index);
        }
    }
}

async fn ask(client: &Client, part: Part) -> Result<Answer, AgentError> {
    let scope = Vec::from_iter(part.scope(client));
    match client.get(part.path(), &scope, limits_of(&query())).await {
        Err(error) if !part.is_lasting() || part.is_not_there(&error, false) => {
            Ok(Answer::of_nothing(part.nothing()))
        }
        Err(error) if part == Part::Catalog && error.status() == Some(404) => {
            Documented::default().ask(client, &query()).await
        }
        answered => answered,
    }
}

/// What there is, at once.
fn query() -> Query {
    Query { at: now(), held: None, consistent: false }
}
