//! What an idle session costs.

use std::time::Duration;

use crate::support::gateway::{Plan, routes_text};
use crate::support::idle::{Keeper, raise_descriptor_limit};
use crate::support::{Engine, Scale, process};

on_both_engines!(alone: idle_sessions_cost_little_memory);

/// Each way, the hello included: the first full reads are copied, the rest goes by splice.
const CARRIED_BYTES: usize = 1 << 20;
const SESSION_BYTES_MAX: u64 = 256;

fn idle_sessions_cost_little_memory(engine: Engine) {
    raise_descriptor_limit();
    let (count, idle) = Scale::asked().pick((3_000, 1), (9_000, 10));
    let short = "a.example".to_owned();
    let long = format!("{}.{}.{}.example", "b".repeat(63), "c".repeat(63), "d".repeat(63));
    let keeper = Keeper::start(CARRIED_BYTES);
    let routes = routes_text(&[(&short, keeper.address), (&long, keeper.address)]);
    // One worker with few pipes leaves descriptors for all the sessions.
    let plan = Plan::new(engine, routes).flag("--workers", "1").flag("--pipes", "32");
    let gateway = plan.start();
    let names = [short, long];
    drop(keeper.sessions(&gateway, &names, 64, CARRIED_BYTES));
    gateway.wait_until_quiet();
    // As the bench counts it: with the first ones come pages of the program, which are no
    // session's.
    let first_count = count / 10;
    let first = keeper.sessions(&gateway, &names, first_count, CARRIED_BYTES);
    let before = process::resident_bytes(gateway.pid());
    let spliced = gateway.stats().get("bytes_spliced");

    let sessions = keeper.sessions(&gateway, &names, count - first_count, CARRIED_BYTES);
    std::thread::sleep(Duration::from_secs(idle));
    let grown = process::resident_bytes(gateway.pid()).saturating_sub(before);
    let stats = gateway.stats();
    assert_eq!((stats.get("sessions"), stats.get("pipes_lent")), (count as u64, 0));
    assert_eq!(stats.get("buffers_lent"), 0);
    let counted = (count - first_count) as u64;
    let spliced = (stats.get("bytes_spliced") - spliced) / counted;
    assert!(spliced >= (CARRIED_BYTES / 4) as u64, "only {spliced} bytes spliced per session");
    let each = grown / counted;
    println!("figure: {}: {each} bytes for each of {count} idle sessions", engine.name());
    assert!(each <= SESSION_BYTES_MAX, "{each} bytes for each of {count} idle sessions");

    drop((first, sessions));
    gateway.wait_until_quiet();
    let kept = process::resident_bytes(gateway.pid()).saturating_sub(before);
    assert!(kept <= grown + (64 << 10), "{kept} bytes kept of {grown}");
}
