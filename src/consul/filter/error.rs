//! What is wrong with a filter.

use thiserror::Error;

use crate::limits::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX};

/// Why a filter selects nothing. What is quoted of it is cut short.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// It is too long.
    #[error("it has more than {FILTER_BYTES_MAX} bytes")]
    TooLong,
    /// It is nested too deeply.
    #[error("its parentheses and `not` are nested deeper than {FILTER_DEPTH_MAX}")]
    TooDeep,
    /// It is no expression.
    #[error("it cannot be read from character {character_number} on ({rest}): {expected}")]
    Syntax {
        /// Where reading ended, counted from 1.
        character_number: usize,
        /// What is there.
        rest: String,
        /// What should be.
        expected: &'static str,
    },
    /// There is no such field, or it has fields of its own.
    #[error(
        "{selector} is no field to compare: write one such as Service.Meta.version, Service.Tags, \
         Node.Meta.KEY or Checks.Status"
    )]
    Selector {
        /// What it says.
        selector: String,
    },
    /// The output of a check is not followed.
    #[error(
        "Checks.Output is not followed, because it changes with every run of a check: use \
         Checks.Status"
    )]
    CheckOutput,
    /// The field cannot be compared so.
    #[error("{selector} is {kind}, which `{operator}` does not apply to")]
    Operator {
        /// The field.
        selector: String,
        /// What it is.
        kind: &'static str,
        /// What it is compared by.
        operator: &'static str,
    },
    /// The value is of another type than the field.
    #[error("{selector} is {kind}, and what it is compared with is none")]
    Value {
        /// The field.
        selector: String,
        /// What it is.
        kind: &'static str,
    },
    /// It is no regular expression.
    #[error("{pattern} is no regular expression: {reason}")]
    Pattern {
        /// What it says.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Text as it is shown: quoted, and no longer than a line carries.
pub(super) fn shown(text: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?} and more", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
