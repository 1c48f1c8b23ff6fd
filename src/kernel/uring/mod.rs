//! The kernel on io_uring: accepts, dials and watches by the ring, everything else by system
//! call.
//!
//! Readiness from the ring and system calls on it are cheaper than reads and writes by the
//! ring, and need no buffer per connection. An accept, a dial with its first bytes and a watch
//! are different: they wait, and go to the kernel together, at one system call per turn.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue};
use nix::errno::Errno;

use super::calls::{at_once_by_system_call, monotonic};
use super::random::Random;
use super::{
    BufferId, Completion, Completions, DialOptions, Event, HelloBuffers, Kernel, KernelOptions,
    ListenerId, Op, Take, Tick, Token, Tried, Wait,
};
use crate::limits::TURN_COMPLETION_COUNT;
use crate::sys::socket::{Socket, errno, for_dial, prepare_listener};

mod completion;
mod dial;
mod op;
mod probe;
mod refused;
mod setup;
#[cfg(test)]
mod tests;

pub use probe::{Supported, Trial, probe, try_rings};
pub use refused::{Release, RingRefused};
pub use setup::{Quirks, RING_BYTES_MOST};

use dial::Dials;
use op::{Submission, Target};

/// No wait is longer: the kernel's clock arithmetic must not overflow.
const WAIT_US_MAX: u64 = 3_600_000_000;

/// The kernel as seen through one io_uring. Belongs to the thread that made it.
pub struct Ring {
    ring: IoUring,
    quirks: Quirks,
    listeners: Vec<Option<OwnedFd>>,
    waker: OwnedFd,
    dials: Dials,
    buffers: HelloBuffers,
    /// What did not fit into the submission queue, in order.
    backlog: VecDeque<Submission>,
    /// Completions of what failed before it reached the ring.
    early: Completions<Socket>,
    /// When the alarm goes off that is set. A time given with each wait would have the kernel set
    /// its timer hardware before each sleep (kernel note 25).
    alarm: Option<Tick>,
    alarm_time: Box<Timespec>,
    overflow_count: u64,
    spin_us: u64,
    now: Tick,
    random: Random,
}

impl Ring {
    /// A ring for the calling thread.
    ///
    /// # Errors
    /// Why there can be none, and what to do about it.
    pub fn new(options: KernelOptions) -> Result<Self, RingRefused> {
        for listener in &options.listeners {
            prepare_listener(listener.as_fd()).map_err(RingRefused::Listener)?;
        }
        let mut ring = Self {
            ring: setup::make()?,
            quirks: Quirks::of(Release::here()),
            listeners: options.listeners.into_iter().map(Some).collect(),
            waker: options.waker,
            dials: Dials::default(),
            buffers: HelloBuffers::new(options.hello_buffer_count),
            backlog: VecDeque::new(),
            early: Vec::new(),
            alarm: None,
            alarm_time: Box::new(Timespec::new()),
            overflow_count: 0,
            spin_us: u64::try_from(options.spin.as_micros()).unwrap_or(u64::MAX),
            now: monotonic(),
            random: Random::from_system(),
        };
        ring.push(op::watch_waker(ring.waker.as_raw_fd()));
        Ok(ring)
    }

    /// How often completions did not fit into their queue. The kernel kept them, but ended the
    /// multishot operations they were of.
    #[must_use]
    pub fn overflow_count(&self) -> u64 {
        self.overflow_count
    }

    /// The sizes of the queues: submissions, completions.
    #[must_use]
    pub fn entry_counts(&self) -> (u32, u32) {
        (self.ring.params().sq_entries(), self.ring.params().cq_entries())
    }

    /// Queues a submission. It counts as in flight from here on.
    fn push(&mut self, submission: Submission) {
        if self.backlog.is_empty() {
            if self.try_push(&submission) {
                return;
            }
            self.submit();
            if self.try_push(&submission) {
                return;
            }
        }
        self.backlog.push_back(submission);
    }

