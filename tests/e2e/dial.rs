//! Endpoints that fail: the next one is tried, and the client does not notice.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::Engine;
use crate::support::black_hole::BlackHole;
use crate::support::gateway::{Gateway, Plan, free_address, route};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, expect, expect_end, reset};

on_both_engines!(
    a_refused_dial_goes_to_the_next_endpoint,
    a_dial_without_answer_times_out_and_goes_to_the_next_endpoint,
    a_backend_that_resets_before_its_first_byte_is_left_for_another,
    an_endpoint_that_keeps_failing_is_ejected,
    when_all_endpoints_fail_the_client_is_told,
    a_reset_after_the_first_byte_is_not_retried,
    what_the_client_sends_during_the_dial_follows_the_hello,
);

const NAME: &str = "api.example";
const INTERNAL_ERROR: [u8; 7] = [21, 3, 1, 0, 2, 2, 80];

/// A gateway with one worker, so that its load figures and ejections are those of one.
fn gateway(engine: Engine, endpoints: &[SocketAddr], connect_timeout: &str) -> Gateway {
    let more = format!("connect_timeout = \"{connect_timeout}\"");
    Plan::new(engine, route(NAME, endpoints, &more)).flag("--workers", "1").start()
}

/// Runs a session that ends well.
fn serve_one(gateway: &Gateway, backend: &Backend) {
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    let mut upstream = backend.accept_expecting(&wire);
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    expect_end(&mut client, b"answer");
}

fn a_refused_dial_goes_to_the_next_endpoint(engine: Engine) {
    let backend = Backend::new();
    let gateway = gateway(engine, &[free_address(), backend.address], "5s");
    for _ in 0..10 {
        serve_one(&gateway, &backend);
    }
    let stats = gateway.wait_until_quiet();
    let failed = stats.get("dials_failed");
    assert!((1..=10).contains(&failed), "{stats:#?}");
    assert_eq!((stats.get("dials_retried"), stats.get("dials")), (failed, 10 + failed));
    assert_eq!((stats.get("dials_timed_out"), stats.refused_in_all()), (0, 0));
}

fn a_dial_without_answer_times_out_and_goes_to_the_next_endpoint(engine: Engine) {
    let (hole, backend) = (BlackHole::at(free_address()), Backend::new());
    let gateway = gateway(engine, &[hole.address, backend.address], "300ms");
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let began = Instant::now();
        serve_one(&gateway, &backend);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest >= Duration::from_millis(290), "{slowest:?} with a timeout of 300 ms");
    assert!(slowest < Duration::from_millis(2500), "{slowest:?} with a timeout of 300 ms");
    let stats = gateway.wait_until_quiet();
    let failed = stats.get("dials_failed");
    assert!((1..=10).contains(&failed), "{stats:#?}");
    assert_eq!((stats.get("dials_retried"), stats.get("dials_timed_out")), (failed, failed));
}

fn a_backend_that_resets_before_its_first_byte_is_left_for_another(engine: Engine) {
    let (bad, good) = (Backend::new(), Backend::new());
    let gateway = gateway(engine, &[bad.address, good.address], "5s");
    let wire = Hello::to(NAME).wire();
    let (is_over, resets) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let Some(mut stream) = bad.accept_within(Duration::from_millis(50)) else {
                    continue;
                };
                // Half of them read the hello first: it has left the gateway by then.
                if resets.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
                    expect(&mut stream, &wire);
                }
                reset(stream);
            }
        });
        for _ in 0..20 {
            serve_one(&gateway, &good);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let stats = gateway.wait_until_quiet();
    let resets = resets.into_inner() as u64;
    assert!(resets > 0, "the failing backend was never tried");
    assert_eq!((stats.get("dials_retried"), stats.refused_in_all()), (resets, 0));
}

fn an_endpoint_that_keeps_failing_is_ejected(engine: Engine) {
    let backend = Backend::new();
    let gateway = gateway(engine, &[free_address(), backend.address], "5s");
    for _ in 0..60 {
        serve_one(&gateway, &backend);
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("dials_failed"), stats.get("dials")), (5, 65), "{stats:#?}");
}

fn when_all_endpoints_fail_the_client_is_told(engine: Engine) {
    let gateway = gateway(engine, &[free_address(), free_address(), free_address()], "5s");
    let mut client = gateway.connect();
    client.write_all(&Hello::to(NAME).wire()).unwrap();
    expect_end(&mut client, &INTERNAL_ERROR);
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.refused("connect_failed"), stats.refused_in_all()), (1, 1));
    assert_eq!((stats.get("dials"), stats.get("dials_failed")), (3, 3));
    assert_eq!((stats.get("routed"), stats.get("reset")), (0, 0));
}

fn a_reset_after_the_first_byte_is_not_retried(engine: Engine) {
    let (backend, other) = (Backend::new(), Backend::new());
    let gateway = gateway(engine, &[backend.address, other.address], "5s");
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    let first = backend.accept_within(Duration::from_millis(500));
    let mut upstream = first.unwrap_or_else(|| other.accept());
    expect(&mut upstream, &wire);
    upstream.write_all(b"begun").unwrap();
    expect(&mut client, b"begun");
    reset(upstream);
    assert_eq!(crate::support::socket::drain(&mut client).1, crate::support::socket::End::Reset);
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.get("dials"), stats.get("dials_retried")), (1, 0));
}

fn what_the_client_sends_during_the_dial_follows_the_hello(engine: Engine) {
    let (hole, backend) = (BlackHole::at(free_address()), Backend::new());
    let gateway = gateway(engine, &[hole.address, backend.address], "400ms");
    // Small and large hellos wait for their dial in different places.
    for padding_bytes in [0, 9_000] {
        for _ in 0..6 {
            let mut wire = Hello::to(NAME).padded(padding_bytes).wire();
            let mut client = gateway.connect();
            client.write_all(&wire).unwrap();
            let early = crate::support::pattern::Pattern::new(3).take(50_000);
            client.write_all(&early).unwrap();
            wire.extend(early);
            let mut upstream = backend.accept_expecting(&wire);
            upstream.write_all(b"answer").unwrap();
            drop(upstream);
            expect_end(&mut client, b"answer");
        }
    }
    let stats = gateway.wait_until_quiet();
    assert!(stats.get("dials_timed_out") > 0, "no dial had to wait: {stats:#?}");
}
