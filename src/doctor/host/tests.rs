//! The judgements, at their boundaries.

use super::rings::Found;
use super::{network, rings, workers};
use crate::config::WorkerPlan;
use crate::control::plan::Placement;
use crate::doctor::{Check, Verdict};
use crate::kernel::uring::{Release, RingRefused, Supported, Trial};
use crate::limits::{LISTEN_BACKLOG, PIPE_BYTES, PIPE_BYTES_LEAST};

const WHOLE: Supported = Supported { submission_count: 1024, completion_count: 8192 };
const SMALL: Supported = Supported { submission_count: 256, completion_count: 4096 };

fn found(made: &[Supported], refused: Option<RingRefused>, is_demanded: bool) -> Found {
    Found { trial: Trial { made: made.to_vec(), refused }, wanted: 2, is_demanded }
}

/// Asserts a verdict, what is in the sentence, and what is in the remedy.
fn judged(check: &Check, verdict: Verdict, said: &str, remedy: &str) {
    assert_eq!(check.verdict, verdict, "{check:?}");
    assert!(check.found.contains(said), "{said:?} in {check:?}");
    let told = check.remedy.as_deref().unwrap_or_default();
    assert!(told.contains(remedy) && told.is_empty() == remedy.is_empty(), "{remedy:?}: {check:?}");
}

fn passes(check: &Check, said: &str) {
    judged(check, Verdict::Pass, said, "");
}

#[test]
fn kernels_before_the_floor_and_those_that_accept_wrongly_are_told() {
    passes(&rings::kernel(Release::new(6, 1)), "6.1");
    passes(&rings::kernel(Release::new(6, 9)), "6.9");
    judged(&rings::kernel(Release::new(6, 0)), Verdict::Warn, "epoll", "update the kernel");
    judged(&rings::kernel(Release::new(6, 7)), Verdict::Warn, "one by one", "6.9");
}

#[test]
fn a_refused_ring_is_a_failure_only_where_rings_are_demanded() {
    passes(&rings::io_uring(&found(&[WHOLE, WHOLE], None, true)), "2 of 2");
    for (is_demanded, verdict) in [(false, Verdict::Warn), (true, Verdict::Fail)] {
        let one = found(&[WHOLE], Some(RingRefused::SwitchedOff), is_demanded);
        judged(&rings::io_uring(&one), verdict, "1 of 2 workers", "io_uring_disabled=0");
        judged(&rings::switch(Some("2"), &one), verdict, "switched off", "io_uring_disabled=0");
        passes(&rings::seccomp(Some(0), &one), "no filter");
    }
}

#[test]
fn each_refusal_is_told_without_its_remedy_and_with_it() {
    use nix::errno::Errno::{EMFILE, EPERM};
    let memory = RingRefused::LockedMemory { limit_bytes: 1, needed_bytes: 2 };
    for refused in [
        RingRefused::SwitchedOff,
        RingRefused::Privileged,
        RingRefused::Seccomp(EPERM),
        memory,
        RingRefused::OldKernel(Release::new(5, 10)),
        RingRefused::NotBuilt(Release::new(6, 1)),
        RingRefused::MissingOperation("IORING_OP_SEND"),
        RingRefused::Descriptors(EMFILE),
        RingRefused::SecurityModule(EPERM),
        RingRefused::Listener(EPERM),
        RingRefused::Other(EPERM),
    ] {
        let whole = format!("{}: {}", refused.cause(), refused.remedy());
        assert_eq!(whole, refused.to_string());
        assert!(!refused.cause().contains("--engine"), "{}", refused.cause());
    }
}

#[test]
fn the_switch_is_read_also_where_it_did_not_refuse() {
    let made = found(&[WHOLE, WHOLE], None, false);
    passes(&rings::switch(Some("0"), &made), "open to all");
    passes(&rings::switch(Some("1"), &made), "open to this user");
    passes(&rings::switch(None, &made), "no such switch");
    judged(&rings::switch(Some("2"), &made), Verdict::Warn, "no new ring", "io_uring_disabled=0");
}

#[test]
fn a_filter_is_blamed_only_for_what_it_did() {
    let filtered = Some(RingRefused::Seccomp(nix::errno::Errno::EPERM));
    judged(
        &rings::seccomp(Some(2), &found(&[], filtered, false)),
        Verdict::Warn,
        "refuses io_uring",
        "seccompProfile",
    );
    passes(&rings::seccomp(Some(2), &found(&[WHOLE, WHOLE], None, false)), "lets io_uring pass");
    let switched_off = found(&[], Some(RingRefused::SwitchedOff), false);
    passes(&rings::seccomp(Some(2), &switched_off), "not what refused");
}

#[test]
fn locked_memory_is_told_by_how_it_bounds_the_rings() {
    let whole = found(&[WHOLE, WHOLE], None, false);
    passes(&rings::locked_memory(None, &whole), "no limit");
    passes(&rings::locked_memory(Some(8 << 20), &whole), "8192 KiB");
    let smaller = found(&[WHOLE, SMALL], None, false);
    let remedy = "LimitMEMLOCK=512K";
    judged(
        &rings::locked_memory(Some(300 << 10), &smaller),
        Verdict::Warn,
        "256 submissions",
        remedy,
    );
    let refused = RingRefused::LockedMemory { limit_bytes: 200 << 10, needed_bytes: 24 << 10 };
    let one = found(&[WHOLE], Some(refused), true);
    judged(&rings::locked_memory(Some(200 << 10), &one), Verdict::Fail, "1 of 2 workers", remedy);
}

