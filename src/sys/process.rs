//! Limits and priorities of this process.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::{TimeVal, TimeValLike};

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

/// Resident memory of this process in bytes; 0 if /proc does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    memory().resident_bytes
}

/// The memory of this process; zeros where /proc does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of its address space.
    pub virtual_bytes: u64,
    /// What of it is in memory.
    pub resident_bytes: u64,
    /// Of that, what is no file's and not shared: heap, stacks, and what else it allocated.
    pub anonymous_bytes: u64,
    /// Address space for data and stacks.
    pub data_bytes: u64,
}

/// The memory of this process (proc_pid_statm(5)).
#[must_use]
pub fn memory() -> Memory {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let page_bytes = page_bytes();
    let mut fields = statm.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0_u64));
    let mut next = || fields.next().unwrap_or(0).saturating_mul(page_bytes);
    let (virtual_bytes, resident_bytes, shared_bytes) = (next(), next(), next());
    let (_text, _library, data_bytes) = (next(), next(), next());
    let anonymous_bytes = resident_bytes.saturating_sub(shared_bytes);
    Memory { virtual_bytes, resident_bytes, anonymous_bytes, data_bytes }
}

/// The descriptors that this process has open, and how many it may have.
#[must_use]
pub fn descriptors() -> (u64, u64) {
    let folder = "/proc/self/fd";
    // Since Linux 6.2 its size tells; counting a hundred thousand entries takes a while.
    let told = std::fs::metadata(folder).map_or(0, |folder| folder.len());
    let open = match told {
        0 => std::fs::read_dir(folder).map_or(0, |entries| entries.count() as u64),
        told => told,
    };
    (open, getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft))
}

/// CPU time of this process, threads that have ended included (getrusage(2)).
#[must_use]
pub fn cpu_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let time = |time: TimeVal| {
        let us = u64::try_from(time.num_microseconds()).unwrap_or(0);
        Duration::from_micros(us)
    };
    time(usage.user_time()).saturating_add(time(usage.system_time()))
}

/// CPU time of each thread of this process, by name (proc_pid_stat(5)); of threads with the same
/// name together.
#[must_use]
pub fn thread_cpu_times() -> BTreeMap<String, Duration> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    let ticks_per_second = ticks.and_then(|n| u32::try_from(n).ok()).unwrap_or(100).max(1);
    let mut times = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let Some((name, ticks)) = name_and_ticks(&stat) else { continue };
        let seconds = Duration::from_secs(ticks) / ticks_per_second;
        let time: &mut Duration = times.entry(name.to_owned()).or_default();
        *time = time.saturating_add(seconds);
    }
    times
}

/// The name of a thread, which may hold anything, and its ticks in user and kernel mode: fields
/// 2, 14 and 15.
fn name_and_ticks(stat: &str) -> Option<(&str, u64)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some((name, user.saturating_add(kernel)))
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
    fn descriptors_and_threads_are_found() {
        let before = descriptors();
        let _held: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = descriptors();
        // Other tests open and close theirs.
        assert!(after.0 > before.0 + 20 && after.0 <= after.1, "{before:?} {after:?}");
        let (spun, spins) = std::sync::mpsc::channel();
        let spinner = std::thread::Builder::new().name("a) (b".into()).spawn(move || {
            let own = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
            while nix::time::clock_gettime(own).unwrap().tv_nsec() < 60_000_000 {}
            spins.recv().unwrap();
        });
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let time = loop {
            let time = thread_cpu_times().get("a) (b").copied().unwrap_or_default();
            if time >= Duration::from_millis(40) || std::time::Instant::now() > deadline {
                break time;
            }
        };
        spun.send(()).unwrap();
        spinner.unwrap().join().unwrap();
        let (least, most) = (Duration::from_millis(40), Duration::from_millis(500));
        assert!(time >= least && time < most, "{time:?}");
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
        let Memory { virtual_bytes, resident_bytes, anonymous_bytes, data_bytes } = memory();
        assert!(anonymous_bytes > 0 && anonymous_bytes < resident_bytes);
        assert!(resident_bytes < virtual_bytes && data_bytes < virtual_bytes);
        let first = monotonic_us();
        assert!(first > 0 && monotonic_us() >= first);
    }
}
