//! Limits and priorities of this process.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of file descriptors to the hard one and returns it.
///
/// # Errors
/// getrlimit(2), setrlimit(2).
pub fn raise_nofile() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Gives the calling thread the lowest priority (nice 19), so that it never keeps a worker from
/// its CPU. Refused is harmless.
pub fn lower_thread_priority() {
    // SAFETY: setpriority(2) takes three integers and touches no memory; on Linux, who = 0 with
    // PRIO_PROCESS means the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// CAP_IPC_LOCK: lifts the limit on locked memory (capabilities(7)).
pub const CAP_IPC_LOCK: u32 = 14;
/// CAP_SYS_ADMIN: io_uring_disabled=1 and the limits of pipes let it pass.
pub const CAP_SYS_ADMIN: u32 = 21;
/// CAP_SYS_RESOURCE: lifts the limits of pipes.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// What `/proc/self/status` says (proc_pid_status(5)); empty if it cannot be read.
#[must_use]
pub fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Of such a status, how system calls are filtered: 0 not at all, 2 by a program (seccomp(2)).
#[must_use]
pub fn seccomp_mode(status: &str) -> Option<u8> {
    status_field(status, "Seccomp:")?.parse().ok()
}

/// Of such a status, whether a capability is effective.
#[must_use]
pub fn is_capable(status: &str, capability: u32) -> bool {
    let effective = status_field(status, "CapEff:").and_then(|s| u64::from_str_radix(s, 16).ok());
    effective.is_some_and(|bits| bits.checked_shr(capability).is_some_and(|bits| bits & 1 != 0))
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Memory that all processes of this user may lock, in bytes (RLIMIT_MEMLOCK, getrlimit(2));
/// `None` without limit.
#[must_use]
pub fn locked_bytes_max() -> Option<u64> {
    let soft = getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft);
    soft.filter(|&soft| soft != nix::sys::resource::RLIM_INFINITY)
}

/// Resident memory of this process in bytes (proc_pid_statm(5)); 0 if /proc does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages.saturating_mul(page_bytes())
}

/// What a page has (sysconf(3)).
#[must_use]
pub fn page_bytes() -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|n| u64::try_from(n).ok()).unwrap_or(4096)
}

/// The time of `CLOCK_MONOTONIC` in microseconds: the clock of [`crate::kernel::Tick`].
#[must_use]
pub fn monotonic_us() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_nofile().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (raised, raised));
    }

    #[test]
    fn only_the_calling_thread_becomes_nice() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // proc_pid_stat(5), field 19; the name in field 2 may hold spaces.
            let after = stat.rsplit(") ").next().unwrap().to_owned();
            after.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = niceness();
        let lowered = std::thread::spawn(move || {
            lower_thread_priority();
            niceness()
        });
        assert_eq!(lowered.join().unwrap(), 19);
        assert_eq!(niceness(), before);
    }

    #[test]
    fn a_status_tells_of_filters_and_capabilities() {
        let status = "Name:\tx\nCapEff:\t0000000000204000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(seccomp_mode(status), Some(2));
        assert!(is_capable(status, CAP_IPC_LOCK) && is_capable(status, CAP_SYS_ADMIN));
        assert!(!is_capable(status, CAP_SYS_RESOURCE) && !is_capable(status, 64));
        assert!(seccomp_mode("").is_none() && !is_capable("CapEff:\tx\n", 0));
        assert!(seccomp_mode(&super::status()).is_some(), "this process has one");
    }

    #[test]
    fn memory_and_time_are_plausible() {
        assert!(resident_bytes() > 100_000);
        let first = monotonic_us();
        assert!(first > 0 && monotonic_us() >= first);
    }
}
