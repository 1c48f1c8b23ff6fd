//! Regular expressions.

use regex::bytes::{Regex, RegexBuilder};

use crate::limits::FILTER_PATTERN_BYTES_MAX;

use super::error::{FilterError, shown};
use super::go_pattern::translate;

/// A regular expression, which means what it means to Go.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    pub(crate) fn read(text: &[u8]) -> Result<Self, FilterError> {
        let error = |reason: &str| {
            let reason = reason.to_owned();
            FilterError::Pattern { pattern: shown(text), reason }
        };
        let text = std::str::from_utf8(text).map_err(|_| error("it is not UTF-8"))?;
        let translated = translate(text).map_err(error)?;
        let regex = RegexBuilder::new(&translated).size_limit(FILTER_PATTERN_BYTES_MAX).build();
        regex.map(Self).map_err(|why| match why {
            regex::Error::CompiledTooBig(_) => error("it becomes too large"),
            // Shown with its lines, it would be of the translated one.
            _ => error("something in it is unknown, repeats nothing, or is nested too deeply"),
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}
