//! Asks for a page of an admin server, within bounds: whatever listens there may answer.

use reqwest::header::LOCATION;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout_at};

use super::EnvoyError;
use crate::limits::{ENVOY_ANSWER_BYTES_MAX, ENVOY_PATIENCE};
use crate::listing::admin::{innermost, no_tls};

/// The body of a page.
///
/// # Errors
/// See [`EnvoyError`].
pub(super) async fn get(server: &Url, page: &str) -> Result<Vec<u8>, EnvoyError> {
    let url = at(server, page);
    let no_answer = |reason: String| EnvoyError::NoAnswer { url: url.clone(), reason };
    let late = |_| no_answer(format!("not all of it within {} s", ENVOY_PATIENCE.as_secs()));
    let deadline = Instant::now() + ENVOY_PATIENCE;
    let tls = no_tls().map_err(|error| no_answer(error.to_string()))?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| no_answer(innermost(&error)))?;
    let asked = timeout_at(deadline, client.get(&url).send()).await.map_err(late)?;
    let mut answer = asked.map_err(|error| no_answer(innermost(&error)))?;
    if !answer.status().is_success() {
        return Err(EnvoyError::NoEnvoy { reason: refusal(&answer), url });
    }
    let mut body = Vec::new();
    loop {
        let chunk = timeout_at(deadline, answer.chunk()).await.map_err(late)?;
        let chunk = chunk.map_err(|error| {
            no_answer(format!("{} after {} bytes of its answer", innermost(&error), body.len()))
        })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len().saturating_add(chunk.len()) > ENVOY_ANSWER_BYTES_MAX {
            return Err(EnvoyError::TooLarge { url });
        }
        body.extend_from_slice(&chunk);
    }
}

/// A page of a server, as one writes it.
pub(super) fn at(server: &Url, page: &str) -> String {
    format!("{}{page}", server.origin().ascii_serialization())
}

/// What an answer says that is none.
fn refusal(answer: &Response) -> String {
    let status = answer.status();
    let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    match to.filter(|_| status.is_redirection()) {
        Some(to) => format!("it redirects to {to:?}, which is not followed"),
        None => format!("it says {status}"),
    }
}
