//! What each flag comes to, and where that is from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::ConfigError;
use crate::cli::words::Flag;

/// Where a value is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The command line.
    Flag,
    /// This variable of the environment.
    Variable(String),
    /// This line of a file.
    File {
        /// The file.
        path: Arc<PathBuf>,
        /// The line, from 1.
        line: usize,
    },
}

impl Origin {
    /// Whether an error that names the flag leaves open where its value is from.
    const fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Variable(_) | Self::File { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A flag, as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, without dashes.
    pub name: String,
    /// Its values; none where it has no default, and nobody gave one.
    pub values: Vec<String>,
    /// Where they are from.
    pub origin: Origin,
}

impl Setting {
    /// The values, for people: nothing secret is in it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.values.as_slice() {
            [] => "-".to_owned(),
            _ if is_secret(&self.name) => "(hidden)".to_owned(),
            values => values.join(", "),
        }
    }
}

/// All flags of `sluice run`, in the order of its help. None where a gateway is embedded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Effective(Vec<Setting>);

impl Effective {
    /// Reads what clap made of a command line. `origin_of`: who has said a flag. `variable_of`:
    /// Consul's variable for a flag, and what it says.
    pub(super) fn new(
        matches: &ArgMatches,
        flags: &[Flag],
        origin_of: impl Fn(&str) -> Option<Origin>,
        variable_of: impl Fn(&str) -> Option<(String, String)>,
    ) -> Self {
        let setting = |flag: &Flag| {
            let raw = matches.get_raw(&flag.id()).into_iter().flatten();
            let values = raw.map(|value| value.to_string_lossy().into_owned()).collect();
            let origin = origin_of(&flag.name).unwrap_or_default();
            // clap knows nothing of Consul's variables.
            let values = match (&origin, variable_of(&flag.name)) {
                (Origin::Variable(name), Some((variable, value))) if *name == variable => {
                    vec![value]
                }
                _ => values,
            };
            Setting { name: flag.name.clone(), values, origin }
        };
        Self(flags.iter().map(setting).collect())
    }

    /// All of them.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.0
    }

    /// The flags of which `other` has other values.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&other.0);
        let changed = pairs.filter(|(this, that)| this.values != that.values);
        changed.map(|(setting, _)| setting.name.clone()).collect()
    }

    /// These, with those of `newer` for which `is_taken` holds.
    #[must_use]
    pub fn updated(&self, newer: &Self, is_taken: impl Fn(&str) -> bool) -> Self {
        let pairs = self.0.iter().zip(&newer.0);
        let pick = |(this, that): (&Setting, &Setting)| {
            if is_taken(&this.name) || this.values == that.values { that } else { this }.clone()
        };
        Self(pairs.map(pick).collect())
    }

    /// Where the value is from that an error complains of, if not from the command line.
    pub(super) fn place_of(&self, error: &ConfigError) -> Option<&Origin> {
        let text = error.to_string();
        let complained = |setting: &&Setting| match error.flag() {
            Some(flag) => flag.strip_prefix("--") == Some(setting.name.as_str()),
            None => setting.values.iter().any(|value| text.contains(&format!("{value:?}"))),
        };
        let origin = self.0.iter().find(complained).map(|setting| &setting.origin)?;
        origin.is_elsewhere().then_some(origin)
    }

    /// For `/config`: where each value is from, that is no default.
    #[must_use]
    pub fn origins(&self) -> Value {
        let given = self.0.iter().filter(|setting| setting.origin != Origin::Default);
        given.map(|setting| (setting.name.clone(), json!(setting.origin.to_string()))).collect()
    }
}

/// Secrets are in no output of this program, not even of one that looks for mistakes.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|s| (s.name.as_str(), s.shown(), s.origin.to_string()));
        f.debug_list().entries(shown).finish()
    }
}

fn is_secret(name: &str) -> bool {
    name == "token"
}
