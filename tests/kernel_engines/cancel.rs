//! Ending operations early: exactly one last completion each.

use nix::errno::Errno;
use sluice::kernel::{DialOptions, Event, ListenerId, Op, Readiness, Wait};

use crate::support::*;

on_both_engines!(
    an_accept_ends_once,
    a_watch_ends_once,
    a_dial_ends_once,
    a_dial_ends_once_in_the_turn_that_began_it,
    a_dial_that_was_faster_is_handed_over,
    what_has_ended_cannot_be_cancelled,
    edges_before_the_cancellation_are_told_before_it,
);

/// Takes completions until the last; then there is no more, even if cancelled again.
#[track_caller]
fn ends_once<K: Engine>(bench: &mut Bench<K>, token: sluice::kernel::Token) -> Errno {
    let Event::Failed(errno) = bench.last(token) else { panic!() };
    bench.kernel.cancel(token);
    bench.assert_silent(token);
    errno
}

fn an_accept_ends_once<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    bench.turn();
    bench.kernel.cancel(token);
    assert_eq!(ends_once(&mut bench, token), Errno::ECANCELED);
    let client = connect(bench.address);
    bench.assert_silent(token);
    // What waits is accepted by whoever asks next.
    let token = bench.token(Op::Accept);
    bench.kernel.accept(ListenerId(0), token);
    assert!(matches!(bench.next(token).event, Event::Accepted(_)));
    drop(client);
}

fn a_watch_ends_once<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    for op in [Op::WatchDownstream, Op::WatchUpstream] {
        let (watch, _) = bench.watched(&socket, op);
        bench.kernel.cancel(watch);
        assert_eq!(ends_once(&mut bench, watch), Errno::ECANCELED);
        say(&client, b"unheard");
        bench.assert_silent(watch);
    }
    // A socket can be watched again.
    let (watch, ready) = bench.watched(&socket, Op::WatchDownstream);
    assert!(ready.any(Readiness::IN));
    bench.close_watched(socket, watch);
}

fn a_dial_ends_once<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (_listener, _fillers, full) = full_listener();
    for with_hello in [false, true] {
        let id = bench.kernel.buffers().hold(b"hello").unwrap();
        let token = bench.token(Op::Dial);
        bench.kernel.dial(full, &DialOptions::default(), with_hello.then_some(&id), token);
        bench.assert_silent(token);
        bench.kernel.cancel(token);
        assert_eq!(ends_once(&mut bench, token), Errno::ECANCELED);
        bench.kernel.buffers().give_back(id);
    }
}

fn a_dial_ends_once_in_the_turn_that_began_it<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (_listener, _fillers, full) = full_listener();
    let id = bench.kernel.buffers().hold(b"hello").unwrap();
    let token = bench.token(Op::Dial);
    bench.kernel.dial(full, &DialOptions::default(), Some(&id), token);
    bench.kernel.cancel(token);
    bench.kernel.cancel(token);
    assert_eq!(ends_once(&mut bench, token), Errno::ECANCELED);
}

fn a_dial_that_was_faster_is_handed_over<K: Engine>() {
    let mut bench = Bench::<K>::new();
    for _ in 0..100 {
        let token = bench.token(Op::Dial);
        let id = bench.kernel.buffers().hold(b"hello").unwrap();
        bench.kernel.dial(bench.address, &DialOptions::default(), Some(&id), token);
        bench.kernel.turn(Wait::No, &mut bench.seen);
        bench.kernel.cancel(token);
        match bench.last(token) {
            Event::Dialed { socket, .. } => bench.kernel.close(socket),
            Event::Failed(errno) => assert_eq!(errno, Errno::ECANCELED),
            other => panic!("{other:?}"),
        }
        bench.assert_silent(token);
        bench.kernel.buffers().give_back(id);
    }
}

fn what_has_ended_cannot_be_cancelled<K: Engine>() {
    let mut bench = Bench::<K>::new();
    for op in [Op::Accept, Op::Dial, Op::WatchDownstream, Op::WatchUpstream] {
        let token = bench.token(op);
        bench.kernel.cancel(token);
        bench.assert_silent(token);
    }
}

fn edges_before_the_cancellation_are_told_before_it<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    say(&client, b"x");
    bench.kernel.cancel(watch);
    // The edge may or may not be told; the end is, once, and is the end.
    let event = bench.last(watch);
    assert!(matches!(event, Event::Failed(Errno::ECANCELED)), "{event:?}");
    bench.assert_silent(watch);
    bench.kernel.close(socket);
}
