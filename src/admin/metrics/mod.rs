//! `/metrics`: what Sluice says of itself, in its own names. Every family begins with `sluice_`,
//! but for those of the process, which have the names that all Prometheus clients give them.
//!
//! No label has a value that a peer chose: clusters are those of the table. A worker is a label
//! only of what concerns the worker itself.

mod clusters;
mod consul;
mod process;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

use super::exposition::{Format, Page};
use crate::control::shared::Shared;
use crate::kernel::Tick;

/// Everything, as it is now.
pub(super) fn page(shared: &Shared, format: Format) -> String {
    let mut page = Page::new(format);
    let now = Tick(crate::sys::process::monotonic_us());
    let published = shared.published();
    process::write(&mut page, shared);
    sessions::write(&mut page, shared);
    table::write(&mut page, shared, &published, now);
    consul::write(&mut page, shared);
    clusters::write(&mut page, &published, now, shared.metrics_cluster_count_max());
    page.finish()
}
