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

impl Supported {
    /// Whether no ring is made larger.
    #[must_use]
    pub fn is_largest(&self) -> bool {
        (self.submission_count, self.completion_count) >= setup::LARGEST
    }
}

/// Makes a ring as workers do, and asks it for the operations they use. The sizes are those a
/// single ring gets: every further worker's ring counts against the same limits.
///
/// # Errors
/// Who refused, and what to do about it.
pub fn probe() -> Result<Supported, RingRefused> {
    make_checked().map(|ring| supported(&ring))
}

/// What became of the rings for several workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The sizes of each ring that could be made, in order.
    pub made: Vec<Supported>,
    /// Why there is no further one, if they are fewer than were wanted.
    pub refused: Option<RingRefused>,
}

/// Makes as many rings as that, all at once, as a gateway of so many workers does.
#[must_use]
pub fn try_rings(count: u16) -> Trial {
    let mut rings = Vec::new();
    let mut refused = None;
    for _ in 0..count {
        match make_checked() {
            Ok(ring) => rings.push(ring),
            Err(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    Trial { made: rings.iter().map(supported).collect(), refused }
}

fn supported(ring: &IoUring) -> Supported {
    let parameters = ring.params();
    Supported {
        submission_count: parameters.sq_entries(),
        completion_count: parameters.cq_entries(),
    }
}

fn make_checked() -> Result<IoUring, RingRefused> {
    let ring = setup::make()?;
    check(&ring)?;
    Ok(ring)
}

fn check(ring: &IoUring) -> Result<(), RingRefused> {
    // A seccomp profile can allow io_uring_setup and still refuse what comes after it.
    ring.submitter().submit().map_err(|error| RingRefused::explain_here(errno(error)))?;
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
