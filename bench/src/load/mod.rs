//! The load generator: clients and backend in one thread, on one CPU of their own.
//!
//! ```text
//!   client ends ──▶ the proxy that is measured ──▶ backend ends
//!        └──────────────── one epoll ────────────────────┘
//! ```
//!
//! Every byte has one right value ([`pattern`]), and every session is known by its hello
//! ([`hello`]): what a proxy mixes up, loses or invents ends the run with a [`LoadError`].

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

use crate::workload::{Direction, Group, Kind, Row};
use end::{Ends, Role};
use hello::Hello;
use pattern::Pattern;
use schedule::Schedule;
use tally::Tally;

mod backend;
mod client;
mod end;
pub(crate) mod hello;
pub(crate) mod pattern;
mod schedule;
mod stream;
pub(crate) mod tally;
#[cfg(test)]
mod tests;

/// The server name of every hello.
pub(crate) const SERVER_NAME: &str = "web.default.dc1.internal.example.com";
/// The backend's first answer.
const ANSWER_BYTES: u64 = 64;
/// Sessions that are opened at once before the measurement begins.
const OPENING_MAX: usize = 128;
/// What one read takes at most.
const READ_BYTES: usize = pattern::PIECE_BYTES_MAX;
const EVENT_COUNT: usize = 256;
const LISTENER: u64 = u64::MAX;

/// What went wrong with a transfer. The run does not count then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// A system call of the load generator itself failed.
    #[error("the load generator's {0} failed: {1}")]
    System(&'static str, Errno),
    /// A session could not be opened.
    #[error("a connection to the proxy failed: {0}")]
    Refused(Errno),
    /// A connection broke.
    #[error("the {0} saw its connection break: {1}")]
    Broken(Role, Errno),
    /// A connection ended that should go on.
    #[error("the {0} saw its connection end {1} bytes short")]
    Short(Role, u64),
    /// Other bytes arrived than were sent.
    #[error("the {role} of session {session} received other bytes than were sent, at {position}")]
    Wrong { role: Role, session: u32, position: u64 },
    /// Bytes arrived that nobody sent.
    #[error("the {0} received {1} bytes that nobody sent")]
    TooMany(Role, u64),
    /// The backend got something else than the hello.
    #[error("the backend received another hello than was sent")]
    WrongHello,
    /// Not everything happened in time.
    #[error("after {0:?}, {1} of {2} {3}")]
    Late(Duration, usize, usize, &'static str),
    /// A stream did not arrive as a whole.
    #[error("session {session}: {sent} bytes were sent and {received} received")]
    Incomplete { session: u32, sent: u64, received: u64 },
}

/// What a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Sessions are opened; nothing else.
    Opening,
    /// Traffic, not counted, every byte compared.
    Warming,
    /// Traffic, counted.
    Measured,
    /// What is under way ends.
    Ending,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// By group.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) elapsed: Duration,
    /// The load generator's own share of its CPU.
    pub(crate) utilisation: f64,
}

/// A load generator with its backend.
#[derive(Debug)]
pub(crate) struct Load {
    poll: Epoll,
    listener: Socket,
    backend: SocketAddr,
    target: SocketAddr,
    groups: Vec<Group>,
    hello: Hello,
    hello_piece_bytes: usize,
    spin: bool,
    pattern: Pattern,
    buffer: Vec<u8>,
    events: Vec<EpollEvent>,
    ends: Ends,
    session_next: u32,
    /// Clients whose first answer is still to come.
    opening: usize,
    /// Lasting sessions opened so far.
    opened: usize,
    /// Clients with something under way: a session of their own, or a request.
    busy: usize,
    phase: Phase,
    schedule: Option<Schedule>,
    tallies: Vec<Tally>,
    streams: stream::Streams,
    /// Time spent in looking for work in vain.
    idle: Duration,
    problem: Option<LoadError>,
}

/// Setting it up.
impl Load {
    /// A load generator for a workload; its backend listens from now on.
    ///
    /// # Errors
    /// A system call failed.
    pub(crate) fn new(row: &Row) -> Result<Self, LoadError> {
        let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| LoadError::System("epoll_create1", errno))?;
        let listener = listen().map_err(system("listen"))?;
        let backend = listener
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .ok_or(LoadError::System("getsockname", Errno::EINVAL))?;
        poll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))
            .map_err(|errno| LoadError::System("epoll_ctl", errno))?;
        let hello = Hello::new(SERVER_NAME, row.hello);
        Ok(Self {
            poll,
            listener,
            backend,
            target: backend,
            groups: row.groups.clone(),
            hello_piece_bytes: hello.len().div_ceil(row.hello_pieces.max(1)),
            hello,
            spin: row.spin,
            pattern: Pattern::new().map_err(|error| {
                let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
                LoadError::System("memfd_create", errno)
            })?,
            buffer: vec![0; READ_BYTES],
            events: vec![EpollEvent::empty(); EVENT_COUNT],
            ends: Ends::default(),
            session_next: 1,
            opened: 0,
            opening: 0,
            busy: 0,
            phase: Phase::Opening,
            schedule: None,
            tallies: row.groups.iter().map(|_| Tally::new()).collect(),
            streams: stream::Streams::default(),
            idle: Duration::ZERO,
            problem: None,
        })
    }

    /// Where the proxy is to connect to.
    pub(crate) fn backend(&self) -> SocketAddr {
        self.backend
    }
}

