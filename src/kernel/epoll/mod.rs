//! The kernel on epoll: the same system calls on readiness, where io_uring is refused.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockFlag, accept4};
use socket2::{SockAddr, SockRef};

use super::calls::{at_once_by_system_call, monotonic};
use super::random::Random;
use super::{
    BufferId, Completion, Completions, DialOptions, Event, HelloBuffers, Kernel, KernelOptions,
    ListenerId, Op, Readiness, Take, Tick, Token, Tried, Wait,
};
use crate::limits::{TURN_ACCEPT_COUNT, TURN_COMPLETION_COUNT};
use crate::sys::socket::{Socket, connect_result, errno, for_dial, prepare_listener};

mod table;

use table::{Dial, Table};

/// The data of the waker's events; no [`Token`] is like it.
const WAKER: u64 = u64::MAX;

const WATCHED: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLOUT)
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLPRI)
    .union(EpollFlags::EPOLLET);

/// The kernel as seen through epoll.
#[derive(Debug)]
pub struct Epoll {
    epoll: nix::sys::epoll::Epoll,
    /// Where events are received.
    events: Box<[EpollEvent]>,
    listeners: Vec<Listener>,
    /// Open as long as it is registered.
    _waker: OwnedFd,
    table: Table,
    buffers: HelloBuffers,
    /// Completions of cancellations and of what failed at once, for the next turn.
    early: Completions<Socket>,
    spin_us: u64,
    now: Tick,
    random: Random,
}

#[derive(Debug)]
struct Listener {
    socket: Option<OwnedFd>,
    /// Of the accept under way.
    token: Option<Token>,
    /// It is for one connection.
    once: bool,
}

impl Epoll {
    /// An epoll instance with these listeners.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`; `ENOSPC` for fs.epoll.max_user_watches.
    pub fn new(options: KernelOptions) -> Result<Self, Errno> {
        for listener in &options.listeners {
            prepare_listener(listener.as_fd())?;
        }
        let epoll = nix::sys::epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // By edge, every write to it is told, so that it never has to be read.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&options.waker, EpollEvent::new(flags, WAKER))?;
        let listener = |socket| Listener { socket: Some(socket), token: None, once: false };
        Ok(Self {
            epoll,
            events: vec![EpollEvent::empty(); TURN_COMPLETION_COUNT].into_boxed_slice(),
            listeners: options.listeners.into_iter().map(listener).collect(),
            _waker: options.waker,
            table: Table::default(),
            buffers: HelloBuffers::new(options.hello_buffer_count),
            early: Vec::new(),
            spin_us: u64::try_from(options.spin.as_micros()).unwrap_or(u64::MAX),
            now: monotonic(),
            random: Random::from_system(),
        })
    }

    fn end_early(&mut self, token: Token, errno: Errno) {
        self.early.push(failed(token, errno));
    }

    /// Begins to connect, and asks to be told the outcome.
    fn begin_dial(&mut self, socket: &OwnedFd, to: SocketAddr, token: Token) -> Result<(), Errno> {
        match SockRef::from(socket).connect(&SockAddr::from(to)).map_err(errno) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT;
        self.epoll.add(socket, EpollEvent::new(flags, token.to_bits()))
    }

    /// A connect has an outcome.
    fn dialed(&mut self, token: Token, dial: Dial) -> Completion<Socket> {
        if let Err(errno) = connect_result(dial.socket.as_fd()) {
            return failed(token, errno);
        }
        let hello = dial.hello.map_or(&[][..], |index| self.buffers.bytes_at(index));
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // Where it fails, the connection tells why on its first use.
        let sent = match hello {
            [] => Ok(0),
            hello => nix::sys::socket::send(dial.socket.as_raw_fd(), hello, flags),
        };
        let socket = Socket::from_fd(dial.socket);
        let event = Event::Dialed { socket, sent_bytes: sent.unwrap_or(0) };
        Completion { token, event, last: true }
    }

    fn begin_accept(&mut self, listener: ListenerId, token: Token, only_one: bool) {
        let found = self.listeners.get_mut(usize::from(listener.0));
        let Some(Listener { socket: Some(socket), token: under_way, once }) = found else {
            return self.end_early(token, Errno::EBADF);
        };
        *once = only_one;
        match self.epoll.add(&*socket, EpollEvent::new(EpollFlags::EPOLLIN, token.to_bits())) {
            Ok(()) => *under_way = Some(token),
            Err(errno) => self.end_early(token, errno),
        }
    }

    /// Accepts what waits, but not without end: the listener stays ready for the next turn.
    fn accept_waiting(&mut self, token: Token, into: &mut Completions<Socket>) {
        let Some(listener) = self.listeners.iter_mut().find(|l| l.token == Some(token)) else {
            return;
        };
        let Some(socket) = &listener.socket else { return };
        for _ in 0..TURN_ACCEPT_COUNT {
            match accept_one(socket.as_fd()) {
                Ok(accepted) => {
                    let last = listener.once;
                    into.push(Completion { token, event: Event::Accepted(accepted), last });
                    if last {
                        listener.token = None;
                        let _closed = self.epoll.delete(socket);
                        return;
                    }
                }
                Err(Errno::EAGAIN) => return,
                // One connection's failure, reported in place of it (accept(2)).
                Err(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO) => {}
                Err(errno) => {
                    // It would go on failing: whoever wants more asks again.
                    listener.token = None;
                    let _closed = self.epoll.delete(socket);
                    into.push(failed(token, errno));
                    return;
                }
            }
        }
    }

