//! The bare relay on a ring's multishot poll; accepting and dialing are the ring's, too.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::sys::epoll::EpollFlags;
use socket2::Socket;

use super::Mode;
use super::pump::Relay;
use super::session::Side;
use crate::sys::ring::{Completion, DIAL, Ring};

/// Completions handled in one turn. Larger batches push what was read out of the cache.
const BATCH: usize = 256;

/// What a completion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Accept,
    Watch(Side),
    Dial,
    Flush(Side),
}

/// Relays until the process is ended.
pub(super) fn run(listener: &Socket, backend: SocketAddr, mode: Mode) -> io::Result<()> {
    let mut ring = Ring::new()?;
    let mut relay = Relay::new(mode);
    let mut completions = VecDeque::with_capacity(BATCH);
    ring.accept(listener.as_raw_fd(), token(What::Accept, 0, 0))?;
    loop {
        ring.turn(relay.sessions.queue.is_empty(), BATCH, &mut completions)?;
        while let Some(completion) = completions.pop_front() {
            let (what, slot, generation) = read_token(completion.token);
            match what {
                What::Accept => accept(&mut ring, &mut relay, listener, completion)?,
                What::Dial => {
                    dialed(&mut ring, &mut relay, slot, completion.result)?;
                    settle(&mut ring, &mut relay, slot)?;
                }
                What::Watch(side) => {
                    watched(&mut ring, &mut relay, (slot, generation), side, completion, backend)?;
                    settle(&mut ring, &mut relay, slot)?;
                }
                What::Flush(_) => {}
            }
        }
        for slot in relay.go_on() {
            settle(&mut ring, &mut relay, slot)?;
        }
    }
}

fn accept(
    ring: &mut Ring,
    relay: &mut Relay,
    listener: &Socket,
    completion: Completion,
) -> io::Result<()> {
    if !completion.more {
        ring.accept(listener.as_raw_fd(), token(What::Accept, 0, 0))?;
    }
    let Some(down) = accepted(completion.result) else { return Ok(()) };
    let slot = relay.sessions.insert(down);
    watch(ring, relay, slot, Side::Down)
}

fn watched(
    ring: &mut Ring,
    relay: &mut Relay,
    (slot, generation): (usize, u32),
    side: Side,
    completion: Completion,
    backend: SocketAddr,
) -> io::Result<()> {
    let Some(session) = relay.sessions.of(slot, generation) else { return Ok(()) };
    if !completion.more {
        session.in_flight -= 1;
    }
    if session.over {
        return Ok(());
    }
    let is_dialed = session.dialed;
    if !completion.more {
        watch(ring, relay, slot, side)?;
    }
    let Ok(events) = u32::try_from(completion.result) else { return Ok(()) };
    if is_dialed {
        #[allow(clippy::cast_possible_wrap, reason = "event masks are small")]
        relay.event(slot, side, EpollFlags::from_bits_truncate(events as i32));
        return Ok(());
    }
    let Some(hello) = relay.first_bytes(slot).map(<[u8]>::to_vec) else { return Ok(()) };
    let up = super::socket(backend)?;
    let Some(session) = relay.sessions.get(slot) else { return Ok(()) };
    session.in_flight += 1;
    // What comes from now on is told by a new edge.
    session.ends[Side::Down].readable = false;
    ring.dial(up.as_raw_fd(), backend, &hello, token(What::Dial, slot, generation) | DIAL)?;
    session.ends[Side::Up].socket = Some(up);
    Ok(())
}

fn dialed(ring: &mut Ring, relay: &mut Relay, slot: usize, result: i32) -> io::Result<()> {
    let Some(session) = relay.sessions.get(slot) else { return Ok(()) };
    session.in_flight -= 1;
    if result < 0 || session.over {
        session.over = true;
        return Ok(());
    }
    session.connected = true;
    session.ends[Side::Up].writable = true;
    let came = session.ends[Side::Down].readable;
    watch(ring, relay, slot, Side::Up)?;
    if came {
        relay.event(slot, Side::Down, EpollFlags::EPOLLIN);
    }
    Ok(())
}

/// Ends the polls of a session that is over, and closes it after the last.
fn settle(ring: &mut Ring, relay: &mut Relay, slot: usize) -> io::Result<()> {
    let Some(session) = relay.sessions.get(slot) else { return Ok(()) };
    if !session.over {
        return Ok(());
    }
    if session.in_flight == 0 {
        relay.sessions.remove(slot);
        return Ok(());
    }
    if !std::mem::replace(&mut session.cancelled, true) {
        for side in Side::BOTH {
            ring.cancel(token(What::Watch(side), slot, session.generation))?;
        }
    }
    Ok(())
}

fn watch(ring: &mut Ring, relay: &mut Relay, slot: usize, side: Side) -> io::Result<()> {
    const EVENTS: EpollFlags =
        EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP);
    let Some(session) = relay.sessions.get(slot) else { return Ok(()) };
    let token = token(What::Watch(side), slot, session.generation);
    let Some(socket) = &session.ends[side].socket else { return Ok(()) };
    session.in_flight += 1;
    ring.watch(socket.as_raw_fd(), EVENTS.bits().unsigned_abs(), token)
}

/// The socket that an accept reports.
pub(super) fn accepted(result: i32) -> Option<Socket> {
    (result >= 0).then(|| crate::sys::accepted(result))
}

pub(super) fn token(what: What, slot: usize, generation: u32) -> u64 {
    let what: u64 = match what {
        What::Accept => 0,
        What::Watch(Side::Down) => 1,
        What::Watch(Side::Up) => 2,
        What::Dial => 3,
        What::Flush(Side::Down) => 4,
        What::Flush(Side::Up) => 5,
    };
    what << 56 | u64::from(generation & 0xff_ffff) << 32 | slot as u64
}

pub(super) fn read_token(token: u64) -> (What, usize, u32) {
    let what = match (token & !DIAL) >> 56 {
        0 => What::Accept,
        1 => What::Watch(Side::Down),
        2 => What::Watch(Side::Up),
        3 => What::Dial,
        4 => What::Flush(Side::Down),
        _ => What::Flush(Side::Up),
    };
    let slot = usize::try_from(token & 0xffff_ffff).unwrap_or(usize::MAX);
    (what, slot, u32::try_from(token >> 32 & 0xff_ffff).unwrap_or(0))
}
