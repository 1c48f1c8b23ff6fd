//! How a gateway goes: what it still accepts, what it lets finish, and when it is gone.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::ends::{Session, transfer};
use crate::support::gateway::{Plan, routes_text};
use crate::support::hello::Hello;
use crate::support::socket::{End, drain, expect, expect_end};
use crate::support::{Engine, eventually};

on_both_engines!(
    a_drain_lets_sessions_finish,
    a_drain_ends_when_its_time_is_up,
    a_second_signal_ends_it_at_once,
    killed_and_started_again_in_a_second,
);

const NAME: &str = "api.example";

fn a_drain_lets_sessions_finish(engine: Engine) {
    let flags = [("--drain-delay", "1500ms"), ("--drain-timeout", "60s")];
    let Session { mut gateway, backend, mut client, mut upstream } =
        Session::with_flags(engine, &flags);
    transfer(&mut client, &mut upstream, 1, 1 << 20);
    let began = Instant::now();
    gateway.signal(Signal::SIGTERM);
    let unready = eventually(|| (gateway.readiness() == Some(503)).then(|| began.elapsed()));
    assert!(unready.is_some_and(|after| after < Duration::from_secs(1)), "{unready:?}");
    // Those who have not heard of it yet are still served.
    let wire = Hello::to(NAME).wire();
    let mut late = gateway.connect();
    late.write_all(&wire).unwrap();
    let mut late_upstream = backend.accept_expecting(&wire);
    assert!(began.elapsed() < Duration::from_millis(1500), "too slow a machine to tell");
    let closed = eventually(|| TcpStream::connect(gateway.address).is_err().then_some(()));
    assert!(closed.is_some(), "the listeners stay open");
    assert!(began.elapsed() >= Duration::from_millis(1400), "closed at {:?}", began.elapsed());
    // Both sessions go on, and end of themselves.
    transfer(&mut client, &mut upstream, 2, 8 << 20);
    transfer(&mut upstream, &mut client, 3, 8 << 20);
    assert_eq!(gateway.exited(), None, "{}", gateway.log());
    late_upstream.write_all(b"answer").unwrap();
    drop(late_upstream);
    expect_end(&mut late, b"answer");
    drop((late, client));
    expect_end(&mut upstream, b"");
    drop(upstream);
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.log());
}

fn a_drain_ends_when_its_time_is_up(engine: Engine) {
    let flags =
        [("--drain-delay", "200ms"), ("--drain-timeout", "800ms"), ("--drain-spread", "400ms")];
    let Session { mut gateway, backend, client, upstream } = Session::with_flags(engine, &flags);
    let wire = Hello::to(NAME).wire();
    let mut sessions = vec![(client, upstream)];
    for _ in 0..20 {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        let upstream = backend.accept_expecting(&wire);
        sessions.push((client, upstream));
    }
    let began = Instant::now();
    gateway.signal(Signal::SIGTERM);
    for (client, upstream) in &mut sessions {
        // Neither stream is known to be whole: it must not look as if it were.
        assert_eq!(drain(client), (Vec::new(), End::Reset));
        assert_eq!(drain(upstream), (Vec::new(), End::Reset));
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.log());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(750), "closed after {took:?}");
    assert!(took < Duration::from_secs(5), "gone only after {took:?}");
}

fn a_second_signal_ends_it_at_once(engine: Engine) {
    let flags = [("--drain-delay", "30s"), ("--drain-timeout", "60s")];
    let Session { mut gateway, client, upstream, .. } = Session::with_flags(engine, &flags);
    gateway.signal(Signal::SIGTERM);
    let unready = eventually(|| (gateway.readiness() == Some(503)).then_some(()));
    assert!(unready.is_some(), "the first signal does nothing");
    let began = Instant::now();
    gateway.signal(Signal::SIGTERM);
    gateway.wait_for_exit();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop((client, upstream));
}

fn killed_and_started_again_in_a_second(engine: Engine) {
    let Session { mut gateway, backend, mut client, mut upstream } = Session::new(engine);
    transfer(&mut client, &mut upstream, 1, 1 << 20);
    gateway.signal(Signal::SIGKILL);
    gateway.wait_for_exit();
    let began = Instant::now();
    let routes = routes_text(&[(NAME, backend.address)]);
    let again = Plan::new(engine, routes).at(gateway.address).start();
    let wire = Hello::to(NAME).wire();
    let mut client = again.connect();
    client.write_all(&wire).unwrap();
    let mut upstream = backend.accept_expecting(&wire);
    upstream.write_all(b"answer").unwrap();
    expect(&mut client, b"answer");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
