//! Questions to the agent, and answers as they are.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::consul::agent::{AgentError, Client, Limits};
use crate::limits::{AGENT_ANSWER_BYTES_MAX, DOCTOR_PATIENCE};

/// An answer, or why there is none.
pub(crate) type Asked<T> = Result<T, AgentError>;

const LIMITS: Limits = Limits { bytes_max: AGENT_ANSWER_BYTES_MAX, timeout: DOCTOR_PATIENCE };

/// Asks for something; `null`, which Go writes for an empty list, is what is empty.
pub(crate) async fn get<T: DeserializeOwned + Default>(
    client: &Client,
    path: &str,
    query: &[(&str, &str)],
) -> Asked<T> {
    client.read(path, &client.get(path, query, LIMITS).await?)
}

/// Asks a question that needs a body.
pub(crate) async fn post<T: DeserializeOwned + Default>(
    client: &Client,
    path: &str,
    query: &[(&str, &str)],
    body: &Value,
) -> Asked<T> {
    client.read(path, &client.post(path, query, body, LIMITS).await?)
}