    fn try_push(&mut self, submission: &Submission) -> bool {
        // SAFETY: `push_multiple` wants what the entries point to valid while the kernel uses
        // it. A dial's address is boxed in `dials` until its last completion, its hello lies in
        // `buffers`, which never moves and stays lent until then; both outlive the ring's
        // operations, see `drop`. The alarm's time is boxed, and changed only after it has gone
        // off. Nothing else points anywhere.
        unsafe { self.ring.submission().push_multiple(submission.entries()) }.is_ok()
    }

    /// Moves what had not fitted into the submission queue.
    fn push_backlog(&mut self) {
        while let Some(submission) = self.backlog.pop_front() {
            if !self.try_push(&submission) {
                self.backlog.push_front(submission);
                return;
            }
        }
    }

    /// Submits without waiting.
    fn submit(&mut self) {
        let result = self.ring.submit();
        self.entered(result);
    }

    /// Submits what is queued and lets the kernel post what is done; not a call more than
    /// needed.
    fn advance(&mut self) {
        let queue = self.ring.submission();
        let count = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        let idle = count == 0 && !queue.taskrun() && !queue.cq_overflow();
        drop(queue);
        if idle {
            return;
        }
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: `enter` wants parameters that fit together: as many entries as are queued,
        // no signal mask, and the flag that has deferred work done.
        let result = unsafe { self.ring.submitter().enter::<()>(count, 0, flags, None) };
        self.entered(result);
    }

    /// Submits, and waits until something is done.
    fn wait(&mut self, until: Tick) {
        if self.spin_us > 0 && self.spin(until) {
            return self.advance();
        }
        let now = monotonic();
        let left_us = until.since_us(now).min(WAIT_US_MAX);
        if left_us == 0 {
            return self.advance();
        }
        let until = Tick(now.0.saturating_add(left_us));
        if self.alarm.is_none() {
            self.set_alarm(until);
        }
        // One is enough: to wait for more with a timeout makes connections queue.
        let result = if self.alarm.is_some_and(|alarm| alarm <= until) {
            self.ring.submit_and_wait(1)
        } else {
            let time = timespec(left_us);
            self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
        };
        self.entered(result);
    }

    /// Sets the alarm, which must not be set.
    fn set_alarm(&mut self, at: Tick) {
        *self.alarm_time = timespec(at.0);
        let submission = op::alarm(&self.alarm_time);
        if self.backlog.is_empty() && self.try_push(&submission) {
            self.alarm = Some(at);
        }
    }

