use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::kernel::{Completions, DialOptions, Errno, Event, Kernel, ListenerId, Op};
use crate::kernel::{Take, Tried, Wait};

const ACCEPT: Token = Token::new(Op::Accept, 0, 0);
const DIAL: Token = Token::new(Op::Dial, 0, 0);
const WATCH: Token = Token::new(Op::WatchDownstream, 0, 0);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn turn(sim: &mut Sim) -> Completions<Socket> {
    let mut told = Vec::new();
    sim.turn(Wait::No, &mut told);
    told
}

fn one_event(sim: &mut Sim) -> Event<Socket> {
    let mut told = turn(sim);
    assert_eq!(told.len(), 1, "{told:?}");
    told.pop().unwrap().event
}

fn accept_one(sim: &mut Sim) -> Socket {
    match one_event(sim) {
        Event::Accepted(socket) => socket,
        other => panic!("expected Accepted, got {other:?}"),
    }
}

#[test]
fn a_client_is_accepted_and_answered() {
    let world = World::new(WorldOptions::default());
    let mut sim = world.kernel(&[address(1)], 0);
    sim.accept(ListenerId(0), ACCEPT);
    let client = world.connect(address(1)).unwrap();
    let socket = accept_one(&mut sim);
    assert_eq!(sim.peer_address(&socket), Some(client.local_address()));

    sim.watch(&socket, WATCH);
    assert!(matches!(one_event(&mut sim), Event::Ready(r) if r == Readiness::OUT));
    assert_eq!(client.send(b"hello"), Tried::Did(5));
    assert!(matches!(one_event(&mut sim), Event::Ready(r) if r.any(Readiness::IN)));
    assert!(turn(&mut sim).is_empty(), "an edge is told once");

    let mut bytes = [0; 8];
    assert_eq!(sim.recv(&socket, &mut bytes, Take::Consume), Tried::Did(5));
    assert_eq!(sim.send(&socket, &bytes[..5]), Tried::Did(5));
    sim.finish(&socket);
    assert_eq!(client.recv(&mut bytes), Tried::Did(5));
    assert_eq!(client.recv(&mut bytes), Tried::Did(0));

    sim.cancel(WATCH);
    sim.cancel(ACCEPT);
    let told = turn(&mut sim);
    assert!(told.iter().filter(|c| c.last).count() == 2, "{told:?}");
    sim.close(socket);
    assert_eq!(world.open(), Open::default());
    drop(client);
    assert!(world.0.borrow().connections.is_empty());
}

#[test]
fn a_dial_sends_its_hello_along() {
    let world = World::new(WorldOptions::default());
    let mut sim = world.kernel(&[], 1);
    let backend = world.listen(address(2), 8);
    let hello = sim.buffers().hold(b"hello").unwrap();
    sim.dial(address(2), &DialOptions::default(), Some(&hello), DIAL);
    let Event::Dialed { socket, sent_bytes: 5 } = one_event(&mut sim) else { panic!("dial") };
    sim.buffers().give_back(hello);
    let far = backend.accept().unwrap();
    let mut bytes = [0; 8];
    assert_eq!(far.recv(&mut bytes), Tried::Did(5));
    assert_eq!(&bytes[..5], b"hello");
    sim.close(socket);
    assert_eq!(far.recv(&mut bytes), Tried::Did(0));
}

#[test]
fn dials_fail_as_their_destination_does() {
    let world = World::new(WorldOptions::default());
    let mut sim = world.kernel(&[], 0);
    world.set_nobody(address(3), Nobody::Fails(Errno::EHOSTUNREACH));
    world.set_nobody(address(4), Nobody::Silent);
    let expected = [(2, Errno::ECONNREFUSED), (3, Errno::EHOSTUNREACH)];
    for (port, errno) in expected {
        sim.dial(address(port), &DialOptions::default(), None, DIAL);
        assert!(matches!(one_event(&mut sim), Event::Failed(e) if e == errno));
    }
    sim.dial(address(4), &DialOptions::default(), None, DIAL);
    let until = world.now().after(Duration::from_secs(5));
    let mut told = Vec::new();
    sim.turn(Wait::Until(until), &mut told);
    assert!(told.is_empty());
    assert_eq!(sim.now(), until, "a waiting turn lets the time pass");
    sim.cancel(DIAL);
    assert!(matches!(one_event(&mut sim), Event::Failed(Errno::ECANCELED)));
    assert_eq!(world.open(), Open::default());
}

