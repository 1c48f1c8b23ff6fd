//! Two ends of one real loopback connection, by plain system calls.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::pipe2;
use sluice::kernel::{Readiness, Tried};
use socket2::{Domain, Socket, Type};

/// Far more than a script has under way, so that no buffer is ever full: how many bytes fill
/// one depends on how Linux counts its memory, and is no part of the contract.
const BUFFER_BYTES: usize = 1 << 20;

/// A real pipe, with the number of bytes in it.
pub(crate) struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
    pub(crate) pending_bytes: usize,
}

pub(crate) struct Real {
    pub(crate) sockets: [Option<Socket>; 2],
    epoll: Epoll,
}

fn tried(result: Result<usize, Errno>) -> Tried<usize> {
    match result {
        Ok(count) => Tried::Did(count),
        Err(Errno::EAGAIN) => Tried::Later,
        Err(errno) => Tried::Failed(errno),
    }
}

/// A listener whose connections have the options of [`configure`].
pub(crate) fn listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    configure(&socket);
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

fn configure(socket: &Socket) {
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.set_send_buffer_size(BUFFER_BYTES).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    // Without pacing what is sent on loopback arrives within the system call, as a rule.
    socket.set_tcp_congestion(b"reno").unwrap();
}

impl Real {
    pub(crate) fn new(listener: &TcpListener) -> Self {
        let dialer = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        configure(&dialer);
        dialer.connect(&listener.local_addr().unwrap().into()).unwrap();
        let accepted = Socket::from(listener.accept().unwrap().0);
        accepted.set_tcp_nodelay(true).unwrap();
        for socket in [&dialer, &accepted] {
            socket.set_nonblocking(true).unwrap();
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        Self { sockets: [Some(dialer), Some(accepted)], epoll }
    }

    fn socket(&self, side: usize) -> &Socket {
        self.sockets[side].as_ref().unwrap()
    }

    fn fd(&self, side: usize) -> RawFd {
        self.socket(side).as_raw_fd()
    }

    pub(crate) fn recv(&self, side: usize, to: &mut [u8], flags: MsgFlags) -> Tried<usize> {
        tried(recv(self.fd(side), to, flags))
    }

    pub(crate) fn send(&self, side: usize, bytes: &[u8]) -> Tried<usize> {
        tried(send(self.fd(side), bytes, MsgFlags::MSG_NOSIGNAL))
    }

    pub(crate) fn low_water(&self, side: usize, bytes: usize) {
        let value = libc::c_int::try_from(bytes).unwrap();
        // SAFETY: setsockopt reads an int, which lives across the call, and is told its size.
        let result = unsafe {
            libc::setsockopt(
                self.fd(side),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                (&raw const value).cast(),
                4,
            )
        };
        Errno::result(result).unwrap();
    }

    pub(crate) fn fill(&self, side: usize, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
        let result = splice(self.socket(side), None, &pipe.input, None, most_bytes, flags());
        if let Ok(count) = result {
            pipe.pending_bytes += count;
        }
        match tried(result) {
            // As the contract has it: FIN is told when the pipe is empty.
            Tried::Did(0) if pipe.pending_bytes > 0 => Tried::Later,
            tried => tried,
        }
    }

    pub(crate) fn flush(&self, pipe: &mut Pipe, side: usize) -> Tried<usize> {
        let pending_bytes = pipe.pending_bytes;
        let result = splice(&pipe.output, None, self.socket(side), None, pending_bytes, flags());
        if let Ok(count) = result {
            pipe.pending_bytes -= count;
        }
        tried(result)
    }

    pub(crate) fn finish(&self, side: usize) {
        // ENOTCONN after a reset: there is nothing to finish.
        let _ = self.socket(side).shutdown(std::net::Shutdown::Write);
    }

    pub(crate) fn reset(&self, side: usize) {
        let address = libc::sockaddr {
            sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap(),
            sa_data: [0; 14],
        };
        // SAFETY: connect reads a sockaddr, which lives across the call, and is told its size.
        let result = unsafe { libc::connect(self.fd(side), &raw const address, 16) };
        Errno::result(result).unwrap();
    }

    pub(crate) fn close(&mut self, side: usize) {
        self.sockets[side] = None;
    }

    pub(crate) fn watch(&self, side: usize) {
        let interest = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        self.epoll.add(self.socket(side), EpollEvent::new(interest, side as u64)).unwrap();
    }

    pub(crate) fn unwatch(&self, side: usize) {
        self.epoll.delete(self.socket(side)).unwrap();
    }

    /// The edges since the last call, by side.
    pub(crate) fn edges(&self) -> [Readiness; 2] {
        let mut events = [EpollEvent::empty(); 4];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
        let mut edges = [Readiness::NONE; 2];
        for event in &events[..count] {
            let flags = event.events().bits();
            edges[usize::try_from(event.data()).unwrap()] = readiness(flags);
        }
        edges
    }

    pub(crate) fn readiness(&self, side: usize) -> Readiness {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
        let mut polled = libc::pollfd { fd: self.fd(side), events, revents: 0 };
        // SAFETY: poll reads and writes one pollfd, which lives across the call.
        Errno::result(unsafe { libc::poll(&raw mut polled, 1, 0) }).unwrap();
        readiness(i32::from(polled.revents))
    }

    pub(crate) fn received_bytes(&self, side: usize) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: FIONREAD writes an int, which lives across the call.
        let result = unsafe { libc::ioctl(self.fd(side), libc::FIONREAD, &raw mut count) };
        Errno::result(result).unwrap();
        usize::try_from(count).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // No TIME_WAIT: ten thousand of them would use up the ports.
        for socket in self.sockets.iter().flatten() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl Pipe {
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        let (output, input) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        let size = libc::c_int::try_from(capacity_bytes).unwrap();
        fcntl(&input, FcntlArg::F_SETPIPE_SZ(size)).unwrap();
        Self { output, input, pending_bytes: 0 }
    }

    pub(crate) fn stash(&mut self, bytes: &[u8]) -> Tried<usize> {
        let result = nix::unistd::write(&self.input, bytes);
        if let Ok(count) = result {
            self.pending_bytes += count;
        }
        tried(result)
    }

    /// What is in it, read to the end.
    pub(crate) fn contents(self) -> Vec<u8> {
        let mut contents = Vec::new();
        drop(self.input);
        File::from(self.output).read_to_end(&mut contents).unwrap();
        contents
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE
}

/// The bits of poll(2) and epoll(7) are the same.
fn readiness(flags: i32) -> Readiness {
    let names = [
        (libc::EPOLLIN, Readiness::IN),
        (libc::EPOLLOUT, Readiness::OUT),
        (libc::EPOLLRDHUP, Readiness::FINISHED),
        (libc::EPOLLHUP | libc::EPOLLERR, Readiness::BROKEN),
    ];
    names.iter().fold(
        Readiness::NONE,
        |all, (bits, name)| {
            if flags & bits != 0 { all.with(*name) } else { all }
        },
    )
}
