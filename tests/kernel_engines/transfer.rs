//! Moving bytes: by copy and by splice.

use std::io::{Read, Write};
use std::thread;

use nix::errno::Errno;
use sluice::kernel::{Op, Readiness, Take, Tried};

use crate::support::*;

on_both_engines!(
    peek_leaves_and_discard_takes,
    nothing_is_not_a_fin,
    splice_moves_a_stream_both_ways,
    a_fin_is_told_by_an_empty_pipe_only,
    bytes_from_memory_leave_before_spliced_ones,
    a_full_pipe_is_not_an_end,
    splice_to_a_reset_socket_is_an_error,
);

fn peek_leaves_and_discard_takes<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    say(&client, b"0123456789");
    let (_, _) = bench.watched(&socket, Op::WatchDownstream);
    let mut buffer = [0; 16];
    for _ in 0..2 {
        assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Peek), Tried::Did(10));
    }
    assert_eq!(bench.kernel.discard(&socket, 4), Tried::Did(4));
    assert_eq!(bench.kernel.recv(&socket, &mut buffer, Take::Peek), Tried::Did(6));
    assert_eq!(&buffer[..6], b"456789");
    assert_eq!(bench.kernel.discard(&socket, 100), Tried::Did(6));
    assert_eq!(bench.kernel.discard(&socket, 100), Tried::Later);
    finish(&client);
    assert_eq!(bench.kernel.discard(&socket, 100), Tried::Did(0));
}

fn nothing_is_not_a_fin<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    say(&client, b"there");
    let mut pipe = bench.kernel.pipe(65_536, 4096).unwrap();
    assert_eq!(bench.kernel.recv(&socket, &mut [], Take::Consume), Tried::Later);
    assert_eq!(bench.kernel.discard(&socket, 0), Tried::Later);
    assert_eq!(bench.kernel.fill(&socket, &mut pipe, 0), Tried::Later);
}

/// Moves everything from one socket to another by splice, and then the FIN.
fn splice_all<K: Engine>(bench: &mut Bench<K>, from: &K::Socket, to: &K::Socket) -> usize {
    let (input, _) = bench.watched(from, Op::WatchDownstream);
    let (output, _) = bench.watched(to, Op::WatchUpstream);
    let mut pipe = bench.kernel.pipe(262_144, 65_536).unwrap();
    let mut total = 0;
    let mut ended = false;
    while !(ended && bench.kernel.pipe_pending_bytes(&pipe) == 0) {
        if !ended {
            match bench.kernel.fill(from, &mut pipe, 262_144) {
                Tried::Did(0) => ended = true,
                Tried::Did(_) => {}
                Tried::Later if bench.kernel.pipe_pending_bytes(&pipe) == 0 => {
                    bench.ready(input, Readiness::IN);
                }
                Tried::Later => {}
                Tried::Failed(errno) => panic!("{errno}"),
            }
        }
        if bench.kernel.pipe_pending_bytes(&pipe) > 0 {
            match bench.kernel.flush(&mut pipe, to) {
                Tried::Did(count) => total += count,
                Tried::Later => drop(bench.ready(output, Readiness::OUT)),
                Tried::Failed(errno) => panic!("{errno}"),
            }
        }
    }
    bench.kernel.finish(to);
    bench.kernel.close_pipe(pipe);
    for token in [input, output] {
        bench.kernel.cancel(token);
        bench.last(token);
    }
    total
}

fn splice_moves_a_stream_both_ways<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let (upstream, server) = bench.dialed();
    let bytes = pattern(5_000_000);
    for (from, to, source, sink) in
        [(&downstream, &upstream, &client, &server), (&upstream, &downstream, &server, &client)]
    {
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut heard = Vec::new();
                let mut sink: &std::net::TcpStream = sink;
                sink.read_to_end(&mut heard).unwrap();
                heard
            });
            let bytes = &bytes;
            scope.spawn(move || {
                let mut source: &std::net::TcpStream = source;
                source.write_all(bytes).unwrap();
                finish(source);
            });
            assert_eq!(splice_all(&mut bench, from, to), bytes.len());
            assert!(reader.join().unwrap() == *bytes, "the bytes differ");
        });
    }
    bench.kernel.close(downstream);
    bench.kernel.close(upstream);
}

fn a_fin_is_told_by_an_empty_pipe_only<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let (upstream, server) = bench.dialed();
    say(&client, b"last words");
    finish(&client);
    let (watch, _) = bench.watched(&downstream, Op::WatchDownstream);
    bench.assert_silent(watch);
    let mut pipe = bench.kernel.pipe(65_536, 4096).unwrap();
    assert_eq!(bench.kernel.fill(&downstream, &mut pipe, 4096), Tried::Did(10));
    assert_eq!(bench.kernel.fill(&downstream, &mut pipe, 4096), Tried::Later);
    assert_eq!(bench.kernel.flush(&mut pipe, &upstream), Tried::Did(10));
    assert_eq!(bench.kernel.fill(&downstream, &mut pipe, 4096), Tried::Did(0));
    hear(&server, b"last words");
}

fn bytes_from_memory_leave_before_spliced_ones<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let (upstream, server) = bench.dialed();
    let mut pipe = bench.kernel.pipe(65_536, 4096).unwrap();
    assert_eq!(bench.kernel.stash(&mut pipe, b"first "), Tried::Did(6));
    say(&client, b"second");
    bench.watched(&downstream, Op::WatchDownstream);
    assert_eq!(bench.kernel.fill(&downstream, &mut pipe, 100), Tried::Did(6));
    assert_eq!(bench.kernel.pipe_pending_bytes(&pipe), 12);
    while bench.kernel.pipe_pending_bytes(&pipe) > 0 {
        assert!(matches!(bench.kernel.flush(&mut pipe, &upstream), Tried::Did(_)));
    }
    hear(&server, b"first second");
    bench.kernel.close_pipe(pipe);
}

fn a_full_pipe_is_not_an_end<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (downstream, client) = bench.accepted();
    let mut pipe = bench.kernel.pipe(4096, 4096).unwrap();
    assert_eq!(bench.kernel.pipe_capacity_bytes(&pipe), 4096);
    assert_eq!(bench.kernel.stash(&mut pipe, &[0; 5000]), Tried::Did(4096));
    assert_eq!(bench.kernel.stash(&mut pipe, b"x"), Tried::Later);
    say(&client, b"x");
    finish(&client);
    bench.watched(&downstream, Op::WatchDownstream);
    assert_eq!(bench.kernel.fill(&downstream, &mut pipe, 100), Tried::Later);
    assert_eq!(bench.kernel.pipe_pending_bytes(&pipe), 4096);
}

fn splice_to_a_reset_socket_is_an_error<K: Engine>() {
    let mut bench = Bench::<K>::new();
    let (socket, client) = bench.accepted();
    let (watch, _) = bench.watched(&socket, Op::WatchDownstream);
    abort(client);
    bench.ready(watch, Readiness::BROKEN);
    let mut pipe = bench.kernel.pipe(65_536, 4096).unwrap();
    assert_eq!(bench.kernel.stash(&mut pipe, b"lost"), Tried::Did(4));
    // The second raises SIGPIPE, which would end this process.
    assert_eq!(bench.kernel.flush(&mut pipe, &socket), Tried::Failed(Errno::ECONNRESET));
    assert_eq!(bench.kernel.flush(&mut pipe, &socket), Tried::Failed(Errno::EPIPE));
    assert_eq!(bench.kernel.send(&socket, b"x"), Tried::Failed(Errno::EPIPE));
}