    /// Looks for completions, until there are some (true) or it has been long enough.
    fn spin(&mut self, until: Tick) -> bool {
        self.submit();
        let end = until.min(monotonic().after(Duration::from_micros(self.spin_us)));
        loop {
            if self.ring.submission().taskrun() || !self.ring.completion().is_empty() {
                return true;
            }
            if monotonic() >= end {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    fn entered(&mut self, result: std::io::Result<usize>) {
        let Err(error) = result else { return };
        match errno(error) {
            // Interrupted; nothing came in time.
            Errno::EINTR | Errno::ETIME => {}
            // The completion queue must be drained first, or memory is short: what is queued
            // stays queued for the next turn.
            Errno::EBUSY | Errno::EAGAIN | Errno::ENOMEM => {}
            // Completions were lost for want of memory: their sessions would hang for ever.
            #[allow(clippy::panic, reason = "a worker that cannot go on ends the process")]
            errno => panic!("io_uring_enter failed: {errno}"),
        }
    }

    /// Takes completions off the queue. The rest of very many is left to the next turn: larger
    /// batches push what they read out of the cache before it is written.
    fn drain(&mut self, into: &mut Completions<Socket>) {
        if self.ring.submission().cq_overflow() {
            self.overflow_count = self.overflow_count.saturating_add(1);
        }
        let mut waker_ended = false;
        for cqe in self.ring.completion().take(TURN_COMPLETION_COUNT) {
            match op::target(cqe.user_data()) {
                Target::Token(token) => into.push(completion::completion(token, &cqe)),
                Target::Connect(index) => into.extend(self.dials.connected(index, cqe.result())),
                Target::Send(index) => into.extend(self.dials.sent(index, cqe.result())),
                Target::Alarm => self.alarm = None,
                Target::Waker => waker_ended |= !cqueue::more(cqe.flags()),
                Target::Cancel => {}
            }
        }
        if waker_ended {
            self.push(op::watch_waker(self.waker.as_raw_fd()));
        }
    }

    fn fail_early(&mut self, token: Token, errno: Errno) {
        self.early.push(Completion { token, event: Event::Failed(errno), last: true });
    }
}

impl Kernel for Ring {
    at_once_by_system_call!();

    fn accept(&mut self, listener: ListenerId, token: Token) {
        if self.quirks.accept_one_by_one {
            return self.accept_one(listener, token);
        }
        match self.listeners.get(usize::from(listener.0)) {
            Some(Some(listener)) => self.push(op::accept_multishot(listener.as_raw_fd(), token)),
            _ => self.fail_early(token, Errno::EBADF),
        }
    }

    fn accept_one(&mut self, listener: ListenerId, token: Token) {
        match self.listeners.get(usize::from(listener.0)) {
            Some(Some(listener)) => self.push(op::accept_once(listener.as_raw_fd(), token)),
            _ => self.fail_early(token, Errno::EBADF),
        }
    }

    fn close_listener(&mut self, listener: ListenerId) {
        if let Some(slot) = self.listeners.get_mut(usize::from(listener.0)) {
            *slot = None;
        }
    }

    fn dial(
        &mut self,
        to: SocketAddr,
        options: &DialOptions,
        hello: Option<&BufferId>,
        token: Token,
    ) {
        let socket = match for_dial(to, options) {
            Ok(socket) => socket,
            Err(errno) => return self.fail_early(token, errno),
        };
        let hello = hello.map_or(&[][..], |id| self.buffers.bytes(id));
        let fd = socket.as_raw_fd();
        let (index, to) = self.dials.begin(socket, to.into(), !hello.is_empty(), token);
        let submission = op::dial(fd, to, hello, index);
        self.push(submission);
    }

    fn watch(&mut self, socket: &Socket, token: Token) {
        self.push(op::watch(socket.as_raw_fd(), token));
    }

    fn cancel(&mut self, token: Token) {
        match token.op() {
            Op::Accept | Op::WatchDownstream | Op::WatchUpstream => {
                self.push(op::cancel_token(token));
            }
            Op::Dial => {
                if let Some((index, connected)) = self.dials.find(token) {
                    self.push(op::cancel_dial(index, connected));
                }
            }
        }
    }

    fn turn(&mut self, wait: Wait, into: &mut Completions<Socket>) {
        let ready = !self.early.is_empty() || !self.ring.completion().is_empty();
        into.append(&mut self.early);
        self.push_backlog();
        match wait {
            Wait::Until(until) if !ready => self.wait(until),
            Wait::Until(_) | Wait::No => self.advance(),
        }
        self.now = monotonic();
        self.drain(into);
    }
}

impl Drop for Ring {
    /// Ends the dials, of which the kernel may be reading hellos.
    fn drop(&mut self) {
        let dials: Vec<Token> = self.dials.all().collect();
        dials.into_iter().for_each(|token| self.cancel(token));
        let deadline = monotonic().after(Duration::from_secs(1));
        let mut ended = Vec::new();
        while self.dials.count() > 0 && self.now < deadline {
            self.turn(Wait::Until(deadline), &mut ended);
            ended.clear();
        }
        if self.dials.count() > 0 {
            // Better to lose the memory than to have other bytes sent from it.
            std::mem::forget(std::mem::replace(&mut self.buffers, HelloBuffers::new(0)));
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("dials", &self.dials.count()).finish_non_exhaustive()
    }
}

fn timespec(us: u64) -> Timespec {
    let nanoseconds = u32::try_from(us % 1_000_000).unwrap_or(0).saturating_mul(1000);
    Timespec::new().sec(us / 1_000_000).nsec(nanoseconds)
}
