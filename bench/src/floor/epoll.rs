//! The bare relay on epoll, edge-triggered.

use std::io;
use std::net::SocketAddr;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use super::Mode;
use super::pump::{Relay, connect};
use super::session::Side;

const LISTENER: u64 = u64::MAX;
const EVENT_COUNT: usize = 256;
const ACCEPT_COUNT: usize = 64;

/// Relays until the process is ended.
pub(super) fn run(listener: &Socket, backend: SocketAddr, mode: Mode) -> io::Result<()> {
    let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    poll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut relay = Relay::new(mode);
    let mut events = vec![EpollEvent::empty(); EVENT_COUNT];
    let mut over = Vec::new();
    loop {
        let idle = relay.sessions.queue.is_empty();
        let wait = if idle { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        let count = poll.wait(&mut events, wait).unwrap_or(0);
        let mut accepts = false;
        for event in events.iter().take(count) {
            if event.data() == LISTENER {
                accepts = true;
                continue;
            }
            let (slot, generation, side) = read_token(event.data());
            if relay.sessions.of(slot, generation).is_none_or(|session| session.over) {
                continue;
            }
            handle(&poll, &mut relay, slot, side, event.events(), backend)?;
            over.push(slot);
        }
        over.extend(relay.go_on());
        // A closed descriptor leaves epoll by itself.
        over.sort_unstable();
        over.dedup();
        for slot in over.drain(..) {
            if relay.sessions.get(slot).is_some_and(|session| session.over) {
                relay.sessions.remove(slot);
            }
        }
        if accepts {
            accept(&poll, &mut relay, listener)?;
        }
    }
}

fn handle(
    poll: &Epoll,
    relay: &mut Relay,
    slot: usize,
    side: Side,
    events: EpollFlags,
    backend: SocketAddr,
) -> io::Result<()> {
    if relay.sessions.get(slot).is_some_and(|session| session.dialed) {
        relay.event(slot, side, events);
        return Ok(());
    }
    let Some(hello) = relay.first_bytes(slot).map(<[u8]>::to_vec) else { return Ok(()) };
    let up = connect(backend)?;
    let Some(session) = relay.sessions.get(slot) else { return Ok(()) };
    session.ends[Side::Down].readable = false;
    session.flows[Side::Down].pending = hello;
    poll.add(&up, EpollEvent::new(watched(), token(slot, session.generation, Side::Up)))?;
    session.ends[Side::Up].socket = Some(up);
    Ok(())
}

fn accept(poll: &Epoll, relay: &mut Relay, listener: &Socket) -> io::Result<()> {
    for _ in 0..ACCEPT_COUNT {
        let Ok((down, _)) = listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) else {
            break;
        };
        let slot = relay.sessions.insert(down);
        let Some(session) = relay.sessions.get(slot) else { break };
        let token = token(slot, session.generation, Side::Down);
        if let Some(down) = &session.ends[Side::Down].socket {
            poll.add(down, EpollEvent::new(watched(), token))?;
        }
    }
    Ok(())
}

fn watched() -> EpollFlags {
    EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET
}

fn token(slot: usize, generation: u32, side: Side) -> u64 {
    u64::from(side == Side::Up) << 56 | u64::from(generation) << 32 | slot as u64
}

fn read_token(token: u64) -> (usize, u32, Side) {
    let slot = usize::try_from(token & 0xffff_ffff).unwrap_or(usize::MAX);
    let generation = u32::try_from(token >> 32 & 0xff_ffff).unwrap_or(0);
    (slot, generation, if token >> 56 & 1 == 1 { Side::Up } else { Side::Down })
}
