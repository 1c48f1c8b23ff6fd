//! Peers: who is measured, as described in plain files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod counters;
mod running;

pub(crate) use running::{Running, Start};

/// One file of the folder of peers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// The name of its file.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(skip)]
    folder: PathBuf,
    /// What it is called in reports.
    pub(crate) title: String,
    /// A program in PATH, `@self@` or `@sluice@`; none: the load goes to the backend directly.
    pub(crate) program: Option<String>,
    /// What makes it tell its version.
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    arguments: Vec<String>,
    /// A file beside, which it is started with after its places are filled in.
    config: Option<String>,
    /// For places of its own.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Numbers that it counts itself.
    counters: Option<Counters>,
    /// Whether a line on standard error means that the run does not count.
    #[serde(default)]
    stderr_must_be_empty: bool,
}

/// Where a peer tells its own numbers: JSON over HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    url: String,
    /// JSON pointers (RFC 6901).
    completions: String,
    turns: String,
}

/// Why a peer cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// Its file is wrong.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// Its program is not here.
    #[error("{0} is not installed")]
    Missing(String),
    /// It could not be started.
    #[error("{0} did not start: {1}")]
    NotStarted(String, String),
    /// It ended by itself.
    #[error("{0} ended by itself: {1}")]
    Ended(String, String),
    /// It complained.
    #[error("{0} complained: {1}")]
    Complained(String, String),
}

/// Reads all peers of a folder, by name.
///
/// # Errors
/// The folder, or a file of it, cannot be read.
pub(crate) fn read_all(folder: &Path) -> Result<BTreeMap<String, Peer>, PeerError> {
    let wrong = |path: &Path, error: &dyn ToString| PeerError::File(path.into(), error.to_string());
    let mut peers = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| wrong(folder, &error))?.flatten() {
        let path = entry.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "toml") || name.contains('.') {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| wrong(&path, &error))?;
        let mut peer: Peer = toml::from_str(&text).map_err(|error| wrong(&path, &error))?;
        peer.name = name.to_owned();
        peer.folder = folder.to_owned();
        peers.insert(name.to_owned(), peer);
    }
    Ok(peers)
}

impl Peer {
    /// What it is measured without: the load generator alone.
    pub(crate) fn is_direct(&self) -> bool {
        self.program.is_none()
    }
}

/// Puts values into the places of a text, written `@name@`.
fn fill_in(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("@{name}@"), value);
    }
    filled
}

/// A place that was left, if any.
fn place_left(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let between: Vec<&str> = text.split('@').collect();
    let between = between.get(1..between.len() - 1).unwrap_or_default();
    between.iter().copied().find(|name| !name.is_empty() && name.chars().all(is_name))
}

#[cfg(test)]
mod tests;
