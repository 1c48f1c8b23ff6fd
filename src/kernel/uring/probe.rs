//! Whether io_uring can be used here, asked before anything is built on it.

use io_uring::{IoUring, Probe, opcode};

use super::refused::RingRefused;
use super::setup;
use crate::sys::socket::errno;

/// Every operation that is submitted.
const OPERATIONS: [(u8, &str); 5] = [
    (opcode::Accept::CODE, "IORING_OP_ACCEPT"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::Send::CODE, "IORING_OP_SEND"),
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
];

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supported {
    /// Entries of the submission queue.
    pub submission_count: u32,
    /// Entries of the completion queue.
    pub completion_count: u32,
}

/// Makes a ring as workers do, and asks it for the operations they use. The sizes are those a
/// single ring gets: every further worker's ring counts against the same limits.
///
/// # Errors
/// Who refused, and what to do about it.
pub fn probe() -> Result<Supported, RingRefused> {
    let ring = setup::make()?;
    check(&ring)?;
    let parameters = ring.params();
    Ok(Supported {
        submission_count: parameters.sq_entries(),
        completion_count: parameters.cq_entries(),
    })
}

fn check(ring: &IoUring) -> Result<(), RingRefused> {
    let mut known = Probe::new();
    ring.submitter()
        .register_probe(&mut known)
        .map_err(|error| RingRefused::explain_here(errno(error)))?;
    if let Some((_, name)) = OPERATIONS.iter().find(|(code, _)| !known.is_supported(*code)) {
        return Err(RingRefused::MissingOperation(name));
    }
    let parameters = ring.params();
    let features = [
        (parameters.is_feature_nodrop(), "IORING_FEAT_NODROP"),
        (parameters.is_feature_fast_poll(), "IORING_FEAT_FAST_POLL"),
        (parameters.is_feature_ext_arg(), "IORING_FEAT_EXT_ARG"),
        (parameters.is_feature_skip_cqe_on_success(), "IORING_FEAT_CQE_SKIP"),
    ];
    match features.iter().find(|(present, _)| !present) {
        Some((_, name)) => Err(RingRefused::MissingOperation(name)),
        None => Ok(()),
    }
}
