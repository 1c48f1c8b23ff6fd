//! Listening sockets: one per worker and address, all of an address in one SO_REUSEPORT group.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::inherited::Inherited;
use super::owner::{listening_inodes, owners_of};
use crate::error::StartError;
use crate::kernel::Keepalive;
use crate::limits::{LISTEN_BACKLOG, ORPHAN_LISTENER_POLL, ORPHAN_LISTENER_WAIT};

/// Proves that nobody listens on the address: SO_REUSEPORT alone would let a second instance
/// of the same user share the port silently.
///
/// A bind without SO_REUSEPORT fails if anyone listens, whatever options they set; with
/// SO_REUSEADDR it does not mind connections of an earlier instance in TIME_WAIT.
///
/// An instance that was killed leaves its listeners behind for some milliseconds, until the
/// kernel has taken its ring apart (`kernel-notes.md` §13): one that no process has is waited
/// for.
///
/// # Errors
/// Who has the address, or why it cannot be had.
pub fn prove_free(address: SocketAddr, flag: &'static str) -> Result<(), StartError> {
    if address.port() == 0 {
        return Ok(());
    }
    let deadline = Instant::now() + ORPHAN_LISTENER_WAIT;
    loop {
        let attempt = open(address).and_then(|socket| socket.bind(&address.into()));
        let Err(source) = attempt else { return Ok(()) };
        match explain(source, address, flag) {
            StartError::AddressInUse { owners, .. }
                if owners.is_empty() && Instant::now() < deadline =>
            {
                std::thread::sleep(ORPHAN_LISTENER_POLL);
            }
            refused => return Err(refused),
        }
    }
}

/// Opens one listener per worker on an address. With port 0, all get the port that the first
/// one got. They are nonblocking; what they accept inherits TCP_NODELAY, SO_OOBINLINE and
/// keepalive.
///
/// # Errors
/// As [`prove_free`]; also if another process came to listen there at the same time.
pub fn open_group(
    address: SocketAddr,
    worker_count: u16,
    keepalive: Option<Keepalive>,
) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    const FLAG: &str = "--bind";
    let mut listeners = Vec::new();
    let mut address = address;
    for _ in 0..worker_count {
        let listener =
            open_one(address, keepalive).map_err(|source| explain(source, address, FLAG))?;
        let bound = listener.local_addr().map_err(StartError::system("getsockname"))?;
        address = bound.as_socket().unwrap_or(address);
        listeners.push(OwnedFd::from(listener));
    }
    refuse_strangers(address, &listeners)?;
    Ok((listeners, address))
}

/// Makes listeners that were passed on like those of [`open_group`], in the order in which they
/// were passed: that in which they were bound.
///
/// # Errors
/// setsockopt(2).
pub fn adopt_group(
    passed: Vec<Inherited>,
    keepalive: Option<Keepalive>,
) -> Result<Vec<OwnedFd>, StartError> {
    let adopt = |Inherited { socket, .. }| {
        socket.set_nonblocking(true)?;
        prepare(&socket, keepalive)?;
        Ok(OwnedFd::from(socket))
    };
    let adopted: io::Result<_> = passed.into_iter().map(adopt).collect();
    adopted.map_err(StartError::system("setsockopt"))
}

/// Two instances that start at the same moment can both pass [`prove_free`]. Both see the other
/// here.
fn refuse_strangers(address: SocketAddr, ours: &[OwnedFd]) -> Result<(), StartError> {
    let inode = |fd: &OwnedFd| nix::sys::stat::fstat(fd.as_fd()).map(|stat| stat.st_ino);
    let ours: HashSet<u64> = ours.iter().filter_map(|fd| inode(fd).ok()).collect();
    let all = listening_inodes(address);
    let strangers: HashSet<u64> = all.difference(&ours).copied().collect();
    let mut owners = owners_of(&strangers);
    owners.retain(|owner| owner.pid != std::process::id());
    if owners.is_empty() {
        return Ok(());
    }
    Err(StartError::AddressInUse { address, flag: "--bind", owners })
}

fn open_one(address: SocketAddr, keepalive: Option<Keepalive>) -> io::Result<Socket> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    prepare(&socket, keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

/// What accepted connections inherit.
fn prepare(socket: &Socket, keepalive: Option<Keepalive>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Urgent bytes stay in the stream, where a relay must carry them.
    socket.set_out_of_band_inline(true)?;
    if let Some(keepalive) = keepalive {
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(keepalive.idle)
                .with_interval(keepalive.interval)
                .with_retries(keepalive.probe_count),
        )?;
    }
    Ok(())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can both be bound, and each means what it says.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Turns a refused bind into a sentence that names who refused.
pub fn explain(source: io::Error, address: SocketAddr, flag: &'static str) -> StartError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => {
            let owners = owners_of(&listening_inodes(address));
            StartError::AddressInUse { address, flag, owners }
        }
        Some(Errno::EADDRNOTAVAIL) => StartError::AddressUnknown { address, flag },
        Some(Errno::EACCES | Errno::EPERM) => StartError::AddressForbidden { address, flag },
        _ => StartError::System { what: "opening a listener", source },
    }
}

/// Gives each new connection to the listener of the worker on the CPU that it arrived on
/// (SO_ATTACH_REUSEPORT_CBPF, socket(7)).
///
/// `cpus` are the workers' CPUs, in the order in which their listeners were opened: that is the
/// order of the group. Connections from other CPUs are spread over all.
///
/// # Errors
/// setsockopt(2); `EINVAL` for more workers than a program has room for.
pub fn steer_by_cpu(group: &OwnedFd, cpus: &[usize]) -> io::Result<()> {
    let mut program = steering_program(cpus).ok_or(Errno::EINVAL)?;
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        filter: program.as_mut_ptr(),
    };
    let size = libc::socklen_t::try_from(size_of_val(&filter)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: setsockopt(2) reads `size` bytes of the option value, here one sock_fprog that
    // outlives the call; its `filter` points to `len` instructions in `program`, which is
    // alive too, and which the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            group.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&filter).cast(),
            size,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// `A = cpu; if A == cpus[0] return 0; if A == cpus[1] return 1; …; return A % workers`.
fn steering_program(cpus: &[usize]) -> Option<Vec<libc::sock_filter>> {
    /// `SKF_AD_OFF + SKF_AD_CPU`: the ancillary load of the current CPU (linux/filter.h).
    const LOAD_CPU: u32 = (-0x1000_i32 + 36).cast_unsigned();
    let step = |code: u32, jump_false: u8, k: u32| {
        let code = u16::try_from(code).ok()?;
        Some(libc::sock_filter { code, jt: 0, jf: jump_false, k })
    };
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, LOAD_CPU)?];
    for (index, &cpu) in cpus.iter().enumerate() {
        let cpu = u32::try_from(cpu).ok()?;
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, cpu)?);
        program.push(step(libc::BPF_RET | libc::BPF_K, 0, u32::try_from(index).ok()?)?);
    }
    let worker_count = u32::try_from(cpus.len()).ok().filter(|&count| count > 0)?;
    program.push(step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, worker_count)?);
    program.push(step(libc::BPF_RET | libc::BPF_A, 0, 0)?);
    Some(program)
}

#[cfg(test)]
mod tests;