    /// Waits for events; returns how many there are.
    fn wait(&mut self, until: Tick) -> usize {
        if self.spin_us > 0 {
            let end = until.min(monotonic().after(Duration::from_micros(self.spin_us)));
            loop {
                let count = self.receive(EpollTimeout::ZERO);
                if count > 0 || monotonic() >= end {
                    if count > 0 {
                        return count;
                    }
                    break;
                }
            }
        }
        // Rounded up: a timer must not find itself too early, again and again.
        let left_ms = until.since_us(monotonic()).div_ceil(1000);
        self.receive(EpollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX)))
    }

    fn receive(&mut self, timeout: EpollTimeout) -> usize {
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            #[allow(clippy::panic, reason = "a worker that cannot go on ends the process")]
            Err(errno) => panic!("epoll_wait failed: {errno}"),
        }
    }

    fn complete(&mut self, event: EpollEvent, into: &mut Completions<Socket>) {
        // The waker's only purpose is that the wait ends.
        let Some(token) = Token::from_bits(event.data()) else { return };
        match token.op() {
            Op::Accept => self.accept_waiting(token, into),
            Op::Dial => {
                if let Some(dial) = self.table.end_dial(token) {
                    into.push(self.dialed(token, dial));
                }
            }
            Op::WatchDownstream | Op::WatchUpstream => {
                let event = Event::Ready(readiness(event.events()));
                into.push(Completion { token, event, last: false });
            }
        }
    }
}

impl Kernel for Epoll {
    at_once_by_system_call!();

    fn accept(&mut self, listener: ListenerId, token: Token) {
        self.begin_accept(listener, token, false);
    }

    fn accept_one(&mut self, listener: ListenerId, token: Token) {
        self.begin_accept(listener, token, true);
    }

    fn close_listener(&mut self, listener: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener.0)) {
            listener.socket = None;
        }
    }

    fn dial(
        &mut self,
        to: SocketAddr,
        options: &DialOptions,
        hello: Option<&BufferId>,
        token: Token,
    ) {
        let begun = for_dial(to, options)
            .and_then(|socket| self.begin_dial(&socket, to, token).map(|()| socket));
        match begun {
            Ok(socket) => self.table.begin_dial(token, socket, hello),
            Err(errno) => self.end_early(token, errno),
        }
    }

    fn watch(&mut self, socket: &Socket, token: Token) {
        let mut event = EpollEvent::new(WATCHED, token.to_bits());
        // A dialed socket is registered already, an accepted one is not; handed-over ones may
        // be either.
        let registered = if token.op() == Op::WatchUpstream {
            match self.epoll.modify(socket, &mut event) {
                Err(Errno::ENOENT) => self.epoll.add(socket, event),
                outcome => outcome,
            }
        } else {
            match self.epoll.add(socket, event) {
                Err(Errno::EEXIST) => self.epoll.modify(socket, &mut event),
                outcome => outcome,
            }
        };
        match registered {
            Ok(()) => self.table.begin_watch(token, socket.as_raw_fd()),
            Err(errno) => self.end_early(token, errno),
        }
    }

    fn cancel(&mut self, token: Token) {
        let under_way = match token.op() {
            Op::Accept => {
                let mut listeners = self.listeners.iter_mut();
                listeners.find(|l| l.token == Some(token)).is_some_and(|listener| {
                    listener.token = None;
                    if let Some(socket) = &listener.socket {
                        let _closed = self.epoll.delete(socket);
                    }
                    true
                })
            }
            // Closing the socket ends its registration.
            Op::Dial => self.table.end_dial(token).is_some(),
            Op::WatchDownstream | Op::WatchUpstream => {
                self.table.end_watch(token).is_some_and(|socket| {
                    unregister(&self.epoll, socket);
                    true
                })
            }
        };
        if under_way {
            self.end_early(token, Errno::ECANCELED);
        }
    }

    fn turn(&mut self, wait: Wait, into: &mut Completions<Socket>) {
        let ready = !self.early.is_empty();
        into.append(&mut self.early);
        let count = match wait {
            Wait::Until(until) if !ready => self.wait(until),
            Wait::Until(_) | Wait::No => self.receive(EpollTimeout::ZERO),
        };
        self.now = monotonic();
        for at in 0..count {
            if let Some(&event) = self.events.get(at) {
                self.complete(event, into);
            }
        }
    }
}

fn accept_one(listener: BorrowedFd<'_>) -> Result<Socket, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: `from_raw_fd` wants an open descriptor that nobody else owns; accept4(2) has just
    // made it for us.
    Ok(Socket::from_fd(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn unregister(epoll: &nix::sys::epoll::Epoll, socket: RawFd) {
    // SAFETY: `borrow_raw` wants the descriptor open while it is borrowed. The worker closes a
    // watched socket only after its watch's last completion, which is not told before this.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let _closed = epoll.delete(socket);
}

fn failed(token: Token, errno: Errno) -> Completion<Socket> {
    Completion { token, event: Event::Failed(errno), last: true }
}

/// The edges in epoll's events, which always describe the socket's present state.
fn readiness(events: EpollFlags) -> Readiness {
    let all = [
        (EpollFlags::EPOLLIN, Readiness::IN),
        (EpollFlags::EPOLLOUT, Readiness::OUT),
        (EpollFlags::EPOLLRDHUP, Readiness::FINISHED),
        (EpollFlags::EPOLLERR.union(EpollFlags::EPOLLHUP), Readiness::BROKEN),
        (EpollFlags::EPOLLPRI, Readiness::URGENT),
    ];
    let none = Readiness::default();
    all.iter()
        .filter(|(flags, _)| events.intersects(*flags))
        .fold(none, |ready, &(_, readiness)| ready.with(readiness))
}
