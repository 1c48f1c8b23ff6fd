//! Why there is no ring here: who refused it, and what to type.

use nix::errno::Errno;

use super::setup::BYTES_LEAST;
use crate::sys::process::{self, CAP_SYS_ADMIN, is_capable, seccomp_mode};

/// A kernel release, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
}

impl Release {
    /// The first with deferred task work.
    pub const FLOOR: Self = Self::new(6, 1);

    /// Of these numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// What uname(2) says; 0.0 if it cannot be read.
    #[must_use]
    pub fn here() -> Self {
        let name = nix::sys::utsname::uname();
        let release = name.as_ref().ok().and_then(|name| name.release().to_str());
        release.and_then(Self::parse).unwrap_or(Self::new(0, 0))
    }

    /// The first two numbers of `6.1.0-13-amd64`, `6.18-rc1` and the like.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self::new(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why io_uring cannot be used. Each sentence says who refused and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.cause(), self.remedy())]
pub enum RingRefused {
    /// kernel.io_uring_disabled=2.
    SwitchedOff,
    /// kernel.io_uring_disabled=1, and this process is not privileged.
    Privileged,
    /// A seccomp filter, in practice that of a container runtime.
    Seccomp(Errno),
    /// RLIMIT_MEMLOCK.
    LockedMemory {
        /// The limit.
        limit_bytes: u64,
        /// What the smallest ring takes.
        needed_bytes: u64,
    },
    /// A kernel before [`Release::FLOOR`].
    OldKernel(Release),
    /// CONFIG_IO_URING=n, or a sandbox that is its own kernel.
    NotBuilt(Release),
    /// The kernel knows io_uring, but not an operation.
    MissingOperation(&'static str),
    /// RLIMIT_NOFILE or fs.file-max.
    Descriptors(Errno),
    /// EACCES or EPERM that neither the sysctl nor seccomp explains.
    SecurityModule(Errno),
    /// Not the ring: a listener could not be made ready for it.
    Listener(Errno),
    /// Anything else.
    Other(Errno),
}

impl RingRefused {
    /// What to type.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::SwitchedOff => {
                "allow it with `sysctl -w kernel.io_uring_disabled=0`, or run with `--engine epoll`"
            }
            Self::Privileged => {
                "add this user's group with `sysctl -w kernel.io_uring_group=GID`, or run with \
                 `--engine epoll`"
            }
            Self::Seccomp(_) => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in a profile of your \
                 own (Docker and Podman: `--security-opt seccomp=FILE`; Kubernetes: \
                 `seccompProfile.type: Localhost`), or run with `--engine epoll`"
            }
            Self::LockedMemory { .. } => {
                "raise it with `ulimit -l`, `LimitMEMLOCK=` (systemd) or `--ulimit memlock=` \
                 (Docker), or run with `--engine epoll`"
            }
            Self::OldKernel(_) => "update the kernel, or run with `--engine epoll`",
            Self::NotBuilt(_) => "boot one with CONFIG_IO_URING=y, or run with `--engine epoll`",
            Self::MissingOperation(_) => {
                "update the kernel to Linux 6.1 or later, or run with `--engine epoll`"
            }
            Self::Descriptors(_) => "raise the limit with `ulimit -n` or `LimitNOFILE=`",
            Self::SecurityModule(_) => {
                "look for its denial with `journalctl -k --grep 'avc|apparmor'` and allow it, or \
                 run with `--engine epoll`"
            }
            Self::Listener(_) => "is it a listening TCP socket?",
            Self::Other(_) => "run with `--engine epoll`, and report this",
        }
    }

    /// Who refused and why, without the remedy.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::SwitchedOff => {
                "io_uring is switched off on this host (kernel.io_uring_disabled=2)".to_owned()
            }
            Self::Privileged => {
                let only = "io_uring is kept for privileged users on this host";
                format!("{only} (kernel.io_uring_disabled=1)")
            }
            Self::Seccomp(errno) => {
                format!("the container's seccomp profile refuses io_uring ({errno})")
            }
            Self::LockedMemory { limit_bytes, needed_bytes } => format!(
                "the limit on locked memory ({limit_bytes} bytes, for all processes of this user) \
                 has no room for a ring, which needs at least {needed_bytes}"
            ),
            Self::OldKernel(release) => {
                format!("this kernel is Linux {release}, and io_uring is used from Linux 6.1 on")
            }
            Self::NotBuilt(release) => format!("this kernel (Linux {release}) has no io_uring"),
            Self::MissingOperation(name) => format!("this kernel's io_uring has no {name}"),
            Self::Descriptors(errno) => format!("no file descriptor is left for a ring ({errno})"),
            Self::SecurityModule(errno) => format!("a security module refuses io_uring ({errno})"),
            Self::Listener(errno) => format!(
                "Linux refused a setting of a listener ({errno}), with io_uring and without"
            ),
            Self::Other(errno) => format!("io_uring cannot be set up ({errno})"),
        }
    }
}

/// What a refusal is judged by.
#[derive(Clone, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) errno: Errno,
    /// `/proc/sys/kernel/io_uring_disabled`, from Linux 6.6 on.
    pub(super) disabled: Option<&'a str>,
    /// `/proc/self/status`.
    pub(super) status: &'a str,
    /// None without limit.
    pub(super) locked_bytes_max: Option<u64>,
    pub(super) release: Release,
}

impl RingRefused {
    /// Explains a failure of this process, on this host.
    pub(super) fn explain_here(errno: Errno) -> Self {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        Self::explain(&Evidence {
            errno,
            disabled: disabled.as_deref(),
            status: &process::status(),
            locked_bytes_max: process::locked_bytes_max(),
            release: Release::here(),
        })
    }

    /// Who it was.
    pub(super) fn explain(evidence: &Evidence<'_>) -> Self {
        let errno = evidence.errno;
        let filtered = seccomp_mode(evidence.status) == Some(2);
        match errno {
            // A host that allows it to nobody is not helped by another profile.
            Errno::EPERM if disabled(evidence) == Some("2") => Self::SwitchedOff,
            Errno::EPERM
                if disabled(evidence) == Some("1")
                    && !is_capable(evidence.status, CAP_SYS_ADMIN) =>
            {
                Self::Privileged
            }
            // Docker and containerd answer EPERM, Podman ENOSYS.
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS if filtered => Self::Seccomp(errno),
            Errno::EPERM | Errno::EACCES => Self::SecurityModule(errno),
            Errno::ENOSYS | Errno::EINVAL if evidence.release < Release::FLOOR => {
                Self::OldKernel(evidence.release)
            }
            Errno::ENOSYS => Self::NotBuilt(evidence.release),
            Errno::EMFILE | Errno::ENFILE => Self::Descriptors(errno),
            Errno::ENOMEM => evidence.locked_bytes_max.map_or(Self::Other(errno), |limit_bytes| {
                Self::LockedMemory { limit_bytes, needed_bytes: BYTES_LEAST }
            }),
            _ => Self::Other(errno),
        }
    }
}

fn disabled<'a>(evidence: &Evidence<'a>) -> Option<&'a str> {
    evidence.disabled.map(str::trim)
}
