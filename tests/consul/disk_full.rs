//! No room for the state: routing goes on, and what is known is kept once there is room.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::datacenter::Plan;
use crate::support::program::{ENGINES, Launch};
use crate::support::scene::{id, register_service, server_name};
use crate::support::until;

/// Puts a disk that is full at a folder, for what runs behind it alone.
const FULL: &str = "mount -t tmpfs -o size=64k none \"$1\"; \
                    head -c 65536 /dev/zero >\"$1/others\" || true; shift; exec \"$@\"";

#[test]
fn a_full_disk_costs_the_state_and_nothing_else() {
    let datacenter = Plan::new("dc1").start();
    let folder = datacenter.path().join("state");
    fs::create_dir(&folder).unwrap();
    let behind = ["unshare", "--mount", "--", "sh", "-ec", FULL, "sh", folder.to_str().unwrap()];
    let tried = Command::new(behind[0]).args(&behind[1..]).arg("true").output().unwrap();
    if !tried.status.success() {
        println!("left out, no mounts here: {}", String::from_utf8_lossy(&tried.stderr));
        return;
    }
    let echo = register_service(&datacenter);
    let launch = Launch::registered(ENGINES[0], &datacenter.url(), &id(ENGINES[0]));
    let mut gateway = launch.path("--state-dir", &folder).started_by(&behind).start_ready();
    let line = gateway.wait_line("no room to save the state");
    assert_eq!(line.level, "WARN");
    echo.visit(gateway.address()).unwrap();
    // What comes after is routed, too, although it cannot be saved either.
    datacenter.register(&echo.sidecar_of("later"));
    gateway.wait_routed(&server_name(&datacenter, "later"), true);
    echo.visit(gateway.address()).unwrap();

    let seen = PathBuf::from(format!("/proc/{}/root", gateway.pid()));
    let seen = seen.join(folder.strip_prefix("/").unwrap());
    assert!(!seen.join("sluice.state").exists());
    fs::remove_file(seen.join("others")).unwrap();
    gateway.wait_line("the state is saved again");
    until("it is whole", || {
        let state = fs::read(seen.join("sluice.state")).ok()?;
        String::from_utf8_lossy(&state).contains("later").then_some(())
    });
    let told = gateway.log().iter().filter(|line| line.text.contains("no room")).count();
    assert_eq!(told, 1, "it is told once");
}
