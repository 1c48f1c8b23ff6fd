//! Who refused a ring: judged from evidence, and for real.

use std::process::Command;

use nix::errno::Errno;

use super::refused::Evidence;
use super::{Release, Ring, RingRefused, op, probe};
use crate::kernel::{Event, Kernel, KernelOptions, Op, Token, Wait};

const FREE: &str = "CapEff:\t0000000000000000\nSeccomp:\t0\n";
const FILTERED: &str = "CapEff:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
const ADMIN_FILTERED: &str = "CapEff:\t000001ffffffffff\nSeccomp:\t2\n";

fn judge(errno: Errno, disabled: Option<&str>, status: &str, release: Release) -> RingRefused {
    let locked_bytes_max = Some(65_536);
    RingRefused::explain(&Evidence { errno, disabled, status, locked_bytes_max, release })
}

#[test]
fn evidence_names_the_culprit() {
    use Errno::{EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM};
    let new = Release::new(6, 18);
    let old = Release::new(5, 10);
    let cases = [
        (EPERM, Some("2\n"), FREE, new, RingRefused::SwitchedOff),
        (EPERM, Some("2\n"), FILTERED, new, RingRefused::SwitchedOff),
        (EPERM, Some("1\n"), FREE, new, RingRefused::Privileged),
        (EPERM, Some("1\n"), ADMIN_FILTERED, new, RingRefused::Seccomp(EPERM)),
        (EPERM, Some("0\n"), FILTERED, new, RingRefused::Seccomp(EPERM)),
        (EPERM, None, FILTERED, new, RingRefused::Seccomp(EPERM)),
        (ENOSYS, None, FILTERED, new, RingRefused::Seccomp(ENOSYS)),
        (EPERM, Some("0\n"), FREE, new, RingRefused::SecurityModule(EPERM)),
        (ENOSYS, None, FREE, new, RingRefused::NotBuilt(new)),
        (ENOSYS, None, FREE, old, RingRefused::OldKernel(old)),
        (EINVAL, None, FREE, old, RingRefused::OldKernel(old)),
        (EINVAL, None, FREE, new, RingRefused::Other(EINVAL)),
        (EMFILE, None, FREE, new, RingRefused::Descriptors(EMFILE)),
    ];
    for (errno, disabled, status, release, expected) in cases {
        let found = judge(errno, disabled, status, release);
        assert_eq!(found, expected, "{errno} {disabled:?} {status:?} {release}");
    }
    let memory = judge(ENOMEM, None, FREE, new);
    assert!(matches!(memory, RingRefused::LockedMemory { limit_bytes: 65_536, .. }));
}

#[test]
fn this_kernel_has_a_release() {
    assert!(Release::here() > Release::new(2, 0));
}

const CHILD: &str = "SLUICE_TEST_RING_CHILD";

/// In a child process: what the probe says there.
fn probe_in_child(
    name: &str,
    prepare: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(CHILD, "1");
    // SAFETY: `pre_exec` wants a closure that is async-signal-safe: those given to this
    // function make system calls and allocate nothing.
    unsafe { command.pre_exec(prepare) };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_child() -> bool {
    let child = std::env::var_os(CHILD).is_some();
    if child {
        println!("{:?}", probe());
    }
    child
}

/// A seccomp filter under which io_uring_setup fails with `errno` (seccomp(2)).
fn refuse_setup(errno: Errno) -> std::io::Result<()> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(libc::SYS_io_uring_setup).unwrap_or(0);
    let refuse = libc::SECCOMP_RET_ERRNO | (errno as i32).unsigned_abs();
    let mut filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: PR_SET_NO_NEW_PRIVS takes four numbers.
    let alone = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: PR_SET_SECCOMP in filter mode reads a sock_fprog, which with the filter it points
    // to lives across the call.
    let filtered =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if alone < 0 || filtered < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn a_seccomp_profile_is_named() {
    if is_child() {
        return;
    }
    let name = "kernel::uring::tests::a_seccomp_profile_is_named";
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        let said = probe_in_child(name, move || refuse_setup(errno));
        assert!(said.contains(&format!("Err(Seccomp({errno:?}))")), "{said}");
    }
}

/// Takes CAP_IPC_LOCK away, which would lift the limit on locked memory, and sets the limit.
fn lock_at_most(bytes: u64) -> std::io::Result<()> {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    // SAFETY: PR_CAPBSET_DROP takes a number. Where it fails there are no privileges to drop.
    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) };
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: setrlimit(2) reads an rlimit, which lives across the call.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    if limited < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn a_ring_fits_into_locked_memory_or_says_that_it_does_not() {
    if is_child() {
        return;
    }
    let name = "kernel::uring::tests::a_ring_fits_into_locked_memory_or_says_that_it_does_not";
    let largest = "Supported { submission_count: 1024,";
    let none = probe_in_child(name, || lock_at_most(4096));
    let fitting = probe_in_child(name, || lock_at_most(120_000));
    if none.contains(largest) {
        // Not counted by this kernel; then it must not make a difference anywhere.
        assert!(fitting.contains(largest), "{fitting}");
    } else {
        assert!(none.contains("Err(LockedMemory { limit_bytes: 4096,"), "{none}");
        // Rings of tests beside this one count too, unless they are privileged.
        let shared = !nix::unistd::geteuid().is_root();
        let none_left = fitting.contains("Err(LockedMemory { limit_bytes: 120000,");
        let smaller = fitting.contains("Ok(Supported { submission_count: 64,");
        let fits = fitting.contains("Ok(Supported { submission_count: 256,");
        assert!(fits || (shared && (smaller || none_left)), "{fitting}");
    }
}

#[test]
fn a_listener_that_is_none_is_not_blamed_on_the_ring() {
    let none = || std::os::fd::OwnedFd::from(nix::sys::eventfd::EventFd::new().unwrap());
    let refused = Ring::new(KernelOptions {
        listeners: vec![none()],
        waker: none(),
        hello_buffer_count: 1,
        spin: std::time::Duration::ZERO,
    })
    .unwrap_err();
    assert_eq!(refused, RingRefused::Listener(Errno::ENOTSOCK));
    assert!(!refused.to_string().contains("--engine"), "{refused}");
}

#[test]
fn what_did_not_fit_is_submitted_later_and_in_order() {
    use std::os::fd::{AsRawFd, OwnedFd};
    let eventfd = || OwnedFd::from(nix::sys::eventfd::EventFd::new().unwrap());
    let mut ring = Ring::new(KernelOptions {
        listeners: Vec::new(),
        waker: eventfd(),
        hello_buffer_count: 1,
        spin: std::time::Duration::ZERO,
    })
    .unwrap();
    let watched = eventfd();
    let token = Token::new(Op::WatchDownstream, 1, 1);
    // As if the kernel had been out of memory. A cancellation that overtook its watch would
    // find nothing, and the watch would never end.
    ring.backlog.push_back(op::watch(watched.as_raw_fd(), token));
    ring.cancel(token);
    assert_eq!(ring.backlog.len(), 2);
    let mut seen = Vec::new();
    let deadline = ring.now().after(std::time::Duration::from_secs(10));
    while !seen.last().is_some_and(|c: &crate::kernel::Completion<_>| c.last) {
        assert!(ring.now() < deadline, "{seen:?}");
        ring.turn(Wait::Until(deadline), &mut seen);
    }
    assert!(matches!(seen.last().unwrap().event, Event::Failed(Errno::ECANCELED)), "{seen:?}");
    assert!(ring.backlog.is_empty());
}
