//! The kernel, and whether it gives rings to all workers. Pure.

use crate::doctor::Check;
use crate::kernel::uring::{Quirks, RING_BYTES_MOST, Release, RingRefused, Supported, Trial};

const KERNEL: &str = "kernel";
pub(super) const IO_URING: &str = "io_uring";
const SWITCH: &str = "kernel.io_uring_disabled";
const SECCOMP: &str = "seccomp";
const LOCKED_MEMORY: &str = "locked memory";

/// What becomes of a gateway without rings.
const BY_EPOLL: &str = "the gateway forwards with epoll, which costs 2 to 9 % more CPU";

/// What became of the rings that workers need.
pub(super) struct Found {
    pub(super) trial: Trial,
    /// How many rings are needed.
    pub(super) wanted: u16,
    /// Whether the gateway is not to start without.
    pub(super) is_demanded: bool,
}

impl Found {
    fn refused(&self, is_meant: impl Fn(&RingRefused) -> bool) -> Option<&RingRefused> {
        self.trial.refused.as_ref().filter(|why| is_meant(why))
    }

    /// A refusal of rings: as bad as the operator says.
    fn bad(&self, name: &'static str, found: String, remedy: impl Into<String>) -> Check {
        if self.is_demanded {
            Check::fail(name, found, remedy)
        } else {
            Check::warn(name, found, remedy)
        }
    }
}

/// The kernel's release.
pub(super) fn kernel(release: Release) -> Check {
    if release < Release::FLOOR {
        let floor = Release::FLOOR;
        return Check::warn(
            KERNEL,
            format!("Linux {release}: io_uring is used from {floor} on; before it, {BY_EPOLL}"),
            "update the kernel to Linux 6.1 or later",
        );
    }
    if Quirks::of(release).accept_one_by_one {
        return Check::warn(
            KERNEL,
            format!(
                "Linux {release}: multishot accepts are not reliable on 6.6 to 6.8, and \
                 connections are accepted one by one"
            ),
            "update the kernel to Linux 6.9 or later",
        );
    }
    Check::pass(KERNEL, format!("Linux {release}"))
}

/// Whether every worker gets a ring.
pub(super) fn io_uring(found: &Found) -> Check {
    let made = found.trial.made.len();
    let Some(why) = &found.trial.refused else {
        return Check::pass(IO_URING, format!("{made} of {} workers get a ring", found.wanted));
    };
    let cause = why.cause();
    let told = format!("{made} of {} workers get a ring: {cause}; {BY_EPOLL}", found.wanted);
    found.bad(IO_URING, told, why.remedy())
}

/// Whether the host's switch lets this process have rings.
pub(super) fn switch(value: Option<&str>, found: &Found) -> Check {
    let is_switch =
        |why: &RingRefused| matches!(why, RingRefused::SwitchedOff | RingRefused::Privileged);
    match (value, found.refused(is_switch)) {
        (Some(value), Some(why)) => {
            found.bad(SWITCH, format!("{value}: {}", why.cause()), why.remedy())
        }
        (Some("2"), None) => found.bad(
            SWITCH,
            "2: no new ring is given to anyone".to_owned(),
            RingRefused::SwitchedOff.remedy(),
        ),
        (Some("0"), None) => Check::pass(SWITCH, "0: open to all"),
        (Some(value), None) => Check::pass(SWITCH, format!("{value}: open to this user")),
        (None, _) => Check::pass(SWITCH, "this kernel has no such switch"),
    }
}

/// Whether a filter of system calls keeps rings away.
pub(super) fn seccomp(mode: Option<u8>, found: &Found) -> Check {
    if let Some(why) = found.refused(|why| matches!(why, RingRefused::Seccomp(_))) {
        return found.bad(SECCOMP, why.cause(), why.remedy());
    }
    match (mode, &found.trial.refused) {
        (Some(2), None) => Check::pass(SECCOMP, "a filter, which lets io_uring pass"),
        (Some(2), Some(_)) => Check::pass(SECCOMP, "a filter, which was not what refused"),
        (Some(_), _) => Check::pass(SECCOMP, "no filter"),
        (None, _) => Check::pass(SECCOMP, "this kernel filters no system calls"),
    }
}

/// Whether memory that may be locked has room for whole rings.
pub(super) fn locked_memory(limit_bytes: Option<u64>, found: &Found) -> Check {
    let Some(limit_bytes) = limit_bytes else {
        return Check::pass(LOCKED_MEMORY, "no limit");
    };
    let needed_kib = RING_BYTES_MOST * u64::from(found.wanted) / 1024;
    let limit = format!("{} KiB for all processes of this user", limit_bytes / 1024);
    let remedy = || {
        let enough_kib = needed_kib.next_power_of_two();
        format!(
            "LimitMEMLOCK={enough_kib}K in the unit, `ulimit -l {enough_kib}` or `--ulimit \
             memlock={}` (Docker), as that user and for each gateway",
            enough_kib * 1024
        )
    };
    if let Some(why) = found.refused(|why| matches!(why, RingRefused::LockedMemory { .. })) {
        let (made, wanted) = (found.trial.made.len(), found.wanted);
        let told = format!("{limit}: {made} of {wanted} workers get a ring: {}", why.cause());
        return found.bad(LOCKED_MEMORY, told, remedy());
    }
    match found.trial.made.iter().find(|made| !made.is_largest()) {
        Some(Supported { submission_count, completion_count }) => Check::warn(
            LOCKED_MEMORY,
            format!(
                "{limit}: rings become smaller, of {submission_count} submissions and \
                 {completion_count} completions; {needed_kib} KiB are needed"
            ),
            remedy(),
        ),
        None => Check::pass(LOCKED_MEMORY, format!("{limit}: {needed_kib} KiB are needed")),
    }
}
