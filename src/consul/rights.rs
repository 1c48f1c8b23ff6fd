//! What Consul lets a token do.
//!
//! A token without rights is not refused: it is answered with lists that lack what it may not
//! read. What is always there, Consul's own servers, tells the one from the other.

use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{AgentError, Client, Limits};

/// Where Consul is asked what a token may (since 1.7); one of its user interface's.
pub(crate) const PATH: &str = "/v1/internal/acl/authorize";

/// Whether a token may do something: an element of the answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Right {
    /// `service` or `node`.
    pub(crate) resource: String,
    /// Whose; empty for all.
    pub(crate) segment: String,
    /// `read` or `write`.
    pub(crate) access: String,
    /// Whether it may.
    pub(crate) allow: bool,
}

impl Right {
    /// As people say it: `node:read on all`.
    pub(crate) fn described(&self) -> String {
        let Self { resource, segment, access, .. } = self;
        match segment.as_str() {
            "" => format!("{resource}:{access} on all"),
            name => format!("{resource}:{access} on {name:?}"),
        }
    }

    /// The rule of a policy that gives it.
    fn rule(&self) -> String {
        let Self { resource, segment, access, .. } = self;
        let rule = if segment.is_empty() { format!("{resource}_prefix") } else { resource.clone() };
        format!("{rule} \"{segment}\" {{ policy = \"{access}\" }}")
    }
}

/// The rights that a gateway's token needs to read, and to write where its service is named: what
/// is to be asked. An empty segment asks for what is said of all.
pub(crate) fn needed(service: Option<&str>) -> Value {
    let read = |resource| json!({ "Resource": resource, "Segment": "", "Access": "read" });
    let write =
        service.map(|name| json!({ "Resource": "service", "Segment": name, "Access": "write" }));
    write.into_iter().chain([read("service"), read("node")]).collect()
}

/// Why lists lack what the token may not read; `None` if it is shown what is always there.
/// `datacenter`: `None` for the own one.
///
/// # Errors
/// The agent cannot be asked.
pub(crate) async fn hidden(
    client: &Client,
    datacenter: Option<&str>,
    limits: Limits,
) -> Result<Option<String>, AgentError> {
    let named = datacenter.map(|name| ("dc", name));
    let mut query: Vec<(&str, &str)> = named.into_iter().collect();
    if client.namespace().is_some() {
        query.push(("ns", "default"));
    }
    let servers = client.get("/v1/health/service/consul", &query, limits).await?;
    if !is_empty(&servers.body) {
        return Ok(None);
    }
    let query: Vec<(&str, &str)> = named.into_iter().collect();
    // Whoever does not say it leaves both open.
    let answer = client.post(PATH, &query, &needed(None), limits).await;
    let rights: Vec<Right> = answer
        .ok()
        .and_then(|answer| serde_json::from_slice(&answer.body).ok())
        .unwrap_or_default();
    // Nodes first: without them not even the names of services are told.
    let lacking: Vec<Right> = rights.into_iter().rev().filter(|right| !right.allow).collect();
    let place = datacenter.map_or_else(String::new, |name| format!(" of the datacenter {name:?}"));
    Ok(Some(sentence(client, &place, &lacking)))
}

/// Whether an answer is a list of nothing, as Go writes it.
pub(crate) fn is_empty(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"" | b"[]" | b"{}" | b"null")
}

fn sentence(client: &Client, place: &str, lacking: &[Right]) -> String {
    let (told, rules) = match lacking {
        [] => (
            "node:read or service:read".to_owned(),
            "node_prefix \"\" { policy = \"read\" } service_prefix \"\" { policy = \"read\" }"
                .to_owned(),
        ),
        _ => (
            lacking.iter().map(Right::described).collect::<Vec<_>>().join(" and "),
            lacking.iter().map(Right::rule).collect::<Vec<_>>().join(" "),
        ),
    };
    format!(
        "the Consul agent at {} does not show this token even the servers{place}: the token lacks \
         {told}; give it a policy with {rules}",
        client.address()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::consul::agent::fake::{Asked, Fake, Reply, reply, run};
    use crate::consul::agent::{Address, AgentSettings};

    /// What is hidden by an agent that answers thus for servers and for rights.
    fn hidden_by(
        servers: &'static str,
        status: &'static str,
        rights: &'static str,
    ) -> Option<String> {
        run(true, async {
            let (_fake, address) = Fake::start(move |asked: &Asked| {
                let (status, body) = match asked.line.starts_with("POST ") {
                    true => (status, rights),
                    false => ("200 OK", servers),
                };
                Reply::Raw(reply(status, "", body))
            })
            .await;
            let url = format!("http://{address}").parse().unwrap();
            let client = Client::new(&AgentSettings::at(Address::Url(url))).unwrap();
            let limits = Limits { bytes_max: 1 << 16, timeout: Duration::from_secs(5) };
            hidden(&client, None, limits).await.unwrap()
        })
    }

    #[test]
    fn whoever_sees_the_servers_is_shown_what_is_there() {
        assert_eq!(hidden_by("[{}]", "500 No", ""), None);
    }

    #[test]
    fn what_lacks_is_named_with_the_rule_that_gives_it() {
        let rights = r#"[
            {"Resource":"service","Segment":"","Access":"read","Allow":true},
            {"Resource":"node","Segment":"","Access":"read","Allow":false}
        ]"#;
        let told = hidden_by("[]", "200 OK", rights).unwrap();
        assert!(told.contains("the token lacks node:read on all; "), "{told}");
        assert!(told.ends_with("node_prefix \"\" { policy = \"read\" }"), "{told}");
        // Before 1.7 nobody says which.
        let told = hidden_by("null", "404 Not Found", "").unwrap();
        assert!(told.contains("lacks node:read or service:read; "), "{told}");
    }
}
