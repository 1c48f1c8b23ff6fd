//! The kernel as one worker sees it.
//!
//! [`Kernel`] is the cut between what Sluice decides and what Linux does. A worker is generic
//! over it and statically dispatched, so the cut costs nothing. Three implementations:
//! [`uring::Ring`] (the main one), [`epoll::Epoll`] (the same system calls on readiness, where
//! io_uring is refused) and [`sim::Sim`] (seeded, for tests).
//!
//! There are two kinds of operations. Those *at once* never block: [`Tried::Later`] is an
//! ordinary value. Those *later* are named by a [`Token`] and answer through
//! [`Kernel::turn`], with exactly one completion per token whose `last` flag is set.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use nix::errno::Errno;

pub mod buffers;
mod calls;
pub mod epoll;
pub mod random;
pub mod sim;
pub mod token;
pub mod uring;

pub use buffers::{BufferId, HelloBuffers};
pub use token::{Op, Token};

/// The outcome of an attempt that never blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried<T> {
    /// It was done. For a read of bytes with room to put them, `Did(0)` is the peer's FIN.
    Did(T),
    /// It would block (EAGAIN): try again after the next matching readiness.
    Later,
    /// It failed, for good.
    Failed(Errno),
}

/// Whether received bytes leave the receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// They do.
    Consume,
    /// They stay (`MSG_PEEK`).
    Peek,
}

/// A point in time: microseconds of `CLOCK_MONOTONIC` (simulated time in [`sim::Sim`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`; 0 if `earlier` is later.
    #[must_use]
    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How long a turn may wait when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the worker has work left over from this turn.
    No,
    /// Until something completes, the worker is woken, or this time has come.
    Until(Tick),
}

/// The index of a listener among those its kernel was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// What a kernel for real sockets ([`uring::Ring`], [`epoll::Epoll`]) is made of. It is made on
/// the thread that uses it.
#[derive(Debug)]
pub struct KernelOptions {
    /// Listening, nonblocking sockets; their order gives the [`ListenerId`]s.
    pub listeners: Vec<OwnedFd>,
    /// An eventfd: writing to it ends a waiting [`Kernel::turn`].
    pub waker: OwnedFd,
    /// Hello buffers to hold.
    pub hello_buffer_count: u16,
    /// How long to look for completions before sleeping; zero sleeps at once. Trades CPU for
    /// latency.
    pub spin: Duration,
}

/// TCP keepalive of a connection (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe (TCP_KEEPIDLE), at least one second.
    pub idle: Duration,
    /// Time between probes (TCP_KEEPINTVL), at least one second.
    pub interval: Duration,
    /// Probes without an answer until the connection is dead (TCP_KEEPCNT).
    pub probe_count: u32,
}

/// Options of an outgoing connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Keepalive to set, if any.
    pub keepalive: Option<Keepalive>,
}

/// What a watched socket is ready for. Edges: each is told once per change, as with EPOLLET.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Bytes, or the end of the stream, can be read.
    pub const IN: Self = Self(1);
    /// There is room to write.
    pub const OUT: Self = Self(2);
    /// The peer sent its FIN (POLLRDHUP): it may stand behind bytes not yet read.
    pub const FINISHED: Self = Self(4);
    /// The connection is broken or both directions have ended (POLLERR, POLLHUP).
    pub const BROKEN: Self = Self(8);
    /// Urgent data is or was there (POLLPRI): a short read no longer means an empty queue.
    pub const URGENT: Self = Self(16);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in this set.
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [(1, "in"), (2, "out"), (4, "finished"), (8, "broken"), (16, "urgent")];
        let set = names.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| name);
        f.debug_set().entries(set).finish()
    }
}

/// What came back for a token.
#[derive(Debug)]
pub enum Event<S> {
    /// A connection was accepted. It is nonblocking.
    Accepted(S),
    /// The connection asked for with [`Kernel::dial`] stands.
    Dialed {
        /// The connected, nonblocking socket.
        socket: S,
        /// How many bytes of the hello were sent along.
        sent_bytes: usize,
    },
    /// Edges of a watched socket.
    Ready(Readiness),
    /// The operation failed; `ECANCELED` after [`Kernel::cancel`]. For a multishot operation
    /// that is not `last`, it goes on.
    Failed(Errno),
}

/// One completion.
#[derive(Debug)]
pub struct Completion<S> {
    /// Whose it is.
    pub token: Token,
    /// What happened.
    pub event: Event<S>,
    /// Whether it is the token's final completion. A multishot operation (accept, watch) can
    /// end at any time, without being cancelled: whoever still wants it asks again.
    pub last: bool,
}

/// The completions of one turn, in order. Drained by the worker, its memory is used again.
pub type Completions<S> = Vec<Completion<S>>;

/// The kernel as one worker sees it; see the [module](self).
///
/// Sockets and pipes are owned values, consumed by `close` and `close_pipe`. Dropping one
/// without closing it leaks its descriptor.
pub trait Kernel: Sized {
    /// A connected TCP socket.
    type Socket: std::fmt::Debug;
    /// A pipe, with its fill level.
    type Pipe: std::fmt::Debug;

