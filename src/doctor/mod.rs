//! `sluice doctor`: looks for what keeps a gateway from working, and says what to type.
//!
//! Each subject makes a [`Report`] out of [`Check`]s. None changes anything: whatever is asked
//! for is only read.
//!
//! * [`host`]: whether kernel, limits, CPUs and network let it do what it can.

use crate::cli::doctor::Subject;
use crate::error::StartError;

pub mod host;
mod report;

pub use report::{Check, Report, Verdict};

/// Looks at a subject.
///
/// # Errors
/// The command line is wrong, or Linux refuses what looking takes. Whatever is found is in the
/// report, also that nobody answers.
pub fn examine(subject: &Subject) -> Result<Report, StartError> {
    match subject {
        Subject::Host(args) => host::examine(args),
    }
}
