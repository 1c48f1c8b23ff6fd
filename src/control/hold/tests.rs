use std::time::{Duration, Instant};

use serde_json::json;

use super::{Hold, Outcome, judge};
use crate::consul::snapshot::tests::fixtures::{World, gateway};
use crate::consul::snapshot::{ConsulTable, Snapshot, TableOptions};
use crate::consul::watch::{Part, Reading, Verdict};
use crate::limits::HOLD;

const SECOND: Duration = Duration::from_secs(1);

fn table(world: &World) -> ConsulTable {
    world.snapshot().table(&TableOptions::default())
}

/// A gateway in force, with what it was offered.
struct Bench {
    hold: Hold,
    start: Instant,
}

impl Bench {
    fn new(world: &World) -> Self {
        let hold = Hold::new(world.snapshot(), TableOptions::default());
        Self { hold, start: Instant::now() }
    }

    fn offer(&mut self, world: &World, part: Part, at: Duration, reading: Reading) -> Outcome {
        self.hold.offer(part, &world.body(part), reading, self.start + at)
    }

    /// An ordinary reading of the catalog.
    fn catalog(&mut self, world: &World, at: Duration) -> Verdict {
        self.offer(world, Part::Catalog, at, Reading::Ordinary).verdict
    }

    fn service_count(&self) -> usize {
        self.hold.table().unwrap().services().count()
    }

    fn held_count(&self) -> usize {
        self.hold.held(self.start).count()
    }
}

#[test]
fn more_than_half_of_the_services_and_at_least_ten_is_too_much_at_once() {
    // With foo and bar, which stay: 20 of 42, 21 of 42, 22 of 42; 9 of 11, 10 of 12.
    for (before, after, held) in
        [(40, 20, false), (40, 19, false), (40, 18, true), (9, 0, false), (10, 0, true)]
    {
        let removal = judge(&table(&World::many(before, 1)), &table(&World::many(after, 1)));
        assert_eq!(removal.is_some(), held, "{before} to {after}: {removal:?}");
    }
    let removal = judge(&table(&World::many(40, 1)), &table(&World::bare())).unwrap();
    assert_eq!(removal.to_string(), "42 of 42 services and all gateways of dc2, dc4, dc6");
    assert_eq!(judge(&ConsulTable::default(), &table(&World::golden())), None);
}

#[test]
fn a_datacenter_may_not_lose_all_gateways_at_once_but_may_replace_them() {
    let mut world = World::golden();
    let before = table(&world);
    world.at(Part::Gateways)["dc2"] = json!([gateway("198.18.1.77", 443, "passing")]);
    assert_eq!(judge(&before, &table(&world)), None);
    world.at(Part::Gateways)["dc2"] = json!([]);
    let removal = judge(&before, &table(&world)).unwrap();
    assert_eq!(removal.to_string(), "all gateways of dc2");
    world.at(Part::Gateways).as_object_mut().unwrap().remove("dc2");
    assert!(judge(&before, &table(&world)).is_some());
    // One more is none less.
    assert_eq!(judge(&table(&world), &before), None);
}

#[test]
fn an_emptied_answer_is_held_until_a_second_reading_confirms_it() {
    let full = World::many(20, 1);
    let mut empty = World::golden();
    let mut bench = Bench::new(&full);
    assert_eq!(bench.catalog(&empty, Duration::ZERO), Verdict::Held(HOLD));
    assert_eq!(bench.service_count(), 22);
    assert_eq!(bench.catalog(&empty, 20 * SECOND), Verdict::Held(HOLD - 20 * SECOND));
    // Confirmed too early.
    let early = bench.offer(&empty, Part::Catalog, 59 * SECOND, Reading::Confirmed);
    assert_eq!(early.verdict, Verdict::Held(SECOND));
    // Others like it do not begin anew, and time alone confirms nothing.
    empty.add_sidecar("new", "10.9.9.9", "passing");
    assert_eq!(bench.catalog(&empty, 61 * SECOND), Verdict::Held(Duration::ZERO));
    assert_eq!(bench.service_count(), 23, "what it adds is taken");
    let confirmed = bench.offer(&empty, Part::Catalog, 62 * SECOND, Reading::Confirmed);
    assert_eq!(confirmed, Outcome::new(Verdict::Taken, true));
    assert_eq!(bench.service_count(), 3);
    assert_eq!(bench.held_count(), 0);
}

#[test]
fn an_answer_that_has_it_all_again_ends_the_hold() {
    let mut full = World::many(20, 1);
    let mut bench = Bench::new(&full);
    bench.catalog(&World::golden(), Duration::ZERO);
    assert_eq!(bench.held_count(), 1);
    // Exactly what is in force.
    let same = bench.offer(&full, Part::Catalog, SECOND, Reading::Ordinary);
    assert_eq!(same, Outcome::new(Verdict::Same, false));
    assert_eq!(bench.held_count(), 0);
    // Something else that removes little.
    bench.catalog(&World::golden(), 2 * SECOND);
    full.add_sidecar("new", "10.9.9.9", "passing");
    assert_eq!(bench.catalog(&full, 3 * SECOND), Verdict::Taken);
    assert_eq!((bench.held_count(), bench.service_count()), (0, 23));
    // The time of the earlier ones is forgotten.
    assert_eq!(bench.catalog(&World::golden(), 100 * SECOND), Verdict::Held(HOLD));
}

