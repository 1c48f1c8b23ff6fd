//! `sluice doctor host`: each check seen to complain on a host that is made so.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use nix::libc::{SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde_json::Value;

use crate::support::*;
use crate::system::with_locked_memory;

const BINARY: &str = env!("CARGO_BIN_EXE_sluice");
const DOCTOR: [&str; 3] = ["doctor", "host", "--json"];

/// What the doctor says when started by these words.
fn examined(before: &[&str], flags: &[&str]) -> Report {
    let words = [before, &[BINARY], &DOCTOR[..], flags].concat();
    Report::of(&Command::new(words[0]).args(&words[1..]).output().unwrap())
}

struct Report {
    exit: i32,
    checks: Vec<Value>,
}

impl Report {
    fn of(output: &Output) -> Self {
        let told = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{complaint}"));
        let checks = report["checks"].as_array().unwrap().clone();
        for check in &checks {
            let is_well = check["verdict"] == "pass" || check["verdict"] == "not_applicable";
            assert_eq!(check["remedy"].is_null(), is_well, "{check}");
        }
        Self { exit: output.status.code().unwrap(), checks }
    }

    fn check(&self, name: &str) -> &Value {
        self.checks.iter().find(|check| check["name"] == name).unwrap()
    }

    /// Asserts a check's verdict, and that it says this.
    fn tells(&self, name: &str, verdict: &str, found: &str) {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check}");
        assert!(check["found"].as_str().unwrap().contains(found), "{found:?} in {check}");
        assert_eq!(self.exit, i32::from(self.has_failed()));
    }

    fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| check["verdict"] == "fail")
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// With a shell command run first, in namespaces of its own.
fn prepared(namespaces: &[&str], prepare: &str) -> Report {
    let script = format!("{prepare}\nexec \"$@\"");
    let shell = ["sh", "-ec", &script, "sh"];
    examined(&[&["unshare"], namespaces, &["--"], &shell[..]].concat(), &[])
}

/// Under a filter that refuses these system calls.
fn filtered(refused: &[i64], before: &[&str], flags: &[&str]) -> Report {
    let rules: BTreeMap<_, _> = refused.iter().map(|&number| (number, Vec::new())).collect();
    let refuse = SeccompAction::Errno(nix::errno::Errno::EPERM as u32);
    let target = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, target).unwrap();
    let program = BpfProgram::try_from(filter).unwrap();
    // A filter is of one thread, and of what it starts.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            examined(before, flags)
        });
        thread.join().unwrap()
    })
}

#[test]
fn people_read_every_check_and_machines_the_same() {
    let told = sluice(&["doctor", "host"]);
    let text = String::from_utf8(told.stdout).unwrap();
    let report = examined(&[], &[]);
    assert_eq!(told.status.code(), Some(report.exit));
    assert!(report.checks.len() >= 12);
    for check in &report.checks {
        assert!(text.contains(check["name"].as_str().unwrap()), "{check} in {text}");
    }
    let wrong = sluice(&["doctor", "host", "--workers", "0"]);
    assert_eq!(wrong.status.code(), Some(78));
}

#[test]
fn an_old_kernel_is_told() {
    let report = examined(&["setarch", std::env::consts::ARCH, "--uname-2.6"], &[]);
    report.tells("kernel", "warn", "Linux 2.6");
}

#[test]
fn a_seccomp_filter_is_told_whichever_call_it_refuses() {
    if sluice::kernel::uring::probe().is_err() {
        return;
    }
    for call in [SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register] {
        let report = filtered(&[call], &[], &["--workers", "1"]);
        report.tells("seccomp", "warn", "refuses io_uring");
        report.tells("io_uring", "warn", "0 of 1 workers");
        let demanded = filtered(&[call], &[], &["--engine", "io_uring"]);
        demanded.tells("seccomp", "fail", "refuses io_uring");
        assert_eq!(demanded.exit, 1);
    }
    let epoll = filtered(&[SYS_io_uring_setup], &[], &["--engine", "epoll"]);
    assert_eq!(epoll.check("io_uring")["verdict"], "not_applicable");
    filtered(&[], &[], &[]).tells("seccomp", "pass", "");
}

#[test]
fn the_switch_of_the_host_is_told() {
    const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";
    if !is_root() || fs::metadata(SWITCH).is_err() || !can_mount("true") {
        return;
    }
    // Switched for this process alone: rings of others go on.
    let folder = Folder::new();
    let switch = folder.path().join("switch");
    fs::write(&switch, "2\n").unwrap();
    let mount = format!("mount --bind {} {SWITCH}; exec \"$@\"", switch.display());
    let before = ["unshare", "--mount", "--", "sh", "-ec", &mount, "sh"];
    let report = filtered(&[SYS_io_uring_setup], &before, &[]);
    report.tells("kernel.io_uring_disabled", "warn", "switched off");
    report.tells("io_uring", "warn", "switched off");
    report.tells("seccomp", "pass", "not what refused");
}

#[test]
fn locked_memory_is_told_by_what_becomes_of_the_rings() {
    let folder = Folder::new();
    let with = |bytes: u32, workers: &str| {
        let mut command = with_locked_memory(&folder, bytes);
        Report::of(&command.args(DOCTOR).args(["--workers", workers]).output().unwrap())
    };
    let none = with(4096, "2");
    if none.check("io_uring")["verdict"] == "pass" {
        // This kernel does not count rings.
        return;
    }
    none.tells("locked memory", "warn", "0 of 2 workers");
    if is_root() {
        // Otherwise the rings of other tests count, too.
        with(120_000, "1").tells("locked memory", "warn", "256 submissions");
        with(1 << 20, "2").tells("locked memory", "pass", "1024 KiB");
    }
}

