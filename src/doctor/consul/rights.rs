//! Judges what the token may.

use super::facts::{Facts, There};
use super::{Check, TOKEN};
use crate::consul::agent::AgentError;
use crate::consul::rights::Right;

/// How the rights of a token stand in a datacenter.
enum Rights {
    /// There are no ACLs.
    Off,
    /// The token is not known.
    Unknown,
    /// These lack.
    Lacking(Vec<String>),
    /// Consul does not tell, but shows as little as it does without them.
    Hidden(Vec<String>),
    /// Consul does not tell.
    Untold(String),
}

pub(super) fn token(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![here(facts)];
    for (datacenter, there) in &facts.others {
        checks.extend(elsewhere(datacenter, &rights(there)));
    }
    checks
}

fn here(facts: &Facts) -> Check {
    let remedy = remedy(&facts.subject.service);
    match rights(&facts.own) {
        Rights::Off => Check::not_applicable(TOKEN, "ACLs are off: no token is needed"),
        Rights::Unknown => {
            let found = "Consul does not know the token: it was deleted, has expired, or is of \
                         another cluster";
            Check::fail(TOKEN, found, remedy)
        }
        Rights::Lacking(lacking) if lacking.is_empty() => {
            Check::pass(TOKEN, "it has every right that a gateway needs")
        }
        Rights::Lacking(lacking) => {
            Check::fail(TOKEN, format!("it lacks {}", lacking.join(" and ")), remedy)
        }
        Rights::Hidden(hidden) if hidden.is_empty() => {
            let found = format!(
                "it may read; whether it has service:write on {:?}, this Consul does not tell \
                 without writing",
                facts.subject.service
            );
            Check::warn(TOKEN, found, "`consul acl token read -self` shows its policies")
        }
        Rights::Hidden(hidden) => {
            let found = format!("Consul shows it nothing of {}", hidden.join(" and of "));
            Check::fail(TOKEN, found, remedy)
        }
        Rights::Untold(reason) => {
            Check::warn(TOKEN, reason, "`consul acl token read -self` shows its policies")
        }
    }
}

/// In other datacenters a gateway only reads who their gateways are, and the federation states
/// say so, too.
fn elsewhere(datacenter: &str, rights: &Rights) -> Option<Check> {
    let found = match rights {
        Rights::Unknown => format!("{datacenter:?} does not know it: it is a local token"),
        Rights::Lacking(lacking) => {
            let reading: Vec<&str> =
                lacking.iter().map(String::as_str).filter(|it| it.contains(":read")).collect();
            if reading.is_empty() {
                return None;
            }
            format!("it lacks {} in {datacenter:?}", reading.join(" and "))
        }
        Rights::Off | Rights::Hidden(_) | Rights::Untold(_) => return None,
    };
    let found = format!("{found}, so changes of its gateways are seen up to 5 s later");
    let remedy = "make it in the primary datacenter, without -local, and with policies that are \
                  valid in all datacenters";
    Some(Check::warn(TOKEN, found, remedy))
}

fn rights(there: &There) -> Rights {
    match &there.rights {
        Ok(rights) => {
            let lacking = rights.iter().filter(|right| !right.allow);
            Rights::Lacking(lacking.map(Right::described).collect())
        }
        Err(error) if is_off(error) => Rights::Off,
        Err(error) if is_unknown(error) => Rights::Unknown,
        // Before 1.7 there is no such question.
        Err(error) if matches!(error.status(), Some(404 | 405)) => Rights::Hidden(hidden(there)),
        Err(error) => Rights::Untold(error.to_string()),
    }
}

/// Servers are always there: who sees none may not read services, or not nodes.
fn hidden(there: &There) -> Vec<String> {
    let is_seen = there.servers.as_ref().is_ok_and(|servers| !servers.is_empty());
    if is_seen { Vec::new() } else { vec!["services and nodes".to_owned()] }
}

fn is_off(error: &AgentError) -> bool {
    says(error, "ACL support disabled")
}

fn is_unknown(error: &AgentError) -> bool {
    says(error, "ACL not found")
}

fn says(error: &AgentError, words: &str) -> bool {
    error.message().is_some_and(|said| said.contains(words))
}

fn remedy(service: &str) -> String {
    format!(
        "`consul acl policy create -name sluice -rules 'service \"{service}\" {{ policy = \
         \"write\" }} service_prefix \"\" {{ policy = \"read\" }} node_prefix \"\" {{ policy = \
         \"read\" }}'`, then `consul acl token create -policy-name sluice`, and its SecretID in \
         the file of --token-file"
    )
}
