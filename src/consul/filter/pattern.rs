//! Regular expressions.

use regex::{Regex, RegexBuilder};

use crate::limits::FILTER_PATTERN_BYTES_MAX;

use super::error::{FilterError, shown};

/// A regular expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn read(text: &[u8]) -> Result<Self, FilterError> {
        let error = |reason| FilterError::Pattern { pattern: shown(text), reason };
        let text = std::str::from_utf8(text).map_err(|_| error("it is not UTF-8".to_owned()))?;
        let regex = RegexBuilder::new(text).size_limit(FILTER_PATTERN_BYTES_MAX).build();
        regex.map(Self).map_err(|why| error(why.to_string()))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
