//! In what we differ from Consul's Envoy gateways on purpose: the list in `differences.toml`.

use regex::Regex;
use serde::Deserialize;

/// The list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    what: String,
    why: String,
    /// Regular expressions for whole lines of [`super::facts::Facts::differences`].
    lines: Vec<String>,
}

impl Differences {
    pub fn listed() -> Self {
        let listed: Self = toml::from_str(include_str!("differences.toml")).unwrap();
        for Difference { what, why, lines } in &listed.difference {
            assert!(!why.is_empty() && !lines.is_empty(), "{what}");
        }
        listed
    }

    /// What no difference on the list explains.
    pub fn unlisted(&self, lines: &[String]) -> Vec<String> {
        let patterns: Vec<Regex> = self.patterns().map(|(_, pattern)| pattern).collect();
        let is_listed = |line: &&String| patterns.iter().any(|pattern| pattern.is_match(line));
        lines.iter().filter(|line| !is_listed(line)).cloned().collect()
    }

    /// What is on the list and not among these lines.
    pub fn unseen(&self, lines: &[String]) -> Vec<String> {
        self.patterns()
            .filter(|(_, pattern)| !lines.iter().any(|line| pattern.is_match(line)))
            .map(|(what, pattern)| format!("{what}: {pattern}"))
            .collect()
    }

    fn patterns(&self) -> impl Iterator<Item = (&str, Regex)> {
        let each = self
            .difference
            .iter()
            .flat_map(|listed| listed.lines.iter().map(|pattern| (listed.what.as_str(), pattern)));
        each.map(|(what, pattern)| (what, Regex::new(&format!("^(?:{pattern})$")).unwrap()))
    }
}