#[test]
fn a_stepwise_turn_lets_no_time_pass() {
    let world = World::new(WorldOptions { stepwise: true, ..WorldOptions::default() });
    let mut sim = world.kernel(&[address(1)], 0);
    sim.accept(ListenerId(0), ACCEPT);
    let (before, until) = (world.now(), world.now().after(Duration::from_secs(1)));
    let mut told = Vec::new();
    sim.turn(Wait::Until(until), &mut told);
    assert_eq!((world.now(), told.len()), (before, 0));
    assert!(!world.is_ready(sim.id()));
    assert_eq!(world.waits_until(sim.id()), Some(until));
    let _client = world.connect(address(1)).unwrap();
    assert!(world.is_ready(sim.id()));
    let socket = accept_one(&mut sim);
    sim.close(socket);
    sim.turn(Wait::Until(until), &mut told);
    world.advance(until);
    assert!(world.is_ready(sim.id()));
}

#[test]
fn a_socket_moves_to_another_kernel() {
    let world = World::new(WorldOptions::default());
    let mut first = world.kernel(&[address(1)], 0);
    let mut second = world.kernel(&[], 0);
    first.accept(ListenerId(0), ACCEPT);
    let client = world.connect(address(1)).unwrap();
    let socket = accept_one(&mut first);
    assert_eq!(client.send(b"before"), Tried::Did(6));
    second.watch(&socket, WATCH);
    assert!(matches!(one_event(&mut second), Event::Ready(r) if r.any(Readiness::IN)));
    let mut bytes = [0; 8];
    assert_eq!(second.recv(&socket, &mut bytes, Take::Consume), Tried::Did(6));
}

#[test]
fn a_closed_listener_resets_those_who_wait() {
    let world = World::new(WorldOptions::default());
    let mut sim = world.kernel(&[address(1)], 0);
    let client = world.connect(address(1)).unwrap();
    sim.close_listener(ListenerId(0));
    assert_eq!(client.recv(&mut [0; 1]), Tried::Failed(Errno::ECONNRESET));
    assert_eq!(world.connect(address(1)).unwrap_err(), Errno::ECONNREFUSED);
}

#[test]
fn pipes_are_counted_open_and_dirty() {
    let world = World::new(WorldOptions::default());
    let mut sim = world.kernel(&[], 0);
    let (mut dirty, clean) = (sim.pipe(4096, 4096).unwrap(), sim.pipe(4096, 4096).unwrap());
    assert_eq!(sim.stash(&mut dirty, b"left"), Tried::Did(4));
    assert_eq!(world.open().pipe_count, 2);
    sim.close_pipe(dirty);
    sim.close_pipe(clean);
    assert_eq!((world.open().pipe_count, world.dirty_pipe_count()), (0, 1));
}

#[test]
#[should_panic(expected = "closed with a watch in flight")]
fn closing_a_watched_socket_is_misuse() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (socket, _other) = sim.pair();
    sim.watch(&socket, WATCH);
    sim.close(socket);
}

#[test]
#[should_panic(expected = "is in flight already")]
fn using_a_token_twice_is_misuse() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (socket, other) = sim.pair();
    sim.watch(&socket, WATCH);
    sim.watch(&other, WATCH);
}

#[test]
#[should_panic(expected = "its hello buffer was given back")]
fn giving_a_hello_back_early_is_misuse() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 1);
    let hello = sim.buffers().hold(b"hello").unwrap();
    sim.dial(address(2), &DialOptions::default(), Some(&hello), DIAL);
    sim.buffers().give_back(hello);
    turn(&mut sim);
}

