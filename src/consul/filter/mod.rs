//! The filters of service-resolver entries: go-bexpr 0.1 over an instance with its node and
//! checks, as Consul 1.8 evaluates them.
//!
//! ```text
//!   text ─▶ grammar ─▶ Expression<Comparison> ─▶ condition, field ─▶ Expression<Condition> ─▶ bool
//!           (quoted)                             (number, pattern)       + Subject
//! ```
//!
//! All that can be wrong with a filter is wrong when it is read: evaluating one never fails. What
//! a filter says of a key that a map does not have is decided as there: nothing is equal to it,
//! in it or contained by it, and everything else holds, `matches` included. Of a list of things
//! (checks, upstreams, paths) one has to fit. Checks' output is the one field that Consul has and
//! this has not: it changes with every run of a check, and a table must not.

mod condition;
mod error;
mod expression;
mod field;
mod go_pattern;
mod grammar;
mod number;
mod pattern;
mod quoted;

pub use error::FilterError;
pub use field::Subject;
pub(crate) use pattern::Pattern;
pub(crate) use quoted::unquote;

use crate::limits::FILTER_BYTES_MAX;

use condition::Condition;
use expression::Expression;

/// A filter, read and checked.
#[derive(Clone, Debug)]
pub struct Filter(Expression<Condition>);

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Wherever Consul finds one, see [`FilterError`]; and beyond the bounds on length and depth,
    /// which Consul does not have.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong);
        }
        grammar::parse(text)?.try_map(&mut Condition::of).map(Self)
    }

    /// Whether an instance is one of those that are meant.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.0.holds(&|condition| condition.holds(subject))
    }
}

#[cfg(test)]
mod tests;
