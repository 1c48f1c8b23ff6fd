//! Health checks.

use serde::Deserialize;

use super::or_default;

/// A health check. Maintenance is one that is critical.
///
/// What it put out last is not here: it changes with every run, and a table must not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Check {
    /// Its node.
    #[serde(deserialize_with = "or_default")]
    pub node: String,
    /// Its identity on its node.
    #[serde(rename = "CheckID", deserialize_with = "or_default")]
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it says.
    #[serde(deserialize_with = "or_default")]
    pub status: Status,
    /// What people are to know of it.
    #[serde(deserialize_with = "or_default")]
    pub notes: String,
    /// The instance that it is for; empty: the node.
    #[serde(rename = "ServiceID", deserialize_with = "or_default")]
    pub service_id: String,
    /// The name of that instance's service.
    #[serde(deserialize_with = "or_default")]
    pub service_name: String,
    /// That instance's tags.
    #[serde(deserialize_with = "or_default")]
    pub service_tags: Vec<String>,
    /// How it is made: `http`, `tcp`, `ttl` and so on.
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
}

/// What a check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Passing,
    /// It works, and something is wrong.
    Warning,
    /// It does not work.
    Critical,
    /// A word that Consul does not use.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Status {
    /// As Consul writes it; `unknown` for what it does not use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}