#[test]
fn the_answer_that_completes_the_first_table_makes_it_whichever_it_is() {
    let world = World::bare();
    for last in Part::ALL.into_iter().filter(|part| !part.is_optional()) {
        let mut hold = Hold::new(Snapshot::default(), TableOptions::default());
        let start = Instant::now();
        let mut offer = |part| hold.offer(part, &world.body(part), Reading::Ordinary, start);
        for part in Part::ALL.into_iter().filter(|part| *part != last) {
            let outcome = offer(part);
            assert_eq!(outcome, Outcome { verdict: Verdict::Taken, table_changed: false });
        }
        // Some add nothing: that there is a table now is news all the same.
        assert!(offer(last).table_changed, "{last:?}");
        assert!(hold.table().is_some(), "{last:?}");
    }
}

#[test]
fn a_held_answer_changes_and_adds_but_does_not_remove() {
    let mut bench = Bench::new(&World::many(20, 1));
    let mut next = World::bare();
    next.add_sidecar("foo", "172.16.1.44", "passing");
    next.add_sidecar("new", "172.16.1.45", "passing");
    let outcome = bench.offer(&next, Part::Catalog, Duration::ZERO, Reading::Ordinary);
    assert_eq!(outcome, Outcome { verdict: Verdict::Held(HOLD), table_changed: true });
    assert_eq!(bench.service_count(), 23);
    let routes = bench.hold.table().unwrap().resolve(|_, _| Vec::new());
    let foo = routes.clusters.iter().find(|c| c.key.starts_with("foo.")).unwrap();
    assert_eq!(foo.endpoints.len(), 1);
    assert_eq!(foo.endpoints[0].address.to_string(), "172.16.1.44:2222");
    // The same once more is no other table.
    let again = bench.offer(&next, Part::Catalog, SECOND, Reading::Ordinary);
    assert!(!again.table_changed);
    // Not what would be kept on disk.
    let kept = bench.hold.accepted().table(&TableOptions::default());
    assert_eq!(kept.services().count(), 22);
}

#[test]
fn parts_are_held_and_accepted_each_for_itself() {
    let full = World::many(20, 1);
    let mut bench = Bench::new(&full);
    let mut empty = World::golden();
    empty.set(Part::Gateways, json!({}));
    let gateways = |bench: &Bench| bench.hold.table().unwrap().datacenters().len();
    assert_eq!(bench.catalog(&empty, Duration::ZERO), Verdict::Held(HOLD));
    let held = bench.offer(&empty, Part::Gateways, 30 * SECOND, Reading::Ordinary);
    assert_eq!(held.verdict, Verdict::Held(HOLD));
    let shown: Vec<_> = bench.hold.held(bench.start + 40 * SECOND).collect();
    assert_eq!((shown[0].part, shown[0].left), (Part::Catalog, 20 * SECOND));
    assert_eq!((shown[1].part, shown[1].left), (Part::Gateways, 50 * SECOND));
    assert_eq!(shown[1].removal.to_string(), "all gateways of dc2, dc4, dc6");
    let confirmed = bench.offer(&empty, Part::Catalog, 60 * SECOND, Reading::Confirmed);
    assert_eq!(confirmed.verdict, Verdict::Taken);
    assert_eq!((bench.service_count(), gateways(&bench)), (2, 3));
    // Others go on meanwhile.
    empty.set(Part::Datacenters, json!(["dc1", "dc2", "dc3"]));
    let other = bench.offer(&empty, Part::Datacenters, 61 * SECOND, Reading::Ordinary);
    assert_eq!(other, Outcome::new(Verdict::Taken, true));
    assert_eq!(gateways(&bench), 3);
    assert!(bench.hold.accept());
    assert_eq!((bench.held_count(), gateways(&bench)), (0, 0));
    assert!(!bench.hold.accept());
}

#[test]
fn another_trust_domain_is_held_and_routed_beside_the_old_one() {
    let full = World::many(20, 1);
    let mut bench = Bench::new(&full);
    let mut other = full.clone();
    other.set(Part::Roots, json!({"TrustDomain": "99999999-2222.consul"}));
    let outcome = bench.offer(&other, Part::Roots, Duration::ZERO, Reading::Ordinary);
    assert_eq!(outcome, Outcome { verdict: Verdict::Held(HOLD), table_changed: true });
    assert_eq!(bench.service_count(), 44);
}

#[test]
fn what_is_rejected_changes_nothing_and_ends_no_hold() {
    let full = World::many(20, 1);
    let mut bench = Bench::new(&full);
    bench.catalog(&World::golden(), Duration::ZERO);
    let now = bench.start + SECOND;
    let outcome = bench.hold.offer(Part::Catalog, b"[]", Reading::Ordinary, now);
    assert!(matches!(outcome.verdict, Verdict::Rejected(why) if why.contains("node:read")));
    assert!(!outcome.table_changed);
    assert_eq!((bench.held_count(), bench.service_count()), (1, 22));
}

#[test]
fn before_there_is_a_table_nothing_is_held() {
    let mut hold = Hold::new(Snapshot::default(), TableOptions::default());
    let (world, now) = (World::golden(), Instant::now());
    for part in Part::ALL.into_iter().filter(|part| !part.is_optional()) {
        assert_eq!(hold.table(), None);
        let outcome = hold.offer(part, &world.body(part), Reading::Ordinary, now);
        assert_eq!(outcome.verdict, Verdict::Taken);
    }
    assert_eq!(hold.table().unwrap().services().count(), 2);
    let options = TableOptions { connect_timeout: SECOND, ..TableOptions::default() };
    assert!(hold.set_options(options.clone()));
    assert!(!hold.set_options(options));
}
