//! Which way bytes take through the gateway, by its own counters.

use std::io::Write;

use crate::ends::{Session, transfer};
use crate::support::hello::Hello;
use crate::support::socket::expect_end;
use crate::support::{Engine, Scale};

on_both_engines!(
    alone: bulk_goes_by_splice,
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

fn small_messages_are_copied(engine: Engine) {
    let Session { gateway, mut client, mut upstream, .. } = Session::new(engine);
    for seed in 0..3_000 {
        transfer_small(&mut client, &mut upstream, seed);
    }
    let stats = gateway.stats();
    assert_eq!(stats.get("bytes_spliced"), 0, "{stats:#?}");
    // The first message: until the endpoint has answered, the session might go to another one.
    assert_eq!(stats.get("bytes_peeked"), 64, "{stats:#?}");
    assert_eq!(stats.get("pipes_lent"), 0);
}

fn transfer_small(client: &mut std::net::TcpStream, upstream: &mut std::net::TcpStream, seed: u64) {
    let message = crate::support::pattern::Pattern::new(seed).take(64);
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
