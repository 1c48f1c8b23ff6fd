//! The floor: bare relays, to see what a gateway costs beyond what the kernel costs. They dial
//! after the first read, as a gateway must, and know no names, timers or logs.

use std::io;
use std::net::SocketAddr;

use clap::ValueEnum;
use socket2::{Domain, Socket, Type};

mod epoll;
mod poll;
mod pump;
mod receive;
mod session;

/// How a bare relay learns of work, and how it moves bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// epoll, edge-triggered; recv and send.
    EpollCopy,
    /// The same; splice for streams.
    EpollHybrid,
    /// Multishot poll on a ring; recv and send.
    PollCopy,
    /// The same; always splice.
    PollSplice,
    /// The same; splice for streams.
    PollHybrid,
    /// Multishot receive into provided buffers; send.
    Receive,
}

/// How bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Copy,
    Splice,
    Hybrid,
}

/// Relays until the process is ended.
///
/// # Errors
/// Setting up failed, or waiting for work.
pub(crate) fn run(engine: Engine, bind: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    crate::run::limits::raise_descriptors();
    let listener = listen(bind)?;
    match engine {
        Engine::EpollCopy => epoll::run(&listener, backend, Mode::Copy),
        Engine::EpollHybrid => epoll::run(&listener, backend, Mode::Hybrid),
        Engine::PollCopy => poll::run(&listener, backend, Mode::Copy),
        Engine::PollSplice => poll::run(&listener, backend, Mode::Splice),
        Engine::PollHybrid => poll::run(&listener, backend, Mode::Hybrid),
        Engine::Receive => receive::run(&listener, backend),
    }
}

/// Accepted sockets inherit TCP_NODELAY from the listener.
fn listen(bind: SocketAddr) -> io::Result<Socket> {
    let listener = socket(bind)?;
    listener.set_reuse_address(true)?;
    listener.bind(&bind.into())?;
    listener.listen(4096)?;
    Ok(listener)
}

fn socket(of_kind: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(of_kind), kind, None)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}
