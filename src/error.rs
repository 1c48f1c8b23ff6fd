//! Exit codes, and what can keep a gateway from starting or end it.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{ConfigError, FlagError};
use crate::sys::owner::Owner;

/// The exit codes of `sluice`: those of sysexits.h where it has one, our own above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or drained and stopped as ordered.
    Success = 0,
    /// `sluice demo` saw something other than it must; `sluice routes NAME` was refused; a check
    /// of `sluice doctor` or `sluice path` failed; `sluice diff` found a difference.
    Mismatch = 1,
    /// The command line is not one of ours (EX_USAGE).
    Usage = 64,
    /// Who was asked does not answer (EX_UNAVAILABLE).
    Unavailable = 69,
    /// Linux refused something that is no one's mistake (EX_OSERR).
    System = 71,
    /// A permission is missing (EX_NOPERM).
    Permission = 77,
    /// The value of a flag or the contents of a file are wrong (EX_CONFIG).
    Config = 78,
    /// Another process, or nobody's interface, has the address; or a socket cannot be made.
    Address = 79,
    /// `--engine io_uring`, and io_uring is refused here.
    Engine = 80,
    /// A worker panicked or stood still.
    WorkerLost = 81,
    /// Fewer file descriptors than the gateway needs.
    Descriptors = 82,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a gateway did not start. Each is one sentence for the operator: who refused, why, and
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command line says what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A flag has a value that does not go with this host.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The routes file cannot be read.
    #[error("cannot read the routes file {}: {source}", path.display())]
    RoutesUnread {
        /// The file.
        path: PathBuf,
        /// What read(2) said.
        source: std::io::Error,
    },
    /// The routes file breaks rules; every one is listed, a line each.
    #[error("{0}")]
    RoutesInvalid(String),
    /// The registration names no address that can be bound.
    #[error(
        "the registration {id:?} names no address to accept on: name one with --bind, or give it \
         a port and an IP address"
    )]
    NothingToBind {
        /// The id in Consul.
        id: String,
    },
    /// Another process listens there.
    #[error(
        "{address} is in use by {}: stop it, or choose another address with {flag}",
        list_owners(owners)
    )]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
        /// The flag it was asked for with.
        flag: &'static str,
        /// Who has it, as far as this process may see.
        owners: Vec<Owner>,
    },
    /// No interface has the address.
    #[error(
        "{address} is on none of this host's interfaces: choose one that `ip address` shows \
         with {flag}, or 0.0.0.0 or [::] for all"
    )]
    AddressUnknown {
        /// The address asked for.
        address: SocketAddr,
        /// The flag it was asked for with.
        flag: &'static str,
    },
    /// The port is privileged.
    #[error(
        "Linux refused {address} to this user: ports below \
         net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE; run \
         `setcap cap_net_bind_service=+ep` on the binary, set AmbientCapabilities in the unit, \
         or choose a higher port with {flag}"
    )]
    AddressForbidden {
        /// The address asked for.
        address: SocketAddr,
        /// The flag it was asked for with.
        flag: &'static str,
    },
    /// Something listens at the path of the admin server's socket.
    #[error(
        "{} is in use, by another gateway perhaps: stop it, or choose another path with \
         --admin-bind",
        path.display()
    )]
    SocketInUse {
        /// The path asked for.
        path: PathBuf,
    },
    /// There is something else at the path.
    #[error(
        "{} is there, and is no socket: remove it, or choose another path with --admin-bind",
        path.display()
    )]
    SocketNoSocket {
        /// The path asked for.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error(
        "Linux refused the socket {} ({source}): its folder must be there and be this user's to \
         write in (RuntimeDirectory=sluice in the unit makes /run/sluice); or choose another path \
         with --admin-bind",
        path.display()
    )]
    SocketRefused {
        /// The path asked for.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
    /// A socket unit passes something else.
    #[error(
        "the service manager passed descriptor {number}, which is no listening TCP socket: take \
         it out of the socket unit (ListenStream=ADDRESS:PORT is right)"
    )]
    PassedNoListener {
        /// Its number.
        number: i32,
    },
    /// A socket unit passes a listener that nobody would serve.
    #[error(
        "the service manager passed a listener on {address}, which is none of the addresses to \
         accept on: name it with --bind, or take it out of the socket unit"
    )]
    PassedUnasked {
        /// What it listens on.
        address: SocketAddr,
    },
    /// A socket unit passes too few or too many of one address.
    #[error(
        "the service manager passed {count} listeners on {address}, and each of {worker_count} \
         workers serves one: write ListenStream={address} {worker_count} times in the socket \
         unit, with ReusePort=yes, or run with --workers {count}"
    )]
    PassedOtherCount {
        /// What they listen on.
        address: SocketAddr,
        /// How many there are.
        count: usize,
        /// How many workers there are.
        worker_count: u16,
    },
    /// Too few file descriptors.
    #[error(
        "{nofile} file descriptors are too few for {worker_count} workers: they leave \
         {session_count} sessions for each, and {needed} are needed; raise the hard limit \
         (`ulimit -Hn`, or LimitNOFILE= in the unit), or lower --workers or --pipes"
    )]
    TooFewDescriptors {
        /// The limit, after the soft one was raised to the hard one.
        nofile: u64,
        /// Workers.
        worker_count: u16,
        /// Sessions that each could have.
        session_count: u64,
        /// Sessions that each must be able to have.
        needed: u64,
    },
    /// io_uring was demanded and is refused.
    #[error("--engine io_uring: {0}")]
    EngineRefused(String),
    /// A worker could not set up its kernel.
    #[error("worker {worker} could not set up {engine}: {reason}")]
    WorkerFailed {
        /// The worker.
        worker: u16,
        /// Its engine.
        engine: &'static str,
        /// What was refused.
        reason: String,
    },
    /// Any other refusal by Linux.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What Linux said.
        source: std::io::Error,
    },
}

