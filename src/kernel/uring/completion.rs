//! What comes back: the fields of a CQE, in the terms of the trait.

use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::cqueue;
use nix::errno::Errno;

use crate::kernel::{Completion, Event, Op, Readiness, Token};
use crate::sys::socket::Socket;

/// The completion of an accept or of a watch.
#[inline]
pub(super) fn completion(token: Token, cqe: &cqueue::Entry) -> Completion<Socket> {
    let event = match (outcome(cqe.result()), token.op()) {
        (Err(errno), _) => Event::Failed(errno),
        (Ok(_), Op::Accept) => Event::Accepted(accepted(cqe)),
        (Ok(mask), _) => Event::Ready(readiness(mask)),
    };
    Completion { token, event, last: !cqueue::more(cqe.flags()) }
}

/// A CQE's `res`: negative numbers are errors.
#[inline]
pub(super) fn outcome(result: i32) -> Result<u32, Errno> {
    u32::try_from(result).map_err(|_| Errno::from_raw(result.wrapping_neg()))
}

fn accepted(cqe: &cqueue::Entry) -> Socket {
    // SAFETY: `from_raw_fd` wants a descriptor that is open and that nobody else owns. The
    // caller saw that this is a successful accept, which made the descriptor for us; kernels
    // whose multishot accept reports other numbers are not asked for it (`setup::Quirks`).
    Socket::from_fd(unsafe { OwnedFd::from_raw_fd(cqe.result()) })
}

/// The edges in a poll mask.
///
/// A completion of one wakeup carries the wakeup's own mask, and the one for arriving bytes
/// always includes POLLPRI (`sock_def_readable` of the kernel: POLLIN, POLLPRI, POLLRDNORM,
/// POLLRDBAND), urgent data or not. A mask that describes the socket never has POLLRDBAND, so
/// POLLPRI means something only without it. Urgent data comes with two wakeups, of which the
/// kernel then makes one completion that describes the socket.
#[inline]
pub(super) fn readiness(mask: u32) -> Readiness {
    let has = |flags: libc::c_short| mask & u32::from(flags.unsigned_abs()) != 0;
    let mut ready = Readiness::default();
    if has(libc::POLLIN) {
        ready = ready.with(Readiness::IN);
    }
    if has(libc::POLLOUT) {
        ready = ready.with(Readiness::OUT);
    }
    if has(libc::POLLRDHUP) {
        ready = ready.with(Readiness::FINISHED);
    }
    if has(libc::POLLERR | libc::POLLHUP) {
        ready = ready.with(Readiness::BROKEN);
    }
    if has(libc::POLLPRI) && !has(libc::POLLRDBAND) {
        ready = ready.with(Readiness::URGENT);
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_negative_results() {
        assert_eq!(outcome(7), Ok(7));
        assert_eq!(outcome(-libc::ECANCELED), Err(Errno::ECANCELED));
        assert_eq!(outcome(i32::MIN), Err(Errno::UnknownErrno));
    }

    #[test]
    fn urgency_is_believed_only_in_a_mask_that_describes_the_socket() {
        let in_and_urgent = Readiness::IN.with(Readiness::URGENT);
        assert_eq!(readiness(0x43), in_and_urgent);
        assert_eq!(readiness(0xc3), Readiness::IN);
        let ended = Readiness::IN.with(Readiness::FINISHED).with(Readiness::BROKEN);
        assert_eq!(readiness(0x2011), ended);
        assert_eq!(readiness(0x0008), Readiness::BROKEN);
        assert_eq!(readiness(0x0304), Readiness::OUT);
    }
}