#[test]
#[should_panic(expected = "flush of an empty pipe")]
fn flushing_nothing_is_misuse() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (socket, _other) = sim.pair();
    let mut pipe = sim.pipe(4096, 4096).unwrap();
    let _ = sim.flush(&mut pipe, &socket);
}

/// A relay that obeys the rules of edges, under all faults but those that end connections, on
/// buffers much smaller than the stream: every byte arrives, in order, and then the FIN.
fn relay_through_faults(seed: u64) -> Faults {
    let mut faults = Faults::usual();
    for fault in [Fault::Reset, Fault::DialFailed, Fault::DialExhausted] {
        faults.set(fault, 0);
    }
    if seed.is_multiple_of(2) {
        // They would make good for an edge that was lost otherwise.
        faults.set(Fault::SpuriousReadiness, 0);
        faults.set(Fault::LostWatch, 0);
    }
    let world = World::new(WorldOptions {
        seed,
        faults,
        slow_wire: true,
        merged_segments: true,
        socket_buffer_bytes: 20_000,
        ..WorldOptions::default()
    });
    let mut sim = world.kernel(&[], 0);
    let ((source, from), (to, sink)) = (sim.pair(), sim.pair());
    let stream: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let (mut sent, mut received) = (0, Vec::new());
    let mut pipe = None;
    let mut ended = false;
    sim.watch(&from, WATCH);
    sim.watch(&to, DIAL);
    for _ in 0..100_000 {
        let (mut core, mut bytes) = (world.0.borrow_mut(), vec![0; 5000]);
        if let Tried::Did(n) = core.end(source.end).send(&stream[sent..], 4096) {
            sent += n;
        }
        if sent == stream.len() && !core.end(source.end).level().any(Readiness::BROKEN) {
            core.end(source.end).finish();
        }
        match core.end(sink.end).recv(&mut bytes, Take::Consume) {
            Tried::Did(0) => break,
            Tried::Did(n) => received.extend_from_slice(&bytes[..n]),
            _ => {}
        }
        drop(core);
        // Only what is told may drive the relay: a lost edge would end the stream here.
        let told = turn(&mut sim);
        for completion in &told {
            if completion.last {
                let socket = if completion.token == WATCH { &from } else { &to };
                sim.watch(socket, completion.token);
            }
        }
        while !told.is_empty() && !ended {
            let Some(lent) = &mut pipe else {
                pipe = sim.pipe(65_536, 4096).ok();
                continue;
            };
            let filled = sim.fill(&from, lent, 30_000);
            let pending_bytes = lent.pending_bytes();
            if pending_bytes == 0 {
                ended = filled == Tried::Did(0);
                break;
            }
            if !matches!(sim.flush(lent, &to), Tried::Did(n) if n == pending_bytes) {
                break;
            }
        }
        if ended {
            sim.finish(&to);
        }
    }
    assert!(ended, "seed {seed}: stalled after {} bytes", received.len());
    assert_eq!(received, stream, "seed {seed}");
    world.faults()
}

#[test]
fn no_fault_loses_a_byte_or_an_edge() {
    let mut fired = Faults::none();
    for seed in 0..200 {
        fired.add(&relay_through_faults(seed));
    }
    for fault in [
        Fault::ShortSplice,
        Fault::WouldBlock,
        Fault::LostWatch,
        Fault::LateCompletion,
        Fault::Reordered,
        Fault::SpuriousReadiness,
        Fault::NarrowReadiness,
        Fault::PipeRefused,
        Fault::PipeSmaller,
    ] {
        assert!(fired.fired(fault) > 10, "{fault:?} fired too rarely:\n{fired}");
    }
}

#[test]
fn a_seed_determines_everything() {
    let table = |seed| relay_through_faults(seed).to_string();
    assert_eq!(table(7), table(7));
    assert_ne!(table(7), table(8));
}

