//! What is asked of `/stats`.

use regex::{Regex, RegexBuilder};

use crate::admin::complaint::Complaint;
use crate::limits::STATS_FILTER_BYTES_MAX;

/// Which figures are wanted.
#[derive(Clone, Debug, Default)]
pub(in crate::admin) struct Query {
    filter: Option<Regex>,
    used_only: bool,
}

impl Query {
    /// Reads `filter` and `usedonly`.
    ///
    /// # Errors
    /// The filter is no regular expression.
    pub(in crate::admin) fn parse(
        filter: Option<&str>,
        used_only: bool,
    ) -> Result<Self, Complaint> {
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern).size_limit(STATS_FILTER_BYTES_MAX).build().map_err(|error| {
                // The first lines of a regex::Error repeat the pattern, and point into it.
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                Complaint::bad(format!("filter={pattern:?} is no regular expression: {reason}"))
            })
        };
        Ok(Self { filter: filter.map(compile).transpose()?, used_only })
    }

    pub(super) fn wants(&self, name: &str, value: u64) -> bool {
        (value != 0 || !self.used_only)
            && self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }
}
