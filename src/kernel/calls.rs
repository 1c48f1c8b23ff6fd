//! What happens at once, by system call: the same for every kernel of real sockets.
//!
//! The calls that every relayed byte goes through are rustix's, which are inline instructions.
//! libc's recv, send and splice are cancellation points: in a process of several threads each
//! call costs two atomic operations more (kernel note 24).

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{SpliceFlags, splice};

use super::{Take, Tick, Tried};
use crate::sys::pipe::Pipe;
use crate::sys::socket::Socket;

/// Implements, inside an `impl Kernel`, all that happens at once.
macro_rules! at_once_by_system_call {
    () => {
        type Socket = $crate::sys::socket::Socket;
        type Pipe = $crate::sys::pipe::Pipe;

        #[inline]
        fn recv(&mut self, socket: &Self::Socket, to: &mut [u8], take: Take) -> Tried<usize> {
            $crate::kernel::calls::recv(socket, to, take)
        }
        fn discard(&mut self, socket: &Self::Socket, count_bytes: usize) -> Tried<usize> {
            $crate::kernel::calls::discard(socket, count_bytes)
        }
        #[inline]
        fn send(&mut self, socket: &Self::Socket, bytes: &[u8]) -> Tried<usize> {
            $crate::kernel::calls::send(socket, bytes)
        }
        fn low_water(&mut self, socket: &Self::Socket, bytes: usize) {
            $crate::sys::socket::set_low_water(socket.as_fd(), bytes);
        }
        fn pipe(&mut self, capacity_bytes: usize, least_bytes: usize) -> Result<Self::Pipe, Errno> {
            $crate::sys::pipe::Pipe::new(capacity_bytes, least_bytes)
        }
        fn pipe_pending_bytes(&self, pipe: &Self::Pipe) -> usize {
            pipe.pending_bytes()
        }
        fn pipe_capacity_bytes(&self, pipe: &Self::Pipe) -> usize {
            pipe.capacity_bytes()
        }
        fn stash(&mut self, pipe: &mut Self::Pipe, bytes: &[u8]) -> Tried<usize> {
            $crate::kernel::calls::stash(pipe, bytes)
        }
        fn fill(
            &mut self,
            socket: &Self::Socket,
            pipe: &mut Self::Pipe,
            most_bytes: usize,
        ) -> Tried<usize> {
            $crate::kernel::calls::fill(socket, pipe, most_bytes)
        }
        fn flush(&mut self, pipe: &mut Self::Pipe, socket: &Self::Socket) -> Tried<usize> {
            $crate::kernel::calls::flush(pipe, socket)
        }
        fn close_pipe(&mut self, pipe: Self::Pipe) {
            drop(pipe);
        }
        fn finish(&mut self, socket: &Self::Socket) {
            $crate::sys::socket::finish(socket.as_fd());
        }
        fn reset(&mut self, socket: &Self::Socket) {
            $crate::sys::socket::reset(socket.as_fd());
        }
        fn close(&mut self, socket: Self::Socket) {
            drop(socket);
        }
        fn peer_address(&mut self, socket: &Self::Socket) -> Option<SocketAddr> {
            $crate::sys::socket::peer_address(socket.as_fd())
        }
        fn local_address(&mut self, socket: &Self::Socket) -> Option<SocketAddr> {
            $crate::sys::socket::local_address(socket.as_fd())
        }
        fn buffers(&mut self) -> &mut HelloBuffers {
            &mut self.buffers
        }
        fn now(&self) -> Tick {
            self.now
        }
        fn random(&mut self) -> u64 {
            self.random.draw()
        }
    };
}
pub(super) use at_once_by_system_call;

/// recv(2). Without room nothing is tried: the kernel's 0 would look like a FIN.
#[inline]
pub(super) fn recv(socket: &Socket, to: &mut [u8], take: Take) -> Tried<usize> {
    if to.is_empty() {
        return Tried::Later;
    }
    let flags = match take {
        Take::Consume => RecvFlags::DONTWAIT,
        Take::Peek => RecvFlags::DONTWAIT | RecvFlags::PEEK,
    };
    tried(|| rustix::net::recv(socket, &mut *to, flags).map(|(_, count)| count))
}

/// recv(2) with `MSG_TRUNC`, which for TCP drops bytes without copying them (tcp(7)).
pub(super) fn discard(socket: &Socket, count_bytes: usize) -> Tried<usize> {
    if count_bytes == 0 {
        return Tried::Later;
    }
    tried(|| {
        // SAFETY: with MSG_TRUNC, TCP's recv(2) writes nothing to its buffer, which may be
        // null. The descriptor is borrowed.
        let count = unsafe {
            let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
            libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), count_bytes, flags)
        };
        usize::try_from(count).map_err(|_| rustix::io::Errno::from_raw_os_error(Errno::last_raw()))
    })
}

/// send(2), without SIGPIPE.
#[inline]
pub(super) fn send(socket: &Socket, bytes: &[u8]) -> Tried<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    tried(|| rustix::net::send(socket, bytes, flags))
}

/// write(2) to a pipe.
pub(super) fn stash(pipe: &mut Pipe, bytes: &[u8]) -> Tried<usize> {
    let outcome = tried(|| rustix::io::write(pipe.write_end(), bytes));
    if let Tried::Did(count) = outcome {
        pipe.added(count);
    }
    outcome
}

const MOVE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// splice(2) from a socket.
pub(super) fn fill(socket: &Socket, pipe: &mut Pipe, most_bytes: usize) -> Tried<usize> {
    if most_bytes == 0 {
        return Tried::Later;
    }
    let outcome = tried(|| splice(socket, None, pipe.write_end(), None, most_bytes, MOVE));
    match outcome {
        // With bytes before it in the pipe, the FIN is told when they have left.
        Tried::Did(0) if pipe.pending_bytes() > 0 => return Tried::Later,
        Tried::Did(count) => pipe.added(count),
        Tried::Later | Tried::Failed(_) => {}
    }
    outcome
}

/// splice(2) to a socket. SIGPIPE is ignored: see [`crate::sys::ignore_sigpipe`].
pub(super) fn flush(pipe: &mut Pipe, socket: &Socket) -> Tried<usize> {
    let pending = pipe.pending_bytes();
    debug_assert!(pending > 0, "flush of an empty pipe");
    let outcome = tried(|| splice(pipe.read_end(), None, socket, None, pending, MOVE));
    if let Tried::Did(count) = outcome {
        pipe.removed(count);
    }
    outcome
}

/// Runs a system call that does not block, again if a signal interrupted it.
#[inline]
fn tried(mut call: impl FnMut() -> rustix::io::Result<usize>) -> Tried<usize> {
    loop {
        match call() {
            Ok(count) => return Tried::Did(count),
            Err(rustix::io::Errno::AGAIN) => return Tried::Later,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Tried::Failed(Errno::from_raw(errno.raw_os_error())),
        }
    }
}

/// `CLOCK_MONOTONIC`, by vDSO.
#[inline]
pub(super) fn monotonic() -> Tick {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one timespec at `tp`, which is exclusively borrowed. With
    // this clock it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Tick(seconds.wrapping_mul(1_000_000).wrapping_add(nanoseconds / 1000))
}
