//! A ring with the few operations that the bare relays need, safe to call.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, cqueue, opcode, types};
use socket2::SockAddr;

use super::buffer_ring::BufferRing;

const ENTRY_COUNT: u32 = 4096;
const COMPLETION_COUNT: u32 = 32_768;
/// `user_data` of what nobody waits for.
const NOBODY: u64 = u64::MAX;
/// The second half of a dial.
const SENT: u64 = 1 << 63;

/// What a dial's operations read; it must stay until both have completed.
struct Dial {
    address: SockAddr,
    hello: Vec<u8>,
    result: i32,
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) token: u64,
    /// What the system call would return, or `-errno`.
    pub(crate) result: i32,
    /// Whether more are to come for this token.
    pub(crate) more: bool,
    /// The provided buffer that was filled.
    pub(crate) buffer: Option<u16>,
}

/// A ring. Tokens have their highest bit clear; `dial` takes tokens whose low half is small.
pub(crate) struct Ring {
    ring: IoUring,
    dials: Vec<Option<Box<Dial>>>,
    #[allow(clippy::vec_box, reason = "the kernel was told where a dial is")]
    spare: Vec<Box<Dial>>,
}

impl Ring {
    /// # Errors
    /// io_uring_setup(2) refused.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETION_COUNT)
            .build(ENTRY_COUNT)?;
        Ok(Self { ring, dials: Vec::new(), spare: Vec::new() })
    }

    /// Accepts until a completion says that it was the last.
    pub(crate) fn accept(&mut self, listener: RawFd, token: u64) -> io::Result<()> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let entry = opcode::AcceptMulti::new(types::Fd(listener)).flags(flags).build();
        self.push(&[entry.user_data(token)])
    }

    /// Reports a socket's state, and then its changes.
    pub(crate) fn watch(&mut self, socket: RawFd, events: u32, token: u64) -> io::Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(socket), events).multi(true).build();
        self.push(&[entry.user_data(token)])
    }

    /// Reports once that one of these events is there.
    pub(crate) fn watch_once(&mut self, socket: RawFd, events: u32, token: u64) -> io::Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(socket), events).build();
        self.push(&[entry.user_data(token)])
    }

    /// Receives into the buffers that were provided, until a completion says that it was the last.
    pub(crate) fn receive(&mut self, socket: RawFd, token: u64) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(types::Fd(socket), BufferRing::GROUP).build();
        self.push(&[entry.user_data(token)])
    }

    /// Ends what was asked for with this token. Its last completion says so.
    pub(crate) fn cancel(&mut self, token: u64) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(token).build().flags(Flags::SKIP_SUCCESS);
        self.push(&[entry.user_data(NOBODY)])
    }

    /// Connects a socket and sends a hello. One completion: 0, or why it failed.
    pub(crate) fn dial(
        &mut self,
        socket: RawFd,
        to: SocketAddr,
        hello: &[u8],
        token: u64,
    ) -> io::Result<()> {
        let index = dial_index(token);
        if self.dials.len() <= index {
            self.dials.resize_with(index + 1, || None);
        }
        let mut dial = self
            .spare
            .pop()
            .unwrap_or_else(|| Box::new(Dial { address: to.into(), hello: Vec::new(), result: 0 }));
        dial.address = to.into();
        dial.hello.clear();
        dial.hello.extend_from_slice(hello);
        dial.result = 0;
        let length = u32::try_from(dial.hello.len()).unwrap_or(u32::MAX);
        let connect = opcode::Connect::new(
            types::Fd(socket),
            dial.address.as_ptr().cast(),
            dial.address.len(),
        );
        let send = opcode::Send::new(types::Fd(socket), dial.hello.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
        let entries = [
            connect.build().flags(Flags::IO_LINK).user_data(token),
            send.build().user_data(token | SENT),
        ];
        let Some(place @ None) = self.dials.get_mut(index) else {
            return Err(io::Error::other("a session dialed twice"));
        };
        *place = Some(dial);
        self.push(&entries)
    }

    /// Submits, waits for something to happen unless told not to, and reports what has happened.
    ///
    /// # Errors
    /// io_uring_enter(2) failed for good.
    pub(crate) fn turn(
        &mut self,
        wait: bool,
        most: usize,
        into: &mut VecDeque<Completion>,
    ) -> io::Result<()> {
        let submitted = if wait && self.ring.completion().is_empty() {
            self.ring.submit_and_wait(1)
        } else {
            // Without waiting, but with the task work that deferred completions hang on.
            let now = types::Timespec::new();
            self.ring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&now))
        };
        match submitted {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::ETIME | libc::EBUSY) => {}
                _ => return Err(error),
            },
        }
        while into.len() < most {
            let Some(entry) = self.ring.completion().next() else { break };
            let (token, result) = (entry.user_data(), entry.result());
            if token == NOBODY {
                continue;
            }
            let completion = Completion {
                token: token & !SENT,
                result,
                more: cqueue::more(entry.flags()),
                buffer: cqueue::buffer_select(entry.flags()),
            };
            if let Some(completion) = self.settle(completion, token & SENT != 0) {
                into.push_back(completion);
            }
        }
        Ok(())
    }

    /// The provided buffers of this ring.
    ///
    /// # Errors
    /// The kernel refused them.
    pub(crate) fn provide_buffers(&self, count: u16, bytes: usize) -> io::Result<BufferRing> {
        BufferRing::register(&self.ring.submitter(), count, bytes)
    }

    /// A dial's two completions become one; others are passed on.
    fn settle(&mut self, completion: Completion, is_sent: bool) -> Option<Completion> {
        let Some(place) = self.dials.get_mut(dial_index(completion.token)) else {
            return Some(completion);
        };
        if !is_dial(completion.token) {
            return Some(completion);
        }
        let mut dial = place.take()?;
        if !is_sent {
            dial.result = completion.result;
            *place = Some(dial);
            return None;
        }
        let whole = usize::try_from(completion.result).is_ok_and(|sent| sent == dial.hello.len());
        let result = match (dial.result, whole) {
            (0, true) => 0,
            (0, false) => completion.result.min(-libc::EPIPE),
            (failed, _) => failed,
        };
        self.spare.push(dial);
        Some(Completion { result, ..completion })
    }

    fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        let room = {
            let queue = self.ring.submission();
            queue.capacity() - queue.len()
        };
        if room < entries.len() {
            self.ring.submit()?;
        }
        // SAFETY: push_multiple requires that what the entries point to stays valid until their
        // operations end. Only those of a dial point anywhere: into its box, which `dials` holds
        // until the second of its two completions, and which `drop` leaks.
        let pushed = unsafe { self.ring.submission().push_multiple(entries) };
        pushed.map_err(io::Error::other)
    }
}

/// Operations may outlive the ring by a moment: what they read is given up.
impl Drop for Ring {
    fn drop(&mut self) {
        self.dials.drain(..).flatten().for_each(std::mem::forget);
    }
}

/// The mark of tokens that dial.
pub(crate) const DIAL: u64 = 1 << 62;

const fn is_dial(token: u64) -> bool {
    token & DIAL != 0 && token & SENT == 0
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is the slot")]
const fn dial_index(token: u64) -> usize {
    token as u32 as usize
}
