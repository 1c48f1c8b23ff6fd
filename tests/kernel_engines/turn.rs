//! Waiting and waking.

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sluice::kernel::{Op, Readiness, Wait};

use crate::support::*;

on_both_engines!(
    a_wait_ends_in_time,
    a_wait_for_the_past_returns,
    never_is_a_time_too,
    the_waker_ends_every_wait,
    a_wake_before_the_wait_counts,
    spinning_sees_what_comes,
    random_numbers_differ,
);

fn a_wait_ends_in_time<K: Engine>() {
    let mut bench = Bench::<K>::new();
    // The waker's first report, if there is one, must not be what ends the wait.
    bench.turn();
    let until = bench.after(Duration::from_millis(30));
    while sluice_now() < until {
        bench.kernel.turn(Wait::Until(until), &mut bench.seen);
    }
    let late_us = bench.kernel.now().since_us(until);
    assert!(bench.kernel.now() >= until && late_us < 5_000_000, "{late_us}");
    assert!(bench.seen.is_empty());
}

fn a_wait_for_the_past_returns<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let before = sluice_now();
    bench.kernel.turn(Wait::Until(sluice::kernel::Tick(0)), &mut bench.seen);
    bench.kernel.turn(Wait::No, &mut bench.seen);
    assert!(bench.kernel.now() >= before);
}

fn never_is_a_time_too<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    let writer = thread::spawn(move || {
        say(&client, b"x");
        client
    });
    while !bench.seen.iter().any(|c| c.token == watch) {
        bench.kernel.turn(Wait::Until(sluice::kernel::Tick(u64::MAX)), &mut bench.seen);
    }
    drop(writer.join());
}

fn the_waker_ends_every_wait<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let waker = bench.waker.try_clone().unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        while gone.recv().is_ok() {
            nix::unistd::write(waker.as_fd(), &1_u64.to_ne_bytes()).unwrap();
        }
    });
    for _ in 0..20 {
        go.send(()).unwrap();
        let start = sluice_now();
        bench.kernel.turn(Wait::Until(start.after(PATIENCE)), &mut bench.seen);
        assert!(bench.kernel.now() < start.after(PATIENCE), "the wake was missed");
        assert!(bench.seen.is_empty());
    }
    drop(go);
    other.join().unwrap();
}

fn a_wake_before_the_wait_counts<K: Engine>() {
    let mut bench = Bench::<K>::new();
    nix::unistd::write(bench.waker.as_fd(), &1_u64.to_ne_bytes()).unwrap();
    let start = sluice_now();
    bench.kernel.turn(Wait::Until(start.after(PATIENCE)), &mut bench.seen);
    assert!(bench.kernel.now() < start.after(PATIENCE), "the wake was missed");
}

fn spinning_sees_what_comes<K: Engine>() {
    let mut bench = Bench::<K>::spinning(Duration::from_millis(20));
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    let writer = thread::spawn(move || {
        for _ in 0..10 {
            say(&client, b"x");
        }
        client
    });
    bench.ready(watch, Readiness::IN);
    drop(writer.join());
    let start = sluice_now();
    bench.turn();
    bench.kernel.turn(Wait::Until(start.after(Duration::from_millis(1))), &mut bench.seen);
    bench.close_watched(socket, watch);
}

fn random_numbers_differ<K: Engine>() {
    let mut bench = Bench::<K>::new();
    assert_ne!(bench.kernel.random(), bench.kernel.random());
}