#[test]
fn descriptors_are_told_by_the_sessions_they_make() {
    examined(&["prlimit", "--nofile=140"], &[]).tells("file descriptors", "fail", "140");
    let few = examined(&["prlimit", "--nofile=4096"], &["--workers", "2"]);
    few.tells("file descriptors", "warn", "4096");
    let wanted = examined(&["prlimit", "--nofile=4096"], &["--sessions-max", "1000"]);
    wanted.tells("file descriptors", "pass", "sessions");
    let wanted = examined(&["prlimit", "--nofile=4096"], &["--sessions-max", "9000"]);
    wanted.tells("file descriptors", "warn", "--sessions-max wants 9000");
}

/// Fills what a user of its own may have in pipes, and goes on with them.
const FILL_PIPES: &str = "
import fcntl, os, sys
F_SETPIPE_SZ = 1031
os.setgroups([])
os.setresuid(64243, 64243, 64243)
for _ in range(64):
    for end in os.pipe():
        os.set_inheritable(end, True)
    fcntl.fcntl(end, F_SETPIPE_SZ, 1 << 20)
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn pipes_are_told_by_what_a_user_without_privileges_gets() {
    let soft = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap();
    if !is_root() || soft.trim() != "16384" {
        return;
    }
    let folder = Folder::new();
    let flags = ["--workers", "2", "--pipes", "512"];
    let mut command = with_locked_memory(&folder, 1 << 20);
    let few = Report::of(&command.args(DOCTOR).args(flags).output().unwrap());
    few.tells("pipe size", "pass", "256 KiB");
    few.tells("fs.pipe-user-pages-soft", "warn", "room for 256 pipes");

    let copy = folder.path().join("sluice");
    let mut command = Command::new("python3");
    command.args(["-c", FILL_PIPES]).arg(copy).args(DOCTOR).args(flags);
    let none = Report::of(&command.output().unwrap());
    none.tells("pipe size", "warn", "all bytes are copied");
}

#[test]
fn cpus_are_told_by_who_may_use_them() {
    let allowed = sluice::sys::affinity::allowed().unwrap();
    let (first, last) = (allowed[0].to_string(), allowed.last().unwrap().to_string());
    let pinned = |flags| examined(&["taskset", "--cpu-list", &first], flags);
    pinned(&[]).tells("CPUs", "pass", "1 workers, pinned to");
    pinned(&["--workers", "2"]).tells("CPUs", "warn", "2 workers take turns on 1 CPUs");
    if first != last {
        let outside = pinned(&["--cpus", &last]);
        outside.tells("CPUs", "fail", "--cpus");
        assert_eq!(outside.exit, 1);
    }
}

/// A group of its own for one process, in whichever version of control groups there is.
struct Group(PathBuf);

impl Group {
    fn with_quota(quota_us: u32, period_us: u32) -> Option<Self> {
        let name = format!("sluice-test-{}", std::process::id());
        let (v1, v2) = (PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup"));
        let group = if v1.is_dir() { v1.join(name) } else { v2.join(name) };
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        let write = |file: &str, text: String| fs::write(group.0.join(file), text).is_ok();
        let is_set = write("cpu.max", format!("{quota_us} {period_us}"))
            || (write("cpu.cfs_period_us", period_us.to_string())
                && write("cpu.cfs_quota_us", quota_us.to_string()));
        is_set.then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_quota_below_the_workers_is_told() {
    let Some(group) = Group::with_quota(150_000, 100_000) else {
        println!("left out: no control group can be made here");
        return;
    };
    let join = format!("echo $$ >{}/cgroup.procs; exec \"$@\"", group.0.display());
    let inside = |flags| examined(&["sh", "-ec", &join, "sh"], flags);
    inside(&["--workers", "2"]).tells("CPU quota", "warn", "1.500 CPUs for 2 workers");
    inside(&["--workers", "1"]).tells("CPU quota", "pass", "1.500 CPUs for 1 workers");
}

#[test]
fn settings_of_the_network_namespace_are_told() {
    if !is_root() {
        return;
    }
    let ipv4 = "/proc/sys/net/ipv4";
    let ranged = |range: &str| format!("echo {range} >{ipv4}/ip_local_port_range");
    let mut cases = vec![
        ("echo 128 >/proc/sys/net/core/somaxconn".to_owned(), "net.core.somaxconn", "128"),
        (ranged("40000 40099"), "net.ipv4.ip_local_port_range", "100 ports"),
        (format!("echo 0 >{ipv4}/tcp_migrate_req"), "net.ipv4.tcp_migrate_req", "reset"),
    ];
    let available = fs::read_to_string(format!("{ipv4}/tcp_available_congestion_control")).unwrap();
    if available.contains("bbr") {
        let bbr = format!("echo bbr >{ipv4}/tcp_congestion_control");
        cases.push((bbr, "net.ipv4.tcp_congestion_control", "paces"));
    }
    for (prepare, name, found) in &cases {
        prepared(&["--net"], prepare).tells(name, "warn", found);
    }
    // As the remedies have it.
    let all = format!(
        "echo 4096 >/proc/sys/net/core/somaxconn; {}; echo 1 >{ipv4}/tcp_migrate_req; \
         echo reno >{ipv4}/tcp_congestion_control",
        ranged("10240 65535")
    );
    let well = prepared(&["--net"], &all);
    cases.iter().for_each(|(_, name, _)| well.tells(name, "pass", ""));
}