/// One kernel dials another's listener, and cancels at random, under all faults: each token gets
/// exactly one last completion, each connection is told on both sides or on neither, and nothing
/// is left.
fn dial_through_faults(seed: u64) -> Faults {
    let mut faults = Faults::usual();
    faults.set(Fault::Reset, 200);
    let world = World::new(WorldOptions {
        seed,
        faults,
        slow_wire: true,
        dial_us_max: 100,
        ..WorldOptions::default()
    });
    let (mut server, mut client) = (world.kernel(&[address(1)], 0), world.kernel(&[], 4));
    let mut random = world.random();
    let (mut accepting, mut dialing, mut open) = (false, Vec::new(), Vec::new());
    for slot in 0..100 {
        if !accepting {
            server.accept(ListenerId(0), ACCEPT);
            accepting = true;
        }
        if slot < 50 {
            let token = Token::new(Op::Dial, 0, slot);
            let hello = client.buffers().hold(b"hello");
            client.dial(address(1), &DialOptions::default(), hello.as_ref(), token);
            dialing.push((token, hello));
        } else {
            world.change_faults(Faults::stop);
        }
        if !dialing.is_empty() && (slot == 99 || random.one_in(4)) {
            client.cancel(random_token(&mut random, &dialing));
        }
        if slot == 98 || (slot < 50 && random.one_in(10)) {
            server.cancel(ACCEPT);
        }
        for completion in turn(&mut server) {
            accepting &= !completion.last;
            if let Event::Accepted(socket) = completion.event {
                open.push(socket);
            }
        }
        let mut told = Vec::new();
        client.turn(Wait::Until(world.now().after(Duration::from_micros(10))), &mut told);
        for completion in told {
            let index = dialing.iter().position(|(token, _)| *token == completion.token).unwrap();
            let hello = dialing.swap_remove(index).1;
            if let Event::Dialed { socket, sent_bytes } = completion.event {
                assert!(sent_bytes <= 5 && (hello.is_some() || sent_bytes == 0));
                open.push(socket);
            }
            if let Some(hello) = hello {
                client.buffers().give_back(hello);
            }
        }
        if random.one_in(3) && !open.is_empty() {
            let mut bytes = [0; 9];
            let socket = open.swap_remove(random.count_below(open.len()));
            let _ = server.recv(&socket, &mut bytes, Take::Peek);
            let _ = server.send(&socket, &bytes);
            server.close(socket);
        }
    }
    assert!(dialing.is_empty(), "seed {seed}: {dialing:?} never completed");
    for socket in open {
        server.close(socket);
    }
    if accepting {
        server.cancel(ACCEPT);
        assert!(turn(&mut server).iter().any(|c| c.last));
    }
    turn(&mut client);
    server.close_listener(ListenerId(0));
    world.settle();
    assert_eq!(world.open(), Open::default(), "seed {seed}");
    assert_eq!(client.buffers().lent_count(), 0, "seed {seed}");
    assert!(world.0.borrow().connections.is_empty(), "seed {seed}");
    world.faults()
}

fn random_token(random: &mut Random, dialing: &[(Token, Option<BufferId>)]) -> Token {
    dialing[random.count_below(dialing.len())].0
}

#[test]
fn every_operation_ends_once_whatever_fails() {
    let mut fired = Faults::none();
    for seed in 0..300 {
        fired.add(&dial_through_faults(seed));
    }
    for fault in [
        Fault::WouldBlock,
        Fault::Reset,
        Fault::AcceptExhausted,
        Fault::DialExhausted,
        Fault::DialFailed,
        Fault::ShortHello,
        Fault::LostAccept,
        Fault::CancelLost,
        Fault::BuffersExhausted,
        Fault::ShortRead,
        Fault::ShortWrite,
    ] {
        assert!(fired.fired(fault) > 10, "{fault:?} fired too rarely:\n{fired}");
    }
}
