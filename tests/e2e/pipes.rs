//! Users other than root get only so many pipes (pipe(7), `pipe-user-pages-soft`).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::ends::transfer;
use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, expect_end};
use crate::support::{Engine, process};

on_both_engines!(alone: without_pipes_bytes_are_copied);

const NAME: &str = "api.example";
/// Nobody else runs as this user, so that the limit hits nobody else.
const USER: u32 = 64_873;

/// Takes pipes until none of use is left, says so, and keeps them until its input ends.
const HOLD_PIPES: &str = "
import fcntl, os, sys
held = []
for size in (1 << 20, 1 << 16):
    while True:
        held.append(os.pipe())
        try:
            fcntl.fcntl(held[-1][1], fcntl.F_SETPIPE_SZ, size)
        except PermissionError:
            break
while fcntl.fcntl(os.pipe()[1], fcntl.F_GETPIPE_SZ) > 8192 and len(held) < 4096:
    held.append(os.pipe())
print('held', flush=True)
sys.stdin.read()
";

/// A process that holds all pipes that its user may have.
struct Holder(Child);

impl Holder {
    fn start() -> Self {
        let mut command = if process::is_root() {
            let mut command = Command::new("setpriv");
            let ids = [format!("--reuid={USER}"), format!("--regid={USER}")];
            command.args(ids).args(["--clear-groups", "/usr/bin/env", "python3"]);
            command
        } else {
            Command::new("python3")
        };
        command.args(["-c", HOLD_PIPES]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "the pipes could not be taken");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn without_pipes_bytes_are_copied(engine: Engine) {
    let _holder = Holder::start();
    let backend = Backend::new();
    let plan = Plan::new(engine, routes_text(&[(NAME, backend.address)]));
    let plan = if process::is_root() { plan.run_as(USER) } else { plan };
    let gateway = plan.start();
    let wire = Hello::to(NAME).wire();
    for seed in 0..4 {
        let mut client = gateway.connect();
        std::io::Write::write_all(&mut client, &wire).unwrap();
        let mut upstream = backend.accept_expecting(&wire);
        transfer(&mut client, &mut upstream, seed, 8 << 20);
        transfer(&mut upstream, &mut client, !seed, 8 << 20);
        drop(client);
        expect_end(&mut upstream, b"");
    }
    let stats = gateway.wait_until_quiet();
    assert!(stats.get("pipes_refused") > 0, "{stats:#?}");
    assert_eq!((stats.get("bytes_spliced"), stats.get("reset")), (0, 0), "{stats:#?}");
}
