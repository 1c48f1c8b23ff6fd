//! TCP sockets as the data path needs them: nonblocking, without delay, urgent data inline.

use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::Shutdown;
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};

use crate::kernel::{DialOptions, Keepalive};

/// A TCP socket that somebody connected.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Takes a connected socket over. It must be nonblocking: `SPLICE_F_NONBLOCK` alone does not
    /// keep splice(2) from blocking on a socket.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Gives the descriptor away, for another process or worker.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A nonblocking socket to connect to `to` with.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`; `EAFNOSUPPORT` where the family is disabled.
pub fn for_dial(to: SocketAddr, options: &DialOptions) -> Result<OwnedFd, Errno> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new_raw(Domain::for_address(to), kind, Some(Protocol::TCP))
        .map_err(errno)?;
    prepare(&SockRef::from(&socket)).map_err(errno)?;
    // The hello acknowledges the handshake: a packet less (kernel note 26).
    socket.set_tcp_quickack(false).map_err(errno)?;
    if let Some(keepalive) = &options.keepalive {
        let parameters = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probe_count);
        socket.set_tcp_keepalive(&parameters).map_err(errno)?;
    }
    Ok(socket.into())
}

/// Keepalive as Linux has it where nothing else is said: the sysctls of tcp(7), or what they are
/// made with.
#[must_use]
pub fn keepalive_defaults() -> Keepalive {
    let sysctl = |name: &str, otherwise: u32| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_keepalive_{name}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(otherwise)
    };
    let seconds = |number: u32| Duration::from_secs(number.into());
    Keepalive {
        idle: seconds(sysctl("time", 7200)),
        interval: seconds(sysctl("intvl", 75)),
        probe_count: sysctl("probes", 9),
    }
}

/// Sets on a listener what its connections inherit, so that accepting costs no call more.
///
/// # Errors
/// Those of setsockopt(2) and fcntl(2).
pub fn prepare_listener(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    let listener = SockRef::from(&listener);
    listener.set_nonblocking(true).map_err(errno)?;
    prepare(&listener).map_err(errno)
}

/// Urgent data stays in the stream: else its byte would be taken out of what is forwarded.
fn prepare(socket: &SockRef<'_>) -> std::io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

/// The outcome of a connect(2) that was under way (`SO_ERROR`, which it clears).
///
/// # Errors
/// Why it failed.
pub fn connect_result(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    match SockRef::from(&socket).take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(errno(error)),
    }
}

/// Sets `SO_RCVLOWAT`. An impossible value is ignored: a wake too many does no harm.
pub fn set_low_water(socket: BorrowedFd<'_>, bytes: usize) {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: setsockopt(2) reads `optlen` bytes at `optval`, an int for this option: `value`
    // lives across the call and the length is its size. The descriptor is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            LENGTH_OF_INT,
        )
    };
    debug_assert_eq!(result, 0, "SO_RCVLOWAT {bytes}: {}", Errno::last());
}

#[allow(clippy::cast_possible_truncation, reason = "four")]
const LENGTH_OF_INT: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;

/// Sends FIN after everything sent so far. A connection that is gone already needs none.
pub fn finish(socket: BorrowedFd<'_>) {
    let _gone = nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// Sends RST and drops what is queued, by dissolving the association (connect(2)). Unlike
/// close(2) with `SO_LINGER`, it acts at once, although a watch still holds the socket.
pub fn reset(socket: BorrowedFd<'_>) {
    let nowhere = libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap_or_default(),
        sa_data: [0; 14],
    };
    // SAFETY: connect(2) reads `addrlen` bytes at `addr`; `nowhere` lives across the call and
    // the length is its size. The descriptor is borrowed.
    let _gone =
        unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, LENGTH_OF_SOCKADDR) };
}

#[allow(clippy::cast_possible_truncation, reason = "sixteen")]
const LENGTH_OF_SOCKADDR: libc::socklen_t = size_of::<libc::sockaddr>() as libc::socklen_t;

/// The other end's address.
#[must_use]
pub fn peer_address(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    SockRef::from(&socket).peer_addr().ok()?.as_socket()
}

/// This end's address.
#[must_use]
pub fn local_address(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    SockRef::from(&socket).local_addr().ok()?.as_socket()
}

/// The errno of a system call's failure.
#[must_use]
pub fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
