use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::dataplane::settings::Settings;
use crate::dataplane::worker::WorkerParts;
use crate::kernel::sim::{Far, Random, Sim, World, WorldOptions};
use crate::route::Mailbox;

const GATE: ([u8; 4], u16) = ([192, 0, 2, 1], 8443);

/// A worker in a world of its own, and the clients of its sessions by their addresses.
struct Scene {
    world: World,
    worker: Worker<Sim>,
    clients: BTreeMap<SocketAddr, Far>,
}

impl Scene {
    fn with_clients(count: usize) -> Self {
        let world = World::new(WorldOptions::default());
        let (_mailbox, inbox) = Mailbox::new();
        let parts = WorkerParts {
            id: 0,
            settings: Settings { session_count_max: 20_000, ..Settings::default() },
            stats: Arc::default(),
            orders: Arc::default(),
            inbox,
            records: None,
            refusals: None,
            listener_count: 1,
        };
        let worker = Worker::new(world.kernel(&[SocketAddr::from(GATE)], 4), parts);
        let mut scene = Self { world, worker, clients: BTreeMap::new() };
        // Many at once: a simulated turn takes the longer the more sessions there are.
        for number in 1..=count {
            scene.begin();
            if number % 100 == 0 || number == count {
                scene.turn_until(|worker| worker.session_count() as usize == number);
            }
        }
        scene
    }

    fn turn(&mut self) {
        self.world.wake(self.worker.kernel().id());
        self.worker.turn();
    }

    fn turn_until(&mut self, holds: impl Fn(&Worker<Sim>) -> bool) {
        for _ in 0..100 {
            if holds(&self.worker) {
                return;
            }
            self.turn();
        }
        panic!("never, with {} sessions", self.worker.session_count());
    }

    /// A client connects, and sends a part of its hello.
    fn begin(&mut self) {
        let client = self.world.connect(SocketAddr::from(GATE)).unwrap();
        let _ = client.send(&[22, 3, 1]);
        self.clients.insert(client.local_address(), client);
    }

    /// One more client.
    fn connect(&mut self) {
        let before = self.worker.session_count();
        self.begin();
        self.turn_until(|worker| worker.session_count() > before);
    }

    /// One client less.
    fn leave(&mut self, address: SocketAddr) {
        let before = self.worker.session_count();
        self.clients.remove(&address).unwrap().reset();
        self.turn_until(|worker| worker.session_count() < before);
    }

    fn ask(&mut self, first_slot: u32) -> Found {
        let (survey, mut answer) = Survey::new(first_slot);
        self.worker.orders().ask(survey);
        self.turn();
        answer.try_recv().unwrap()
    }
}

#[test]
fn thousands_of_sessions_are_found_a_bounded_number_a_turn() {
    let mut scene = Scene::with_clients(3_000);
    let (mut next, mut turns, mut found) = (Some(0), 0_u32, BTreeSet::new());
    while let Some(first_slot) = next {
        let part = scene.ask(first_slot);
        assert!(part.sightings.len() <= SURVEY_SLOT_COUNT as usize);
        for (sighting, name) in part.sessions() {
            assert_eq!((sighting.stands, name), (Stands::Hello, None));
            assert!(found.insert(sighting.downstream_peer.unwrap()), "twice: {sighting:?}");
        }
        (next, turns) = (part.next_slot, turns + 1);
    }
    assert!(scene.clients.keys().eq(found.iter()));
    assert_eq!(turns, 3_000_u32.div_ceil(SURVEY_SLOT_COUNT));
}

#[test]
fn while_sessions_come_and_go_none_is_listed_twice_and_none_that_stays_is_left_out() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut scene = Scene::with_clients(700);
        let mut stayed: BTreeSet<SocketAddr> = scene.clients.keys().copied().collect();
        let (mut next, mut slots, mut found) = (Some(0), BTreeSet::new(), BTreeSet::new());
        while let Some(first_slot) = next {
            let part = scene.ask(first_slot);
            for (sighting, _) in part.sessions() {
                assert!(slots.insert(sighting.slot), "seed {seed}: twice: {sighting:?}");
                found.extend(sighting.downstream_peer);
            }
            next = part.next_slot;
            for _ in 0..random.below(60) {
                if random.one_in(2) {
                    let at = random.count_below(scene.clients.len());
                    let gone = *scene.clients.keys().nth(at).unwrap();
                    scene.leave(gone);
                    stayed.remove(&gone);
                } else {
                    scene.connect();
                }
            }
        }
        let left_out: Vec<_> = stayed.difference(&found).collect();
        assert!(left_out.is_empty(), "seed {seed}: {left_out:?}");
        assert!(stayed.len() < 700, "seed {seed}: nobody left");
    }
}

#[test]
fn names_go_with_their_sessions() {
    let facts = Facts::new(Tick(0), 0, SocketAddr::from(GATE).into());
    let sighting = |name_bytes| {
        let sighting = Sighting::new(0, 0, Stands::Relaying, &facts);
        Sighting { name_bytes, ..sighting }
    };
    let found = Found {
        sightings: vec![sighting(1), sighting(0), sighting(3)],
        names: "abcd".into(),
        next_slot: None,
    };
    let names: Vec<_> = found.sessions().map(|(_, name)| name).collect();
    assert_eq!(names, [Some("a"), None, Some("bcd")]);
}
