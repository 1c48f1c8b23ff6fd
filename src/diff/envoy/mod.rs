//! What an Envoy that runs as a mesh gateway routes by, read from its admin server.
//!
//! * `fetch`: asks for a page, and takes no more than is sensible.
//! * `dump`: the parts of `/config_dump` that decide about routes, and `/clusters` of Envoys that
//!   do not tell endpoints there (before 1.16).
//! * `read`: what listeners, clusters and endpoints mean together.
//!
//! Sources: Envoy's `envoy/admin/v3/config_dump.proto` and its documentation of the admin
//! interface.

mod dump;
mod fetch;
mod read;
#[cfg(test)]
mod tests;

use reqwest::Url;

use super::facts::Facts;
use crate::limits::ENVOY_ANSWER_BYTES_MAX;
use dump::{Dump, Statuses};
use fetch::get;

const CONFIG_DUMP: &str = "/config_dump?include_eds";
const CLUSTERS: &str = "/clusters?format=json";

/// Why Envoy's table cannot be had. One sentence for the operator: who refused, why, and what to
/// do.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// No answer, or not all of it.
    #[error(
        "no Envoy answers at {url} ({reason}): name its admin server with --envoy-admin, as \
         `admin` of its bootstrap has it, or -admin-bind of `consul connect envoy`"
    )]
    NoAnswer {
        /// What was asked for.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It answered otherwise than Envoy's admin server does.
    #[error(
        "what answers at {url} is not the admin server of an Envoy ({reason}): name that with \
         --envoy-admin"
    )]
    NoEnvoy {
        /// What was asked for.
        url: String,
        /// What it does instead.
        reason: String,
    },
    /// It goes on and on.
    #[error(
        "what answers at {url} sends more than {ENVOY_ANSWER_BYTES_MAX} bytes, and is not read \
         further: is it the admin server of an Envoy?"
    )]
    TooLarge {
        /// What was asked for.
        url: String,
    },
}

/// What `--envoy-admin` means; `None`: nothing.
pub(super) fn url(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).ok()?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
    (url.scheme() == "http" && url.has_host() && is_bare).then_some(url)
}

/// Reads the table of the Envoy whose admin server is there.
///
/// # Errors
/// See [`EnvoyError`].
pub(super) async fn table(url: &Url) -> Result<Facts, EnvoyError> {
    let dump = get(url, CONFIG_DUMP).await?;
    let dump = Dump::parse(&dump).map_err(|reason| no_envoy(url, CONFIG_DUMP, reason))?;
    let statuses = match dump.has_endpoints() {
        true => Statuses::default(),
        false => {
            let statuses = get(url, CLUSTERS).await?;
            Statuses::parse(&statuses).map_err(|reason| no_envoy(url, CLUSTERS, reason))?
        }
    };
    Ok(read::facts(&dump, &statuses))
}

fn no_envoy(url: &Url, page: &str, reason: String) -> EnvoyError {
    EnvoyError::NoEnvoy { url: fetch::at(url, page), reason }
}