#[test]
fn workers_want_a_cpu_and_a_quota_each() {
    let plan = |cpus: Option<&[usize]>, worker_count| WorkerPlan {
        cpus: cpus.map(<[usize]>::to_vec),
        worker_count,
        ..WorkerPlan::default()
    };
    let judge = |plan: &WorkerPlan| {
        let placed = Placement::new(&[0, 1, 3], None, plan);
        workers::cpus(&[0, 1, 3], placed.as_ref(), plan)
    };
    passes(&judge(&plan(None, None)), "3 workers, pinned to 0-1,3");
    passes(&judge(&plan(None, Some(2))), "2 workers, on any of 0-1,3");
    judged(&judge(&plan(None, Some(4))), Verdict::Warn, "4 workers take turns", "--workers 3");
    judged(&judge(&plan(Some(&[0]), Some(2))), Verdict::Warn, "on 1 CPUs", "--workers 1");
    judged(&judge(&plan(Some(&[2]), None)), Verdict::Fail, "--cpus 2", "--cpus 0-1,3");

    passes(&workers::quota(None, 2), "none");
    passes(&workers::quota(Some(2000), 2), "2.000 CPUs");
    judged(&workers::quota(Some(1999), 2), Verdict::Warn, "1.999 CPUs", "--workers 1");
    judged(&workers::quota(Some(500), 1), Verdict::Warn, "0.500 CPUs", "CPUQuota=100%");
}

#[test]
fn descriptors_are_told_by_the_sessions_that_they_make() {
    let plan = |session_count_max| WorkerPlan { session_count_max, ..WorkerPlan::default() };
    passes(&workers::descriptors(1 << 20, 2, &plan(None)), "sessions on 2 workers");
    judged(&workers::descriptors(4096, 2, &plan(None)), Verdict::Warn, "4096", "LimitNOFILE=");
    judged(&workers::descriptors(140, 2, &plan(None)), Verdict::Fail, "140 file", "LimitNOFILE=");
    let wanted = plan(Some(40_000));
    judged(
        &workers::descriptors(20_000, 2, &wanted),
        Verdict::Warn,
        "--sessions-max wants 40000",
        "LimitNOFILE=",
    );
    // What the remedy says is enough.
    let check = workers::descriptors(20_000, 2, &wanted);
    let remedy = check.remedy.unwrap();
    let count = remedy.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
    passes(&workers::descriptors(count, 2, &wanted), "sessions");
}

#[test]
fn pipes_are_told_by_size_and_by_how_many_there_can_be() {
    passes(&workers::pipe_size(Some(PIPE_BYTES)), "256 KiB");
    let least = workers::pipe_size(Some(PIPE_BYTES_LEAST));
    judged(&least, Verdict::Warn, "64 KiB instead of 256", "fs.pipe-max-size");
    judged(&workers::pipe_size(None), Verdict::Warn, "all bytes are copied", "sysctl -w");

    let plan = WorkerPlan { pipe_count_max: Some(100), ..WorkerPlan::default() };
    let pages = |pages_max| workers::pipe_pages(pages_max, 1 << 20, 2, &plan);
    let each = PIPE_BYTES as u64 / crate::sys::process::page_bytes();
    passes(&pages(None), "does not bound");
    passes(&pages(Some(0)), "does not bound");
    passes(&pages(Some(200 * each)), "room for 200 pipes");
    judged(&pages(Some(200 * each - 1)), Verdict::Warn, "room for 199", "--pipes 99");
    let check = pages(Some(1));
    assert!(check.remedy.unwrap().contains(&format!("pages-soft={}`", 200 * each)));
}

#[test]
fn network_settings_are_told_by_what_they_cost() {
    let backlog = u64::from(LISTEN_BACKLOG.unsigned_abs());
    passes(&network::backlog(Some(backlog)), "4096");
    judged(&network::backlog(Some(backlog - 1)), Verdict::Warn, "4095", "somaxconn=4096");
    judged(&network::backlog(None), Verdict::Warn, "cannot be read", "/proc/sys");

    passes(&network::ports(Some("32768\t60999"), 1 << 20), "28232 ports");
    passes(&network::ports(Some("40000\t40099"), 100), "100 ports");
    judged(&network::ports(Some("40000\t40099"), 101), Verdict::Warn, "100 ports", "10240 65535");
    for broken in [None, Some(""), Some("5"), Some("9 5"), Some("a b")] {
        judged(&network::ports(broken, 1), Verdict::Warn, "cannot be read", "/proc/sys");
    }

    passes(&network::migration(Some("1")), "another listener");
    judged(&network::migration(Some("0")), Verdict::Warn, "reset", "tcp_migrate_req=1");
    judged(&network::migration(None), Verdict::Warn, "reset", "tcp_migrate_req=1");

    passes(&network::congestion_control(Some("cubic")), "cubic");
    judged(&network::congestion_control(Some("bbr")), Verdict::Warn, "paces", "=cubic");
    judged(&network::congestion_control(Some("dctcp")), Verdict::Warn, "mark", "=cubic");
}
