//! A kernel with one listener, and peers to talk to it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use sluice::kernel::epoll::Epoll;
use sluice::kernel::uring::Ring;
use sluice::kernel::{
    Completion, DialOptions, Event, Kernel, KernelOptions, ListenerId, Op, Readiness, Token, Wait,
};
use sluice::sys::pipe::Pipe;
use sluice::sys::socket::Socket;

/// Longer than anything here takes, short enough to see a hang.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A kernel of real sockets.
pub trait Engine: Kernel<Socket = Socket, Pipe = Pipe> {
    fn make(options: KernelOptions) -> Self;
}

impl Engine for Ring {
    fn make(options: KernelOptions) -> Self {
        Self::new(options).unwrap()
    }
}

impl Engine for Epoll {
    fn make(options: KernelOptions) -> Self {
        Self::new(options).unwrap()
    }
}

/// Runs each test on every engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod ring {
            $(#[test] fn $name() { super::$name::<sluice::kernel::uring::Ring>(); })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name::<sluice::kernel::epoll::Epoll>(); })*
        }
    };
}
pub(crate) use on_both_engines;

/// An engine, what it was made with, and what it reported.
pub struct Bench<K> {
    pub kernel: K,
    pub address: SocketAddr,
    pub waker: OwnedFd,
    pub seen: Vec<Completion<Socket>>,
    next_slot: u32,
}

impl<K: Engine> Bench<K> {
    pub fn new() -> Self {
        Self::spinning(Duration::ZERO)
    }

    pub fn spinning(spin: Duration) -> Self {
        sluice::sys::ignore_sigpipe().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waker: OwnedFd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap().into();
        let kernel = K::make(KernelOptions {
            listeners: vec![listener.into()],
            waker: waker.try_clone().unwrap(),
            hello_buffer_count: 16,
            spin,
        });
        Self { kernel, address, waker, seen: Vec::new(), next_slot: 0 }
    }

    pub fn token(&mut self, op: Op) -> Token {
        self.next_slot += 1;
        Token::new(op, 1, self.next_slot)
    }

    /// One turn without waiting.
    pub fn turn(&mut self) {
        self.kernel.turn(Wait::No, &mut self.seen);
    }

    /// The next completion of a token.
    pub fn next(&mut self, token: Token) -> Completion<Socket> {
        let deadline = self.after(PATIENCE);
        loop {
            if let Some(at) = self.seen.iter().position(|c| c.token == token) {
                return self.seen.remove(at);
            }
            assert!(self.kernel.now() < deadline, "nothing came for {token:?}");
            self.kernel.turn(Wait::Until(deadline), &mut self.seen);
        }
    }

    /// Waits until a watch reports any of these; returns all it reported until then.
    pub fn ready(&mut self, token: Token, any: Readiness) -> Readiness {
        let mut all = Readiness::default();
        loop {
            match self.next(token).event {
                Event::Ready(ready) => all = all.with(ready),
                other => panic!("{other:?}"),
            }
            if all.any(any) {
                return all;
            }
        }
    }

    /// Nothing is, or becomes, known of a token, with all that happened so far.
    #[track_caller]
    pub fn assert_silent(&mut self, token: Token) {
        for _ in 0..3 {
            self.turn();
        }
        let found: Vec<_> = self.seen.iter().filter(|c| c.token == token).collect();
        assert!(found.is_empty(), "{found:?}");
    }

    /// Waits for the last completion of a token, passing over earlier ones.
    pub fn last(&mut self, token: Token) -> Event<Socket> {
        loop {
            let completion = self.next(token);
            if completion.last {
                return completion.event;
            }
        }
    }

    pub fn after(&self, duration: Duration) -> sluice::kernel::Tick {
        sluice_now().after(duration)
    }

    /// A connection accepted by the kernel, and its other end.
    pub fn accepted(&mut self) -> (Socket, TcpStream) {
        let token = self.token(Op::Accept);
        self.kernel.accept(ListenerId(0), token);
        let peer = connect(self.address);
        let event = self.next(token).event;
        self.kernel.cancel(token);
        self.last(token);
        match event {
            Event::Accepted(socket) => (socket, peer),
            other => panic!("{other:?}"),
        }
    }

    /// A connection made by the kernel, and its other end.
    pub fn dialed(&mut self) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let token = self.token(Op::Dial);
        let to = listener.local_addr().unwrap();
        self.kernel.dial(to, &DialOptions::default(), None, token);
        match self.next(token).event {
            Event::Dialed { socket, sent_bytes: 0 } => {
                (socket, patient(listener.accept().unwrap().0))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Watches a socket and takes its first report.
    pub fn watched(&mut self, socket: &Socket, op: Op) -> (Token, Readiness) {
        let token = self.token(op);
        self.kernel.watch(socket, token);
        match self.next(token).event {
            Event::Ready(ready) => (token, ready),
            other => panic!("{other:?}"),
        }
    }

    /// Ends a watch as a worker does, and closes.
    pub fn close_watched(&mut self, socket: Socket, token: Token) {
        self.kernel.cancel(token);
        self.last(token);
        self.kernel.close(socket);
    }
}

/// The clock that the kernels use.
pub fn sluice_now() -> sluice::kernel::Tick {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    sluice::kernel::Tick(Duration::from(time).as_micros().try_into().unwrap())
}

pub fn connect(to: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(to).unwrap())
}

/// A peer that fails instead of hanging.
pub fn patient(peer: TcpStream) -> TcpStream {
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer.set_nodelay(true).unwrap();
    peer
}

/// Sends, and does not close.
pub fn say(peer: &TcpStream, bytes: &[u8]) {
    (&*peer).write_all(bytes).unwrap();
}

/// Receives exactly this.
#[track_caller]
pub fn hear(peer: &TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    (&*peer).read_exact(&mut heard).unwrap();
    assert_eq!(heard, bytes);
}

/// Closes with RST.
pub fn abort(peer: TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// Sends FIN.
pub fn finish(peer: &TcpStream) {
    peer.shutdown(Shutdown::Write).unwrap();
}

/// Bytes of which no two stretches are alike.
pub fn pattern(count: usize) -> Vec<u8> {
    let mut random = sluice::kernel::random::Random::seeded(count as u64);
    (0..count).map(|_| random.draw().to_le_bytes()[7]).collect()
}

/// A listener on which connections no longer complete, and what fills it.
pub fn full_listener() -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
    use socket2::{Domain, SockAddr, Type};
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        let _in_progress = socket.connect(&address);
        socket
    };
    let fillers = (0..8).map(|_| fill()).collect();
    (listener, fillers, address.as_socket().unwrap())
}

/// Descriptors of this process.
pub fn descriptor_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

const ALONE: &str = "SLUICE_TEST_ALONE";

/// Runs a test in a process of its own: for what concerns all of a process.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A second descriptor of the same socket.
pub fn duplicate(socket: &Socket) -> Socket {
    let raw = socket.as_raw_fd();
    Socket::from_fd(socket.as_fd().try_clone_to_owned().unwrap_or_else(|e| panic!("{raw}: {e}")))
}
