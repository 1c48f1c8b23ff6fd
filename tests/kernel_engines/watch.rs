//! Readiness: present state first, then edges.

use std::io::Read;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use sluice::kernel::{Event, Op, Readiness, Take, Tried};

use crate::support::*;

on_both_engines!(
    the_present_state_comes_first,
    an_edge_per_change,
    room_to_write_is_told_when_it_comes_back,
    low_water_holds_the_edge_back,
    a_reset_is_observed,
    a_reset_is_sent_although_watched,
    half_close_leaves_the_other_direction,
    a_fin_stands_behind_its_bytes,
    plain_bytes_are_not_urgent,
    an_urgent_byte_neither_stalls_nor_is_lost,
    an_urgent_byte_alone_is_told,
    both_ends_watched_at_once,
    a_stale_token_is_never_told_of_a_reused_descriptor,
    more_watches_than_the_queues_hold,
);

fn the_present_state_comes_first<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (quiet, _client) = bench.accepted();
    let (_, ready) = bench.watched(&quiet, Op::WatchDownstream);
    assert!(ready.any(Readiness::OUT) && !ready.any(Readiness::IN), "{ready:?}");
    let (loud, client) = bench.accepted();
    say(&client, b"early");
    finish(&client);
    let (_, ready) = bench.watched(&loud, Op::WatchDownstream);
    assert!(ready.any(Readiness::OUT) && ready.any(Readiness::IN), "{ready:?}");
    assert!(ready.any(Readiness::FINISHED) && !ready.any(Readiness::BROKEN), "{ready:?}");
}

fn an_edge_per_change<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    bench.assert_silent(watch);
    for _ in 0..3 {
        say(&client, b"x");
        assert!(bench.ready(watch, Readiness::IN).any(Readiness::IN));
        // Told once, although nothing was read.
        bench.assert_silent(watch);
    }
    bench.close_watched(socket, watch);
}

fn room_to_write_is_told_when_it_comes_back<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    let bytes = pattern(1 << 20);
    let mut sent = 0;
    let mut short = false;
    // Around the pattern until nothing more goes in.
    loop {
        let rest = &bytes[sent % bytes.len()..];
        match bench.kernel.send(&socket, rest) {
            Tried::Did(count) => {
                short |= count < rest.len();
                sent += count;
            }
            Tried::Later => break,
            Tried::Failed(errno) => panic!("{errno}"),
        }
    }
    assert!(short, "a send of 1 MiB into a full socket was never short");
    while bench.seen.iter().any(|c| c.token == watch) {
        bench.next(watch);
    }
    let mut heard = vec![0; sent];
    (&client).read_exact(&mut heard).unwrap();
    assert!(heard.iter().zip(bytes.iter().cycle()).all(|(a, b)| a == b));
    assert!(bench.ready(watch, Readiness::OUT).any(Readiness::OUT));
    assert!(matches!(bench.kernel.send(&socket, b"on"), Tried::Did(2)));
    hear(&client, b"on");
    bench.close_watched(socket, watch);
}

fn low_water_holds_the_edge_back<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    bench.kernel.low_water(&socket, 10);
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    say(&client, &[0; 9]);
    bench.assert_silent(watch);
    say(&client, &[0; 1]);
    assert!(bench.ready(watch, Readiness::IN).any(Readiness::IN));
    // Lowering it tells of what waits already.
    bench.kernel.low_water(&socket, 100);
    let mut buffer = [0; 100];
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Consume), Tried::Did(10));
    say(&client, &[0; 5]);
    bench.assert_silent(watch);
    bench.kernel.low_water(&socket, 1);
    assert!(bench.ready(watch, Readiness::IN).any(Readiness::IN));
    bench.close_watched(socket, watch);
}

fn a_reset_is_observed<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    abort(client);
    bench.ready(watch, Readiness::BROKEN);
    let mut buffer = [0; 16];
    let got = bench.kernel.recv(&socket, &mut buffer, Take::Consume);
    assert_eq!(got, Tried::Failed(Errno::ECONNRESET));
    bench.close_watched(socket, watch);
}

fn a_reset_is_sent_although_watched<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    assert_eq!(bench.kernel.send(&socket, b"never read"), Tried::Did(10));
    bench.kernel.reset(&socket);
    let mut buffer = [0; 16];
    let mut outcome = (&client).read(&mut buffer);
    if matches!(outcome, Ok(10)) {
        outcome = (&client).read(&mut buffer);
    }
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    bench.close_watched(socket, watch);
}

