//! Where io_uring is refused.

use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, expect, expect_end};
use crate::support::{Engine, SOON, together};

/// Puts a program under a seccomp filter that answers io_uring_setup(2) with EPERM, as Docker's
/// default profile does. The filter: load the call's number; is it 425; refuse; allow.
const REFUSING: &str = "
import ctypes, os, struct, sys
code = b''.join(struct.pack('HBBI', *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)))
program = ctypes.create_string_buffer(code)
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(program)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
number = ctypes.c_ulong
no_new_privileges = (38, number(1), number(0), number(0), number(0))
set_seccomp = (22, number(2), filter, number(0), number(0))
for words in (no_new_privileges, set_seccomp):
    if prctl(*words) != 0:
        sys.exit('prctl: ' + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
";
const LAUNCHER: [&str; 3] = ["python3", "-c", REFUSING];
const NAME: &str = "api.example";

#[test]
fn a_demanded_ring_that_is_refused_ends_with_a_sentence() {
    let _guard = together();
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let mut gateway = Plan::new(Engine::IoUring, routes).launched_by(&LAUNCHER).spawn();
    let status = gateway.wait_for_exit();
    let log = gateway.log();
    // Not success, a panic, a usage error or a wrong configuration: a code of its own.
    let code = status.code().unwrap_or_else(|| panic!("{status}\n{log}"));
    assert!(![0, 1, 2, 64, 78, 101].contains(&code), "code {code}\n{log}");
    assert!(log.contains("io_uring") && log.contains("seccomp"), "who refused?\n{log}");
    assert!(log.contains("--engine"), "what to type?\n{log}");
    assert!(log.lines().count() <= 3, "not a sentence:\n{log}");
}

#[test]
fn auto_falls_back_and_says_so_once() {
    let _guard = together();
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let plan = Plan::new(Engine::IoUring, routes).automatic().launched_by(&LAUNCHER);
    let gateway = plan.flag("--workers", "2").start();
    assert_eq!(gateway.stats().engine, "epoll");
    let wire = Hello::to(NAME).wire();
    for _ in 0..10 {
        let mut client = gateway.connect();
        std::io::Write::write_all(&mut client, &wire).unwrap();
        let mut upstream = backend.accept_expecting(&wire);
        upstream.set_read_timeout(Some(SOON)).unwrap();
        std::io::Write::write_all(&mut upstream, b"answer").unwrap();
        expect(&mut client, b"answer");
        drop(upstream);
        expect_end(&mut client, b"");
    }
    let log = gateway.log();
    let told = log.lines().filter(|line| line.contains("seccomp")).count();
    assert_eq!(told, 1, "not once:\n{log}");
}

#[test]
fn auto_takes_the_ring_where_it_may() {
    let _guard = together();
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(Engine::IoUring, routes).automatic().start();
    assert_eq!(gateway.stats().engine, "io_uring");
}
