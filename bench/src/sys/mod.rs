//! The only place with code that the compiler does not check: submitting to a ring, and memory
//! that a ring and this process share.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::Socket;

pub(crate) mod buffer_ring;
pub(crate) mod ring;

/// The socket that a completion of accept reports; to be called once for each.
pub(crate) fn accepted(descriptor: RawFd) -> Socket {
    // SAFETY: from_raw_fd requires an open descriptor that nobody else owns: accept(2) has just
    // made it for us, and its completion is handled once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }.into()
}
