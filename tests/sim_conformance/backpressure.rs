//! What random scripts keep away from, because Linux is free in the numbers: full buffers and
//! full pipes. Here both are held to the rules that those numbers follow.

use nix::sys::socket::MsgFlags;
use sluice::kernel::sim::{World, WorldOptions};
use sluice::kernel::{Event, Kernel, Op, Readiness, Take, Token, Tried, Wait};

use super::real::{self, Real};

const SLOT_COUNT: usize = 16;
const SEGMENT_COUNT: usize = 64;

fn did(tried: Tried<usize>) -> usize {
    match tried {
        Tried::Did(count) => count,
        other => panic!("expected Did, got {other:?}"),
    }
}

/// Single bytes fill 16 slots long before they fill 64 KiB: `Later` with bytes left. How bytes
/// from send(2) lie in memory is Linux's choice; those that each come from a page of their own
/// take a slot each.
#[test]
fn small_segments_fill_a_pipe_by_slots() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (to, from) = sim.pair();
    let mut pipe = sim.pipe(SLOT_COUNT * 4096, SLOT_COUNT * 4096).unwrap();
    let real = Real::new(&real::listener());
    let mut real_pipe = real::Pipe::new(SLOT_COUNT * 4096);
    for _ in 0..SEGMENT_COUNT {
        assert_eq!(sim.stash(&mut pipe, b"x"), Tried::Did(1));
        assert_eq!(sim.flush(&mut pipe, &to), Tried::Did(1));
        assert_eq!(real_pipe.stash(b"x"), Tried::Did(1));
        assert_eq!(real.flush(&mut real_pipe, 0), Tried::Did(1));
    }
    while real.received_bytes(1) < SEGMENT_COUNT {
        std::thread::yield_now();
    }
    for left in (0..SEGMENT_COUNT / SLOT_COUNT).rev() {
        assert_eq!(sim.fill(&from, &mut pipe, 1 << 20), Tried::Did(SLOT_COUNT));
        assert_eq!(real.fill(1, &mut real_pipe, 1 << 20), Tried::Did(SLOT_COUNT));
        assert_eq!(sim.fill(&from, &mut pipe, 1 << 20), Tried::Later);
        assert_eq!(real.fill(1, &mut real_pipe, 1 << 20), Tried::Later);
        assert_eq!(sim.received_bytes(&from), left * SLOT_COUNT);
        assert_eq!(real.received_bytes(1), left * SLOT_COUNT);
        assert_eq!(sim.flush(&mut pipe, &from), Tried::Did(SLOT_COUNT));
        assert_eq!(real.flush(&mut real_pipe, 1), Tried::Did(SLOT_COUNT));
    }
}

/// One splice asks for no more than the free slots could hold as pages.
#[test]
fn a_splice_is_bounded_by_the_free_slots() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (to, from) = sim.pair();
    let mut pipe = sim.pipe(16_384, 16_384).unwrap();
    let real = Real::new(&real::listener());
    let mut real_pipe = real::Pipe::new(16_384);
    let bytes = vec![7; 30_000];
    assert_eq!(sim.send(&to, &bytes), Tried::Did(30_000));
    assert_eq!(real.send(0, &bytes), Tried::Did(30_000));
    while real.received_bytes(1) < 30_000 {
        std::thread::yield_now();
    }
    assert_eq!(sim.stash(&mut pipe, b"x"), Tried::Did(1));
    assert_eq!(real_pipe.stash(b"x"), Tried::Did(1));
    let simulated_bytes = did(sim.fill(&from, &mut pipe, 1 << 20));
    assert_eq!(simulated_bytes, 12_288);
    let real_bytes = did(real.fill(1, &mut real_pipe, 1 << 20));
    assert!((1..=12_288).contains(&real_bytes), "{real_bytes} bytes fitted");
}

/// A spliced page belongs to somebody else: a write takes a slot of its own.
#[test]
fn a_write_does_not_go_on_in_a_spliced_page() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (to, from) = sim.pair();
    let mut pipe = sim.pipe(16_384, 16_384).unwrap();
    let real = Real::new(&real::listener());
    let mut real_pipe = real::Pipe::new(16_384);
    assert_eq!(sim.send(&to, b"x"), Tried::Did(1));
    assert_eq!(real.send(0, b"x"), Tried::Did(1));
    while real.received_bytes(1) < 1 {
        std::thread::yield_now();
    }
    assert_eq!(sim.fill(&from, &mut pipe, 1), Tried::Did(1));
    assert_eq!(real.fill(1, &mut real_pipe, 1), Tried::Did(1));
    for (bytes, expected) in
        [(1, Tried::Did(1)), (2, Tried::Did(2)), (12_288, Tried::Did(8192)), (1, Tried::Later)]
    {
        assert_eq!(sim.stash(&mut pipe, &vec![1; bytes]), expected);
        assert_eq!(real_pipe.stash(&vec![1; bytes]), expected);
    }
}

/// A full connection: short, then `Later`, not ready to write; after the other end has read
/// everything, one edge says that there is room.
#[test]
fn room_to_write_is_announced_after_a_full_buffer() {
    let mut sim = World::new(WorldOptions::default()).kernel(&[], 0);
    let (to, from) = sim.pair();
    let token = Token::new(Op::WatchDownstream, 0, 0);
    sim.watch(&to, token);
    let mut told = Vec::new();
    sim.turn(Wait::No, &mut told);
    let real = Real::new(&real::listener());
    real.watch(0);
    assert!(real.edges()[0].any(Readiness::OUT));

    let piece = vec![1; 300_000];
    let (mut simulated_bytes, mut real_bytes) = (0, 0);
    while let Tried::Did(count) = sim.send(&to, &piece) {
        simulated_bytes += count;
    }
    while let Tried::Did(count) = real.send(0, &piece) {
        real_bytes += count;
    }
    assert!(!sim.readiness(&to).any(Readiness::OUT));
    assert!(!real.readiness(0).any(Readiness::OUT));
    told.clear();
    sim.turn(Wait::No, &mut told);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(real.edges()[0], Readiness::NONE);

    let mut to_bytes = vec![0; 1 << 20];
    while simulated_bytes > 0 {
        simulated_bytes -= did(sim.recv(&from, &mut to_bytes, Take::Consume));
    }
    while real_bytes > 0 {
        if let Tried::Did(count) = real.recv(1, &mut to_bytes, MsgFlags::empty()) {
            real_bytes -= count;
        }
    }
    sim.turn(Wait::No, &mut told);
    assert!(
        matches!(told[..], [ref c] if matches!(c.event, Event::Ready(r) if r.any(Readiness::OUT)))
    );
    let mut edges = Readiness::NONE;
    while !edges.any(Readiness::OUT) {
        edges = edges.with(real.edges()[0]);
    }
    assert!(real.readiness(0).any(Readiness::OUT));
}
