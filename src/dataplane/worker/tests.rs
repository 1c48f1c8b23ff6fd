use std::net::SocketAddr;

use super::*;
use crate::kernel::Errno;
use crate::kernel::sim::{Far, Sim, World, WorldOptions};
use crate::route::Mailbox;

const GATE: ([u8; 4], u16) = ([192, 0, 2, 1], 8443);

fn worker(world: &World) -> Worker<Sim> {
    let settings = Settings { session_count_max: 4, ..Settings::default() };
    let (_mailbox, inbox) = Mailbox::new();
    let parts = WorkerParts {
        id: 0,
        settings,
        stats: Arc::default(),
        orders: Arc::default(),
        inbox,
        records: None,
        refusals: None,
        listener_count: 1,
    };
    Worker::new(world.kernel(&[SocketAddr::from(GATE)], 4), parts)
}

/// A worker with one client, of whose hello it has a part.
fn sniffing(world: &World) -> (Worker<Sim>, Far) {
    let mut worker = worker(world);
    let client = world.connect(SocketAddr::from(GATE)).unwrap();
    let _ = client.send(&[22, 3, 1]);
    for _ in 0..4 {
        world.wake(worker.kernel().id());
        worker.turn();
    }
    assert_eq!(worker.session_count(), 1);
    (worker, client)
}

#[test]
fn a_completion_of_an_earlier_session_is_dropped() {
    let world = World::new(WorldOptions::default());
    let (mut worker, _client) = sniffing(&world);
    let slot = worker.sessions.numbers().next().unwrap();
    let earlier = worker.sessions.generation(slot).unwrap().wrapping_sub(1);
    let token = Token::new(Op::WatchDownstream, earlier, slot);
    let in_flight = worker.sessions.get(slot).unwrap().in_flight;
    worker.complete(Completion { token, event: Event::Failed(Errno::ECONNRESET), last: true });
    assert_eq!(worker.session_count(), 1);
    assert_eq!(worker.sessions.get(slot).unwrap().in_flight, in_flight);
    assert_eq!(worker.core.stats.completions_stale.get(), 1);
}

#[test]
fn a_socket_that_comes_too_late_is_closed() {
    let world = World::new(WorldOptions::default());
    let (mut worker, _client) = sniffing(&world);
    let before = world.open().socket_count;
    let slot = worker.sessions.numbers().next().unwrap();
    let earlier = worker.sessions.generation(slot).unwrap().wrapping_sub(1);
    let (socket, other) = worker.kernel().pair();
    let token = Token::new(Op::Dial, earlier, slot);
    worker.complete(Completion {
        token,
        event: Event::Dialed { socket, sent_bytes: 0 },
        last: true,
    });
    worker.kernel().close(other);
    assert_eq!(world.open().socket_count, before);
}