/// The course of a run.
impl Load {
    /// Opens every session towards the proxy that is not open yet.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn open(&mut self, target: SocketAddr) -> Result<(), LoadError> {
        self.open_up_to(target, usize::MAX)
    }

    /// Opens sessions until there are so many.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn open_up_to(&mut self, target: SocketAddr, most: usize) -> Result<(), LoadError> {
        const TIME: Duration = Duration::from_secs(20);
        self.target = target;
        let is_lasting = |group: &Group| group.kind != Kind::Conn;
        let wanted: Vec<usize> = (self.groups.iter().enumerate())
            .filter(|(_, group)| is_lasting(group))
            .flat_map(|(index, group)| std::iter::repeat_n(index, group.sessions))
            .take(most)
            .collect();
        let began = Instant::now();
        let mut started = self.opened;
        while started < wanted.len() || self.opening > 0 {
            while self.opening < OPENING_MAX
                && let Some(&group) = wanted.get(started)
            {
                self.start_session(group);
                started += 1;
            }
            self.turn()?;
            if began.elapsed() > TIME {
                let done = started - self.opening;
                return Err(LoadError::Late(TIME, done, wanted.len(), "sessions were open"));
            }
        }
        self.opened = started;
        Ok(())
    }

    /// Begins with the traffic, without counting it. With a rate, requests arrive so many times a
    /// second, whatever became of those before.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn warm_up(
        &mut self,
        time: Duration,
        rate_per_s: Option<f64>,
    ) -> Result<(), LoadError> {
        self.phase = Phase::Warming;
        self.schedule = rate_per_s.map(Schedule::new);
        self.begin_traffic();
        self.run_for(time)
    }

    /// Counts what happens during this time.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn measure(&mut self, time: Duration) -> Result<Measured, LoadError> {
        self.phase = Phase::Measured;
        self.idle = Duration::ZERO;
        let (began, cpu) = (Instant::now(), thread_cpu());
        self.run_for(time)?;
        let elapsed = began.elapsed();
        // Whoever looks for work uses all of its CPU: then the time counts that was not in vain.
        let used = if self.looks() {
            elapsed.saturating_sub(self.idle)
        } else {
            thread_cpu().saturating_sub(cpu)
        };
        let tallies = self.groups.iter().map(|_| Tally::new()).collect();
        Ok(Measured {
            tallies: std::mem::replace(&mut self.tallies, tallies),
            elapsed,
            utilisation: used.as_secs_f64() / elapsed.as_secs_f64(),
        })
    }

    /// Lets everything end that is under way, and sees that nothing is missing.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn finish(&mut self) -> Result<(), LoadError> {
        const TIME: Duration = Duration::from_secs(10);
        self.phase = Phase::Ending;
        self.schedule = None;
        let began = Instant::now();
        self.end_streams();
        let open = self.streams.under_way();
        while self.busy > 0 || self.streams.under_way() > 0 {
            self.turn()?;
            if began.elapsed() > TIME {
                let left = self.busy + self.streams.under_way();
                let what = "transfers never ended";
                return Err(LoadError::Late(TIME, left, open + left, what));
            }
        }
        self.streams.verify()
    }

    fn run_for(&mut self, time: Duration) -> Result<(), LoadError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for events, and acts on them.
    fn turn(&mut self) -> Result<(), LoadError> {
        const WAIT_MS: u8 = 10;
        self.send_due();
        let looks = self.looks();
        let wait = if looks { EpollTimeout::ZERO } else { EpollTimeout::from(WAIT_MS) };
        let began = looks.then(Instant::now);
        let mut events = std::mem::take(&mut self.events);
        let count = match self.poll.wait(&mut events, wait) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(LoadError::System("epoll_wait", errno)),
        };
        for event in events.iter().take(count) {
            self.handle(event.data(), event.events());
        }
        self.events = events;
        if let Some(began) = began
            && count == 0
        {
            self.idle += began.elapsed();
        }
        self.problem.take().map_or(Ok(()), Err)
    }

    fn handle(&mut self, token: u64, events: EpollFlags) {
        if token == LISTENER {
            return self.accept();
        }
        let Some((slot, role)) = self.ends.of_token(token) else { return };
        let outcome = match role {
            Role::Client => self.client_event(slot, events),
            Role::Backend => self.backend_event(slot, events),
        };
        if let Err(error) = outcome {
            self.problem.get_or_insert(error);
        }
    }

    /// Whether it looks for work instead of sleeping until there is some.
    fn looks(&self) -> bool {
        self.spin || self.schedule.is_some()
    }

    fn is_counting(&self) -> bool {
        self.phase == Phase::Measured
    }

    fn kind(&self, group: u8) -> Kind {
        self.groups.get(usize::from(group)).map_or(Kind::Idle, |group| group.kind)
    }

    fn direction(&self, group: u8) -> Direction {
        self.groups.get(usize::from(group)).map_or(Direction::Up, |group| group.direction)
    }
}

fn listen() -> io::Result<Socket> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&crate::run::ports::free_address()?.into())?;
    listener.listen(4096)?;
    Ok(listener)
}

/// What this thread has used of its CPU.
fn thread_cpu() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

fn system(call: &'static str) -> impl Fn(io::Error) -> LoadError {
    move |error| LoadError::System(call, errno(&error))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