    // At once, never blocking.

    /// Reads up to `to.len()` bytes. `Did(0)` is FIN. SIGPIPE never arises.
    fn recv(&mut self, socket: &Self::Socket, to: &mut [u8], take: Take) -> Tried<usize>;
    /// Throws away up to `count_bytes` received bytes (`MSG_TRUNC`), as [`Kernel::recv`]
    /// would have read them.
    fn discard(&mut self, socket: &Self::Socket, count_bytes: usize) -> Tried<usize>;
    /// Writes bytes; may be short.
    fn send(&mut self, socket: &Self::Socket, bytes: &[u8]) -> Tried<usize>;
    /// Sets how many bytes make the socket readable (`SO_RCVLOWAT`); 1 is the default.
    fn low_water(&mut self, socket: &Self::Socket, bytes: usize);

    /// Makes a pipe of `capacity_bytes`, or of at least `least_bytes` where the system allows
    /// no more. Fails with `EMFILE`, `ENFILE`, or with `EPERM` if `least_bytes` is refused.
    fn pipe(&mut self, capacity_bytes: usize, least_bytes: usize) -> Result<Self::Pipe, Errno>;
    /// How many bytes are in the pipe.
    fn pipe_pending_bytes(&self, pipe: &Self::Pipe) -> usize;
    /// How many bytes the pipe was made for.
    fn pipe_capacity_bytes(&self, pipe: &Self::Pipe) -> usize;
    /// Puts bytes from memory into the pipe (write(2)); may be short.
    fn stash(&mut self, pipe: &mut Self::Pipe, bytes: &[u8]) -> Tried<usize>;
    /// Moves up to `most_bytes` from the socket into the pipe (splice(2)). `Did(0)` is FIN, and
    /// is only told when the pipe was empty. `Later` means *source empty or pipe full*; with an
    /// empty pipe it means source empty.
    fn fill(
        &mut self,
        socket: &Self::Socket,
        pipe: &mut Self::Pipe,
        most_bytes: usize,
    ) -> Tried<usize>;
    /// Moves what the pipe holds into the socket; may be short. Not called on an empty pipe.
    fn flush(&mut self, pipe: &mut Self::Pipe, socket: &Self::Socket) -> Tried<usize>;
    /// Destroys a pipe, with whatever is in it.
    fn close_pipe(&mut self, pipe: Self::Pipe);

    /// Sends FIN after everything sent so far (`shutdown(SHUT_WR)`).
    fn finish(&mut self, socket: &Self::Socket);
    /// Sends RST and drops what is queued (`connect(AF_UNSPEC)`: close sends nothing while a
    /// watch holds the socket).
    fn reset(&mut self, socket: &Self::Socket);
    /// Closes a socket. Only with nothing in flight on it.
    fn close(&mut self, socket: Self::Socket);
    /// The address of the other end, if it is still known.
    fn peer_address(&mut self, socket: &Self::Socket) -> Option<SocketAddr>;
    /// The address of this end, if it is still known.
    fn local_address(&mut self, socket: &Self::Socket) -> Option<SocketAddr>;

    /// The pool of buffers that hellos wait in while their dial is under way.
    fn buffers(&mut self) -> &mut HelloBuffers;

    // Later: exactly one `last` completion per token.

    /// Accepts connections until the completion says `last` (multishot). The kernel may take
    /// all that wait at once, before it can be told to stop.
    fn accept(&mut self, listener: ListenerId, token: Token);
    /// Accepts one connection.
    fn accept_one(&mut self, listener: ListenerId, token: Token);
    /// Closes a listener, after its accept's last completion. New connections are refused from
    /// then on.
    fn close_listener(&mut self, listener: ListenerId);
    /// Connects to `to`, and sends the contents of `hello` along. The buffer stays lent until
    /// the last completion.
    fn dial(
        &mut self,
        to: SocketAddr,
        options: &DialOptions,
        hello: Option<&BufferId>,
        token: Token,
    );
    /// Reports the edges of a socket, beginning with its present state, until the completion
    /// says `last` (multishot).
    fn watch(&mut self, socket: &Self::Socket, token: Token);
    /// Ends an operation early. Its last completion still comes: what it was, if it was faster,
    /// else `Failed(ECANCELED)`. Nothing else is told of the cancellation itself.
    fn cancel(&mut self, token: Token);

    /// Submits what was asked for, waits as told, and appends all completions to `into`. Also
    /// returns, without any completion, when the worker was woken from another thread.
    fn turn(&mut self, wait: Wait, into: &mut Completions<Self::Socket>);

    /// How often completions did not fit into their queue, where there is one. None is lost.
    fn overflow_count(&self) -> u64 {
        0
    }

    /// The present time, read once per turn.
    fn now(&self) -> Tick;
    /// A random number, for balancing and jitter only.
    fn random(&mut self) -> u64;
}
