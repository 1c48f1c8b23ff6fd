//! Tells the agent who we are, and overwrites nobody.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::definition::{Definition, MESH_GATEWAY};
use super::owned::{Owned, beat_id};
use super::{Health, RegisterError, Registration, definition};
use crate::consul::agent::{Client, Limits, segment};
use crate::limits::{AGENT_PUT_TIMEOUT, BEAT_TTL, REGISTER_ANSWER_BYTES_MAX};

/// What is taken of an answer to us.
pub(super) const LIMITS: Limits =
    Limits { bytes_max: REGISTER_ANSWER_BYTES_MAX, timeout: AGENT_PUT_TIMEOUT };

/// An entry of `/v1/catalog/service/NAME`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogEntry {
    #[serde(default)]
    node: String,
    #[serde(default)]
    service_kind: String,
}

/// An entry of `/v1/agent/checks`.
#[derive(Deserialize)]
pub(super) struct AgentCheck {
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(rename = "Status", default)]
    status: String,
    #[serde(rename = "Output", default)]
    pub(super) output: String,
}

/// Whether the registration can be made, without making it: the agent answers, the token may
/// ask, and neither id nor name is somebody else's.
///
/// # Errors
/// One sentence for the operator: who refuses, why, what to do.
pub async fn preflight(client: &Client, registration: &Registration) -> Result<(), RegisterError> {
    match registration {
        Registration::Owned(owned) => check(client, owned).await.map(drop),
        Registration::Foreign { proxy_id } => foreign(client, proxy_id).await.map(drop),
    }
}

/// What is registered under the id, if anything is: a mesh gateway then.
async fn check(client: &Client, owned: &Owned) -> Result<Option<Definition>, RegisterError> {
    let found = check_id(client, owned).await?;
    check_name(client, owned).await?;
    Ok(found)
}

/// Makes the registration, or attaches the check to that of others. The check exists then, but
/// is told nothing yet.
pub(super) async fn introduce(
    client: &Client,
    registration: &Registration,
    health: &Health,
) -> Result<(), RegisterError> {
    match registration {
        Registration::Owned(owned) => {
            if let Some(found) = check(client, owned).await? {
                tell_of_whom_we_replace(client, owned, &found).await;
            }
            register(client, owned, health).await
        }
        Registration::Foreign { proxy_id } => {
            foreign(client, proxy_id).await?;
            attach(client, proxy_id, health).await
        }
    }
}

/// A gateway that was restarted with another address leaves its registration to itself; but one
/// that is beaten still may be another one.
async fn tell_of_whom_we_replace(client: &Client, owned: &Owned, found: &Definition) {
    let own = owned.definition();
    if found.is_where(&own) {
        return;
    }
    let checks = agent_checks(client, &[]).await.unwrap_or_default();
    if checks.get(&beat_id(owned.id())).is_some_and(|check| check.status == "passing") {
        tracing::warn!(
            id = owned.id(),
            "this gateway, at {}, takes the place of one at {}, which passed its check until now: \
             if that one runs still, give each an id of its own with --proxy-id",
            own.address,
            found.address
        );
    }
}

async fn register(client: &Client, owned: &Owned, health: &Health) -> Result<(), RegisterError> {
    // Not with ?replace-existing-checks: that would end a maintenance (_service_maintenance is
    // a check like any other).
    let body = owned.body(health.status());
    client.put("/v1/agent/service/register", &[], Some(&body)).await?;
    drop_inherited_checks(client, owned.id()).await;
    Ok(())
}

/// Removes the checks that came with an earlier registration of the same id, such as Envoy's:
/// one that looks at a port that nobody uses any more would keep us critical for ever. Those
/// that were attached since, maintenance among them, have other ids and stay.
async fn drop_inherited_checks(client: &Client, id: &str) {
    let Some(checks) = agent_checks(client, &[]).await else { return };
    for check in checks.values().filter(|check| check.service_id == id) {
        if is_of_a_registration(&check.id, id) {
            let path = format!("/v1/agent/check/deregister/{}", segment(&check.id));
            if let Err(error) = client.put(&path, &[], None).await {
                tracing::warn!(check = ?check.id, "an earlier check is still there: {error}");
            }
        }
    }
}

/// The checks of the agent, by id; `None` if it does not tell them.
async fn agent_checks(
    client: &Client,
    query: &[(&str, &str)],
) -> Option<BTreeMap<String, AgentCheck>> {
    let answer = client.get("/v1/agent/checks", query, LIMITS).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

/// The check of a service that is beaten; `None` if the agent does not tell it.
pub(super) async fn beaten_check(client: &Client, id: &str) -> Option<AgentCheck> {
    let beaten = beat_id(id);
    // As JSON writes it, go-bexpr reads it. Before 1.5 no filter is looked at, and all come.
    let filter = format!("CheckID == {}", serde_json::Value::from(beaten.as_str()));
    agent_checks(client, &[("filter", &filter)]).await?.remove(&beaten)
}

/// Whether a check has the id that Consul gives to one of a registration: `service:ID`, or
/// `service:ID:N` where there are several.
fn is_of_a_registration(check: &str, service_id: &str) -> bool {
    let rest = check.strip_prefix("service:").and_then(|rest| rest.strip_prefix(service_id));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix(':').is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

async fn attach(client: &Client, id: &str, health: &Health) -> Result<(), RegisterError> {
    let body = json!({
        "ID": beat_id(id),
        "Name": "Sluice ready",
        "ServiceID": id,
        "TTL": format!("{}s", BEAT_TTL.as_secs()),
        "Status": health.status(),
    });
    client.put("/v1/agent/check/register", &[], Some(&body)).await?;
    Ok(())
}

/// The definition of a gateway by others.
async fn foreign(client: &Client, id: &str) -> Result<Definition, RegisterError> {
    let found = definition(client, id).await?;
    if !found.is_mesh_gateway() {
        return Err(RegisterError::NotAGateway { id: found.id, kind: found.kind });
    }
    Ok(found)
}

async fn check_id(client: &Client, owned: &Owned) -> Result<Option<Definition>, RegisterError> {
    match definition(client, owned.id()).await {
        Ok(found) if found.is_mesh_gateway() => Ok(Some(found)),
        Ok(found) => Err(RegisterError::IdTaken { id: found.id, kind: found.kind }),
        Err(RegisterError::NotDefined { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks through the catalog, which other nodes write to as well. Not to be able to is no reason
/// to stay unknown to the agent: it takes registrations while no server can be reached.
async fn check_name(client: &Client, owned: &Owned) -> Result<(), RegisterError> {
    let path = format!("/v1/catalog/service/{}", segment(owned.service()));
    // From any server: without a leader, the others would hold us up for seconds.
    let answer = client.get(&path, &[("stale", "")], LIMITS).await;
    let Ok(answer) = answer else { return Ok(()) };
    let entries: Vec<CatalogEntry> = serde_json::from_slice(&answer.body).unwrap_or_default();
    match entries.into_iter().find(|entry| entry.service_kind != MESH_GATEWAY) {
        None => Ok(()),
        Some(CatalogEntry { node, service_kind: kind }) => {
            Err(RegisterError::NameTaken { service: owned.service().to_owned(), kind, node })
        }
    }
}