fn half_close_leaves_the_other_direction<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    assert_eq!(bench.kernel.send(&socket, b"bye"), Tried::Did(3));
    bench.kernel.finish(&socket);
    let mut heard = Vec::new();
    (&client).read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"bye");
    say(&client, b"still here");
    bench.ready(watch, Readiness::IN);
    let mut buffer = [0; 16];
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Consume), Tried::Did(10));
    finish(&client);
    bench.ready(watch, Readiness::FINISHED);
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Consume), Tried::Did(0));
    bench.close_watched(socket, watch);
}

fn a_fin_stands_behind_its_bytes<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    say(&client, b"all of it");
    finish(&client);
    bench.ready(watch, Readiness::FINISHED);
    let mut buffer = [0; 4];
    let mut got = Vec::new();
    loop {
        match bench.kernel.recv(&socket, &mut buffer, Take::Consume) {
            Tried::Did(0) => break,
            Tried::Did(count) => got.extend_from_slice(&buffer[..count]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, b"all of it");
    bench.close_watched(socket, watch);
}

fn plain_bytes_are_not_urgent<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    for _ in 0..50 {
        say(&client, b"plain");
        let ready = bench.ready(watch, Readiness::IN);
        assert!(!ready.any(Readiness::URGENT), "{ready:?}");
    }
    bench.close_watched(socket, watch);
}

fn an_urgent_byte_neither_stalls_nor_is_lost<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    assert_eq!(send(client.as_raw_fd(), b"abcd", MsgFlags::MSG_OOB), Ok(4));
    let ready = bench.ready(watch, Readiness::IN);
    assert!(ready.any(Readiness::URGENT), "{ready:?}");
    let mut buffer = [0; 16];
    // The read stops before the urgent byte, although there is room.
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Consume), Tried::Did(3));
    assert_eq!(bench.kernel.recv(&socket, &mut buffer[3..], Take::Consume), Tried::Did(1));
    assert_eq!(&buffer[..4], b"abcd");
    bench.close_watched(socket, watch);
}

fn an_urgent_byte_alone_is_told<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    assert_eq!(send(client.as_raw_fd(), b"!", MsgFlags::MSG_OOB), Ok(1));
    bench.ready(watch, Readiness::IN);
    let mut pipe = bench.kernel.pipe(65_536, 4096).unwrap();
    // splice(2) does not pass the mark: such a direction has to go by copy.
    assert_eq!(bench.kernel.fill(&socket, &mut pipe, 65_536), Tried::Later);
    let mut buffer = [0; 16];
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Consume), Tried::Did(1));
    say(&client, b"then");
    bench.ready(watch, Readiness::IN);
    assert_eq!(bench.kernel.fill(&socket, &mut pipe, 65_536), Tried::Did(4));
    bench.close_watched(socket, watch);
}

fn both_ends_watched_at_once<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let (upstream, server) = bench.dialed();
    let (down, _) = bench.watched(&downstream, Op::WatchDownstream);
    let (up, ready) = bench.watched(&upstream, Op::WatchUpstream);
    assert!(ready.any(Readiness::OUT));
    say(&client, b"1");
    say(&server, b"2");
    bench.ready(down, Readiness::IN);
    bench.ready(up, Readiness::IN);
    bench.close_watched(downstream, down);
    bench.assert_silent(up);
    say(&server, b"3");
    bench.ready(up, Readiness::IN);
    bench.close_watched(upstream, up);
}

fn a_stale_token_is_never_told_of_a_reused_descriptor<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let mut reused_count = 0;
    let mut former = None;
    for _ in 0..50 {
        let (socket, client) = bench.accepted();
        let number = socket.as_raw_fd();
        let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
        say(&client, b"to the present one");
        bench.ready(watch, Readiness::IN);
        if let Some((token, former_number)) = former {
            reused_count += u32::from(number == former_number);
            bench.assert_silent(token);
        }
        bench.close_watched(socket, watch);
        former = Some((watch, number));
    }
    assert!(reused_count > 0, "no descriptor was used twice: nothing was tested");
}

fn more_watches_than_the_queues_hold<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let watches: Vec<_> = (0..1500)
        .map(|_| {
            let twin = duplicate(&socket);
            let token = bench.token(Op::WatchDownstream);
            bench.kernel.watch(&twin, token);
            (twin, token)
        })
        .collect();
    for (_, token) in &watches {
        bench.ready(*token, Readiness::OUT);
    }
    say(&client, b"x");
    for (_, token) in &watches {
        bench.ready(*token, Readiness::IN);
    }
    for (_, token) in &watches {
        bench.kernel.cancel(*token);
    }
    for (twin, token) in watches {
        assert!(matches!(bench.last(token), Event::Failed(Errno::ECANCELED)));
        bench.kernel.close(twin);
    }
    assert!(bench.seen.is_empty(), "{:?}", bench.seen);
}
