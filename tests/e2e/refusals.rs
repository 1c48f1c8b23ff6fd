//! How refused clients are told, and what counts as a refusal at all.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::socket::{Backend, End, drain, expect, expect_end};
use crate::support::{Engine, Gateway, eventually};

on_both_engines!(
    an_alert_survives_what_the_client_still_sends,
    refusing_by_reset_sends_nothing_else,
    a_probe_is_counted_and_not_logged,
    the_hello_timeout_is_not_extended_by_progress,
    a_silent_client_is_timed_out,
    a_refused_client_that_stays_is_closed,
);

const NAME: &str = "api.example";
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

fn an_alert_survives_what_the_client_still_sends(engine: Engine) {
    let backend = Backend::new();
    let gateway = Gateway::start(engine, &[(NAME, backend.address)]);
    for _ in 0..20 {
        let mut client = gateway.connect();
        client.write_all(&Hello::to("unknown.example").wire()).unwrap();
        // Unread bytes at close would turn the end into RST, which drops the alert.
        let more = client.write_all(&[0; 100_000]);
        assert!(more.is_ok(), "reset while sending: {more:?}");
        expect_end(&mut client, &UNRECOGNIZED_NAME);
    }
}

fn refusing_by_reset_sends_nothing_else(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--refuse", "reset").start();
    for wire in [Hello::to("unknown.example").wire(), Hello::anonymous().wire()] {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        assert_eq!(drain(&mut client), (Vec::new(), End::Reset));
    }
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.refused("unknown_name"), stats.refused("no_server_name")), (1, 1));
}

fn a_probe_is_counted_and_not_logged(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--access-log", "text").start();
    let lines = gateway.log().lines().count();
    for _ in 0..5 {
        drop(gateway.connect());
        let polite = gateway.connect();
        polite.shutdown(Shutdown::Both).unwrap();
    }
    let stats = gateway.wait_for("probes counted", |stats| stats.get("probes") == 10);
    assert_eq!(stats.refused_in_all(), 0);
    // A routed session is logged: once its line is there, those of the probes would be, too.
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    backend.accept_expecting(&wire).write_all(b"answer").unwrap();
    expect_end(&mut client, b"answer");
    drop(client);
    let logged = eventually(|| gateway.log().contains(NAME).then_some(()));
    assert!(logged.is_some(), "the session is not in the access log");
    assert_eq!(gateway.log().lines().count(), lines + 1, "{}", gateway.log());
}

fn the_hello_timeout_is_not_extended_by_progress(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--hello-timeout", "500ms").start();
    let began = Instant::now();
    let mut client = gateway.connect();
    client.set_nodelay(true).unwrap();
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let wire = Hello::to(NAME).padded(4_000).wire();
    let mut ended = None;
    for byte in &wire {
        let sent = client.write_all(&[*byte]);
        // The pace: a byte each time that nothing is heard for 20 ms.
        let heard = std::io::Read::read(&mut client, &mut [0; 64]);
        let is_silent = heard.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        if sent.is_err() || !is_silent {
            assert!(heard.unwrap_or(0) == 0, "bytes for a client that is timed out");
            ended = Some(began.elapsed());
            break;
        }
    }
    let ended = ended.expect("a hello may take for ever");
    assert!(ended >= Duration::from_millis(400), "closed after {ended:?}");
    assert!(ended < Duration::from_millis(3000), "closed only after {ended:?}");
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.refused("hello_timeout"), stats.refused_in_all()), (1, 1));
    assert!(backend.accept_within(Duration::ZERO).is_none());
}

fn a_silent_client_is_timed_out(engine: Engine) {
    let backend = Backend::new();
    let routes = routes_text(&[(NAME, backend.address)]);
    let gateway = Plan::new(engine, routes).flag("--hello-timeout", "300ms").start();
    let began = Instant::now();
    let mut client = gateway.connect();
    assert_eq!(drain(&mut client).0, b"");
    assert!(began.elapsed() >= Duration::from_millis(250), "after {:?}", began.elapsed());
    let stats = gateway.wait_until_quiet();
    assert_eq!((stats.refused("hello_timeout"), stats.get("probes")), (1, 0));
    // One that is in time is served, also after the timeout has passed.
    let wire = Hello::to(NAME).wire();
    let mut client = gateway.connect();
    client.write_all(&wire).unwrap();
    let mut upstream = backend.accept_expecting(&wire);
    upstream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let quiet = std::io::Read::read(&mut upstream, &mut [0; 1]).unwrap_err();
    assert_eq!(quiet.kind(), std::io::ErrorKind::WouldBlock, "{quiet}");
    client.write_all(b"late").unwrap();
    expect(&mut upstream, b"late");
}

fn a_refused_client_that_stays_is_closed(engine: Engine) {
    let backend = Backend::new();
    let gateway = Gateway::start(engine, &[(NAME, backend.address)]);
    let mut client = gateway.connect();
    client.write_all(&Hello::to("unknown.example").wire()).unwrap();
    expect(&mut client, &UNRECOGNIZED_NAME);
    // It neither closes nor reads on; its slot must come free all the same.
    gateway.wait_until_quiet();
    drop(client);
}
