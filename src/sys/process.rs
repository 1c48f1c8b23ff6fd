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

/// Resident memory of this process in bytes (proc_pid_statm(5)); 0 if /proc does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages.saturating_mul(page.and_then(|n| u64::try_from(n).ok()).unwrap_or(4096))
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
    fn memory_and_time_are_plausible() {
        assert!(resident_bytes() > 100_000);
        let first = monotonic_us();
        assert!(first > 0 && monotonic_us() >= first);
    }
}
