//! Which way bytes take through the gateway, by its own counters.

use std::io::Write;
use std::net::TcpStream;

use crate::ends::{Session, transfer};
use crate::support::hello::Hello;
use crate::support::socket::expect_end;
use crate::support::{Engine, Scale};

on_both_engines!(
    alone: bulk_goes_by_splice,
    messages_of_16_kib_go_by_splice,
    small_messages_are_copied,
    a_session_takes_two_watches,
);

fn bulk_goes_by_splice(engine: Engine) {
    let bulk_bytes = Scale::asked().pick(64 << 20, 512 << 20);
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    transfer(&mut client, &mut upstream, 1, bulk_bytes);
    transfer(&mut upstream, &mut client, 2, bulk_bytes);
    let stats = gateway.stats();
    let all = stats.get("bytes_up") + stats.get("bytes_down");
    let spliced = stats.get("bytes_spliced");
    let ways = spliced + stats.get("bytes_copied") + stats.get("bytes_peeked");
    assert_eq!(ways, all, "each byte takes one way: {stats:#?}");
    println!("figure: {}: {spliced} of {all} bytes spliced", engine.name());
    assert!(spliced * 100 >= all * 95, "{spliced} of {all} bytes spliced");
}

fn messages_of_16_kib_go_by_splice(engine: Engine) {
    const COUNT: u64 = 200;
    const SIZE_BYTES: usize = 16_384;
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    for seed in 0..COUNT {
        exchange(&mut client, &mut upstream, seed, SIZE_BYTES);
    }
    let stats = gateway.stats();
    let (spliced, all) = (stats.get("bytes_spliced"), 2 * COUNT * SIZE_BYTES as u64);
    // A message may come in pieces while it is still looked at how large they are.
    assert!(spliced * 100 >= all * 95, "{spliced} of {all} bytes spliced");
    for seed in 0..COUNT {
        exchange(&mut client, &mut upstream, seed, 64);
    }
    let stats = gateway.stats();
    let back = stats.get("bytes_spliced") - spliced;
    assert!(back <= 2 * 64 * 10, "{back} bytes of small messages spliced");
}

fn small_messages_are_copied(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    for seed in 0..3_000 {
        exchange(&mut client, &mut upstream, seed, 64);
    }
    let stats = gateway.stats();
    assert_eq!(stats.get("bytes_spliced"), 0, "{stats:#?}");
    // The first message: until the endpoint has answered, the session might go to another one.
    assert_eq!(stats.get("bytes_peeked"), 64, "{stats:#?}");
    assert_eq!(stats.get("pipes_lent"), 0);
}

/// A message there, and the same back.
fn exchange(client: &mut TcpStream, upstream: &mut TcpStream, seed: u64, size_bytes: usize) {
    let message = crate::support::pattern::Pattern::new(seed).take(size_bytes);
    client.write_all(&message).unwrap();
    crate::support::socket::expect(upstream, &message);
    upstream.write_all(&message).unwrap();
    crate::support::socket::expect(client, &message);
}

fn a_session_takes_two_watches(engine: Engine) {
    const COUNT: u64 = 300;
    let Session { gateway, backend, client, upstream } = Session::new(engine);
    drop((client, upstream));
    let before = gateway.wait_until_quiet();
    let wire = Hello::to("api.example").wire();
    for seed in 0..COUNT {
        let mut client = gateway.connect();
        client.write_all(&wire).unwrap();
        let mut upstream = backend.accept_expecting(&wire);
        transfer(&mut client, &mut upstream, seed, 1 << 18);
        transfer(&mut upstream, &mut client, seed, 100);
        drop(upstream);
        expect_end(&mut client, b"");
    }
    let after = gateway.wait_until_quiet();
    let watches = after.get("watches") - before.get("watches");
    assert!(watches * 10 <= COUNT * 21, "{watches} watches for {COUNT} sessions");
}
