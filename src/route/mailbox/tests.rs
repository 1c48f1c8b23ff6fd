use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Delivery, Mailbox};
use crate::route::interner::Interner;
use crate::route::{Cluster, Loads, Pattern, Routes, RoutingTable};

fn table(version: u64) -> RoutingTable {
    let mut routes = Routes::default();
    let target = routes.add_cluster(Cluster::new(format!("cluster {version}"), Vec::new()));
    routes.add_route(Pattern::parse("a").unwrap(), target);
    RoutingTable::build(&routes, &mut Interner::default(), version).unwrap()
}

fn delivery(version: u64) -> Box<Delivery> {
    Delivery::new(table(version), Loads::default().grown(1, 1))
}

#[test]
fn a_worker_adopts_the_newest_and_sends_the_old_ones_back() {
    let (mailbox, mut inbox) = Mailbox::new();
    assert_eq!((inbox.table().version(), mailbox.adopted_version()), (0, Some(0)));
    assert!(!inbox.adopt());
    mailbox.publish(delivery(1));
    mailbox.publish(delivery(2));
    assert_eq!(mailbox.adopted_version(), Some(0), "not before the worker looks");
    assert!(inbox.adopt() && !inbox.adopt());
    assert_eq!((inbox.table().version(), mailbox.adopted_version()), (2, Some(2)));
    assert_eq!(mailbox.collect(), 1, "the empty one; the first was never adopted");
    assert_eq!(mailbox.collect(), 0);
    drop(inbox);
    assert_eq!(mailbox.adopted_version(), None);
}

#[test]
fn retired_deliveries_wait_for_control_in_a_chain() {
    let (mailbox, mut inbox) = Mailbox::new();
    for version in 1..=3 {
        // As publish does, without collecting.
        drop(mailbox.next.put(delivery(version)));
        assert!(inbox.adopt());
    }
    assert_eq!(mailbox.collect(), 3);
}

/// Loads has one directory per clone: its handles tell whether every delivery was freed.
#[test]
fn nothing_leaks_or_tears_with_two_threads() {
    const VERSIONS: u64 = 20_000;
    let (mailbox, mut inbox) = Mailbox::new();
    let loads = Loads::default().grown(1, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut adopted = 0;
            loop {
                let last = done.load(Ordering::Acquire);
                let before = inbox.table().version();
                if inbox.adopt() {
                    adopted += 1;
                    assert!(inbox.table().version() > before);
                } else if last {
                    break;
                }
                let table = inbox.table();
                if let Ok(id) = table.lookup("a") {
                    let name = table.cluster(id).unwrap().name();
                    assert_eq!(name, format!("cluster {}", table.version()));
                    inbox.loads().entered(id);
                    inbox.loads().left(id);
                }
            }
            adopted
        });
        let mut collected = 0;
        for version in 1..=VERSIONS {
            collected += mailbox.collect();
            let small = table(version);
            mailbox.publish(Delivery::new(small, loads.clone()));
        }
        done.store(true, Ordering::Release);
        assert!(worker.join().unwrap() > 0);
        assert_eq!(mailbox.adopted_version(), Some(VERSIONS));
        assert!(collected as u64 <= VERSIONS);
    });
    mailbox.collect();
    assert_eq!(inbox.table().version(), VERSIONS);
    assert_eq!(loads.handle_count(), 2, "ours and that of the table in use");
    drop(inbox);
    assert_eq!(loads.handle_count(), 1);
}
