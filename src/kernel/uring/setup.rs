//! Making a ring of the size and kind that this system allows.

use std::io;

use io_uring::IoUring;
use nix::errno::Errno;

use super::refused::{Release, RingRefused};
use crate::sys::socket::errno;

/// The sizes of a ring's queues: submissions, completions.
type Size = (u32, u32);

pub(super) const LARGEST: Size = (1024, 8192);
const SMALLEST: Size = (64, 1024);

/// Queue sizes to try, largest first. Ring memory counts against RLIMIT_MEMLOCK on some kernels.
/// More submissions than fit are passed on in the middle of a turn. More completions than fit are
/// kept by the kernel, at the price of multishot operations that have to be asked for again.
const SIZES: [Size; 3] = [LARGEST, (256, 4096), SMALLEST];

/// What the largest ring takes of the memory that may be locked.
pub const RING_BYTES_MOST: u64 = bytes(LARGEST);
/// What the smallest ring needs.
pub(super) const BYTES_LEAST: u64 = bytes(SMALLEST);

/// 64 bytes for each submission, 16 for each completion, and a page for the heads of the queues.
const fn bytes((submission_count, completion_count): Size) -> u64 {
    submission_count as u64 * 64 + completion_count as u64 * 16 + 4096
}

/// Makes the largest ring that is allowed.
pub(super) fn make() -> Result<IoUring, RingRefused> {
    let mut refusal = Errno::ENOMEM;
    for (submission_count, completion_count) in SIZES {
        match make_sized(submission_count, completion_count) {
            Ok(ring) => return Ok(ring),
            Err(error) => refusal = errno(error),
        }
        if refusal != Errno::ENOMEM {
            break;
        }
    }
    Err(RingRefused::explain_here(refusal))
}

fn make_sized(submission_count: u32, completion_count: u32) -> io::Result<IoUring> {
    // Without the indirection array from Linux 6.6 on.
    match builder(completion_count).setup_no_sqarray().build(submission_count) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            builder(completion_count).build(submission_count)
        }
        made => made,
    }
}

/// The flags that every ring has; all are there from Linux 6.1 on (io_uring_setup(2)).
fn builder(completion_count: u32) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder
        // A worker owns its ring: completions can wait for the worker to ask.
        .setup_single_issuer()
        // They are made in its own context, in batches, when it asks: no interrupts.
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        // Tells a spinning worker that there is something to ask for.
        .setup_taskrun_flag()
        // One refused entry must not hold up those behind it.
        .setup_submit_all()
        .setup_cqsize(completion_count);
    builder
}

/// What must be done differently on this kernel.
#[derive(Clone, Copy, Debug)]
pub struct Quirks {
    /// Multishot accept may report the poll mask 195 for a descriptor under load, with deferred
    /// task work (liburing #1062; seen on 6.6 to 6.8). Accepts one by one are right.
    pub accept_one_by_one: bool,
}

impl Quirks {
    /// Those of a kernel release.
    #[must_use]
    pub fn of(release: Release) -> Self {
        let suspect = Release::new(6, 6)..Release::new(6, 9);
        Self { accept_one_by_one: suspect.contains(&release) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspect_kernels_accept_one_by_one() {
        let one_by_one = |major, minor| Quirks::of(Release::new(major, minor)).accept_one_by_one;
        assert!(one_by_one(6, 6) && one_by_one(6, 8));
        assert!(!one_by_one(6, 1) && !one_by_one(6, 5) && !one_by_one(6, 9) && !one_by_one(7, 6));
    }
}
