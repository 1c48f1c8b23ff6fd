//! What is submitted: one function per operation, and the `user_data` that its completions
//! carry.

use std::os::fd::RawFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use socket2::SockAddr;

use crate::kernel::Token;

/// Events of interest. POLLRDBAND never describes a TCP socket; see
/// [`super::completion::readiness`] for what it is good for.
#[allow(clippy::cast_sign_loss, reason = "event masks are positive")]
const WATCHED: u32 =
    (libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI | libc::POLLRDBAND) as u32;

/// The ring's own operations have the high bit of `user_data` set; no [`Token`] does.
const CONNECT: u64 = 0x81 << 56;
const SEND: u64 = 0x82 << 56;
const CANCEL: u64 = 0x83 << 56;
const WAKER: u64 = 0x84 << 56;
const ALARM: u64 = 0x85 << 56;
const KIND: u64 = 0xff << 56;

/// Whose a completion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A worker's.
    Token(Token),
    /// A dial's first half.
    Connect(u32),
    /// A dial's second half.
    Send(u32),
    /// The waker's.
    Waker,
    /// The alarm's, which has gone off.
    Alarm,
    /// A cancellation's, which found nothing: what it was for had just completed.
    Cancel,
}

/// Reads `user_data`.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is the dial's index")]
pub(super) fn target(user_data: u64) -> Target {
    match user_data & KIND {
        CONNECT => Target::Connect(user_data as u32),
        SEND => Target::Send(user_data as u32),
        WAKER => Target::Waker,
        ALARM => Target::Alarm,
        _ => Token::from_bits(user_data).map_or(Target::Cancel, Target::Token),
    }
}

/// One SQE, or two of which the second starts when the first has succeeded. The two must reach
/// the kernel in the same submission.
#[derive(Clone)]
pub(super) enum Submission {
    One(Entry),
    Linked([Entry; 2]),
}

impl Submission {
    pub(super) fn entries(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Linked(entries) => entries,
        }
    }
}

/// Completes at a time of `CLOCK_MONOTONIC`, which the kernel reads when it takes the submission.
pub(super) fn alarm(at: &types::Timespec) -> Submission {
    let entry = opcode::Timeout::new(at).flags(types::TimeoutFlags::ABS).build();
    Submission::One(entry.user_data(ALARM))
}

/// Accepts until the completion says that it was the last.
pub(super) fn accept_multishot(listener: RawFd, token: Token) -> Submission {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let entry = opcode::AcceptMulti::new(types::Fd(listener)).flags(flags).build();
    Submission::One(entry.user_data(token.to_bits()))
}

/// Accepts one connection.
pub(super) fn accept_once(listener: RawFd, token: Token) -> Submission {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let nowhere = std::ptr::null_mut();
    let entry =
        opcode::Accept::new(types::Fd(listener), nowhere, nowhere.cast()).flags(flags).build();
    Submission::One(entry.user_data(token.to_bits()))
}

/// Reports a socket's state, and then its changes.
pub(super) fn watch(socket: RawFd, token: Token) -> Submission {
    let entry = opcode::PollAdd::new(types::Fd(socket), WATCHED).multi(true).build();
    Submission::One(entry.user_data(token.to_bits()))
}

/// Reports every write to an eventfd.
pub(super) fn watch_waker(waker: RawFd) -> Submission {
    #[allow(clippy::cast_sign_loss, reason = "event masks are positive")]
    let entry = opcode::PollAdd::new(types::Fd(waker), libc::POLLIN as u32).multi(true).build();
    Submission::One(entry.user_data(WAKER))
}

/// Connects, and then sends `hello` if there is one. `to` must stay in place until submitted;
/// `hello` until the last completion.
pub(super) fn dial(socket: RawFd, to: &SockAddr, hello: &[u8], index: u32) -> Submission {
    let connect = opcode::Connect::new(types::Fd(socket), to.as_ptr().cast(), to.len())
        .build()
        .user_data(CONNECT | u64::from(index));
    if hello.is_empty() {
        return Submission::One(connect);
    }
    let length = u32::try_from(hello.len()).unwrap_or(u32::MAX);
    let send = opcode::Send::new(types::Fd(socket), hello.as_ptr(), length)
        .flags(libc::MSG_NOSIGNAL)
        .build()
        .user_data(SEND | u64::from(index));
    Submission::Linked([connect.flags(Flags::IO_LINK), send])
}

/// Ends an accept or a watch. Not by POLL_REMOVE: that fails with EALREADY, and the watch goes
/// on, when an edge is just on its way. This marks the watch, and it ends after the edge.
pub(super) fn cancel_token(token: Token) -> Submission {
    cancel(token.to_bits())
}

/// Ends the half of a dial that is under way.
pub(super) fn cancel_dial(index: u32, connected: bool) -> Submission {
    cancel(if connected { SEND } else { CONNECT } | u64::from(index))
}

fn cancel(user_data: u64) -> Submission {
    let entry = opcode::AsyncCancel::new(user_data).build();
    Submission::One(entry.flags(Flags::SKIP_SUCCESS).user_data(CANCEL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Op;

    #[test]
    fn the_rings_own_targets_are_no_tokens() {
        for op in [Op::Accept, Op::Dial, Op::WatchDownstream, Op::WatchUpstream] {
            let token = Token::new(op, Token::GENERATION_MAX, u32::MAX);
            assert_eq!(target(token.to_bits()), Target::Token(token));
        }
        for own in [CONNECT, SEND, CANCEL, WAKER] {
            assert_eq!(Token::from_bits(own | u64::from(u32::MAX)), None);
        }
        assert_eq!(target(CONNECT | 7), Target::Connect(7));
        assert_eq!(target(SEND | 7), Target::Send(7));
        assert_eq!(target(WAKER), Target::Waker);
        assert_eq!(target(CANCEL), Target::Cancel);
    }
}