impl StartError {
    /// Wraps a refusal by Linux.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// The exit code that tells it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => error.exit(),
            Self::Flag(_)
            | Self::NothingToBind { .. }
            | Self::PassedNoListener { .. }
            | Self::PassedUnasked { .. }
            | Self::PassedOtherCount { .. }
            | Self::RoutesUnread { .. }
            | Self::RoutesInvalid(_) => Exit::Config,
            Self::AddressInUse { .. }
            | Self::AddressUnknown { .. }
            | Self::SocketInUse { .. }
            | Self::SocketNoSocket { .. }
            | Self::SocketRefused { .. } => Exit::Address,
            Self::AddressForbidden { .. } => Exit::Permission,
            Self::TooFewDescriptors { .. } => Exit::Descriptors,
            Self::EngineRefused(_) => Exit::Engine,
            Self::WorkerFailed { .. } | Self::System { .. } => Exit::System,
        }
    }
}

/// Why a running gateway ended other than by order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A worker panicked, or its kernel failed.
    #[error("worker {worker} ended without being told to; its share of the port is not served")]
    WorkerEnded {
        /// The worker.
        worker: u16,
    },
    /// A worker does not turn any more.
    #[error("worker {worker} stood still for {seconds} s; its share of the port is not served")]
    WorkerStalled {
        /// The worker.
        worker: u16,
        /// For how long.
        seconds: u64,
    },
    /// The control thread panicked.
    #[error("the control thread ended without being told to")]
    ControlLost,
}

impl RunError {
    /// The exit code that tells it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        Exit::WorkerLost
    }
}

fn list_owners(owners: &[Owner]) -> String {
    if owners.is_empty() {
        return "a process that this user may not see (ask as root: `ss -ltnp`)".to_owned();
    }
    owners.iter().map(Owner::to_string).collect::<Vec<_>>().join(", ")
}
