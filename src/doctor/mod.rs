//! `sluice doctor`: looks for what keeps a gateway from working, and says what to type.
//!
//! Each subject makes a [`Report`] out of [`Check`]s. None changes anything: whatever is asked
//! for is only read.
//!
//! * [`consul`]: what Consul needs to have for mesh gateways, and whether it knows this one.
//! * [`connectivity`]: whether everything that the gateway may dial answers.
//! * [`host`]: whether kernel, limits, CPUs and network let it do what it can.

use crate::cli::doctor::Subject;
use crate::error::StartError;

pub(crate) mod ask;
pub mod connectivity;
pub mod consul;
pub mod host;
pub(crate) mod known;
mod report;

pub(crate) use report::shown;
pub use report::{Check, Report, Verdict};

/// Looks at a subject.
///
/// # Errors
/// The command line is wrong, or Linux refuses what looking takes. Whatever is found is in the
/// report, also that nobody answers.
pub fn examine(subject: &Subject) -> Result<Report, StartError> {
    match subject {
        Subject::Host(args) => host::examine(args),
        Subject::Consul(args) => consul::examine(args),
        Subject::Connectivity(args) => connectivity::examine(args),
    }
}
