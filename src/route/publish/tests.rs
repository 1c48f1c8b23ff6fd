use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Publisher;
use crate::kernel::Tick;
use crate::limits::{EJECTION_FAILURES, ID_REUSE_GRACE};
use crate::route::interner::Freed;
use crate::route::table::BuildError;
use crate::route::{Cluster, ClusterFigures, Endpoint, Inbox, Mailbox, Pattern, Routes, Target};

fn routes(keys: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for key in keys {
        let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], 443)));
        let target = routes.add_cluster(Cluster::new(*key, vec![endpoint]));
        routes.add_route(Pattern::parse(key).unwrap(), target);
    }
    routes
}

fn publisher_with_workers(count: usize) -> (Publisher, Vec<Inbox>, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let mut publisher = Publisher::default();
    let inboxes = (0..count).map(|_| {
        let (mailbox, inbox) = Mailbox::new();
        let wakes = Arc::clone(&wakes);
        publisher.add_worker(mailbox, move || {
            wakes.fetch_add(1, Ordering::Relaxed);
        });
        inbox
    });
    let inboxes = inboxes.collect();
    (publisher, inboxes, wakes)
}

#[test]
fn every_worker_is_woken_and_gets_its_copy_with_room_for_it() {
    let (mut publisher, mut inboxes, wakes) = publisher_with_workers(3);
    assert_eq!(wakes.load(Ordering::Relaxed), 3, "each was sent the empty table");
    assert_eq!(publisher.publish(&routes(&["a", "b"])), Ok(1));
    assert_eq!(wakes.load(Ordering::Relaxed), 6);
    for inbox in &mut inboxes {
        assert!(inbox.adopt());
        let id = inbox.table().lookup("b").unwrap();
        let cluster = inbox.table().cluster(id).unwrap();
        let endpoint = cluster.endpoint(0).unwrap().id();
        inbox.loads().opened(endpoint);
        assert_eq!(inbox.loads().active(endpoint), 1);
        inbox.loads().closed(endpoint);
    }
    assert_eq!(publisher.adopted_version(), 1);
    let (mailbox, mut late) = Mailbox::new();
    publisher.add_worker(mailbox, || {});
    assert!(late.adopt());
    assert_eq!(late.table().version(), 1);
}

#[test]
fn a_bad_table_is_not_published() {
    let (mut publisher, mut inboxes, _) = publisher_with_workers(1);
    publisher.publish(&routes(&["a"])).unwrap();
    let mut bad = routes(&["b"]);
    bad.add_route(Pattern::parse("c").unwrap(), Target::Cluster(9));
    assert!(matches!(publisher.publish(&bad), Err(BuildError::NoSuchCluster(_))));
    assert!(inboxes[0].adopt() && !inboxes[0].adopt());
    assert!(inboxes[0].table().lookup("a").is_ok());
    assert_eq!(publisher.publish(&routes(&["b"])), Ok(2));
}

#[test]
fn an_id_waits_for_the_last_session_of_the_slowest_worker() {
    let (mut publisher, mut inboxes, _) = publisher_with_workers(2);
    publisher.publish(&routes(&["old"])).unwrap();
    inboxes.iter_mut().for_each(|inbox| assert!(inbox.adopt()));
    let cluster = inboxes[0].table().lookup("old").unwrap();
    let endpoint = inboxes[0].table().cluster(cluster).unwrap().endpoint(0).unwrap().id();
    inboxes[0].loads().entered(cluster);
    inboxes[0].loads().opened(endpoint);
    inboxes[0].loads().dialed(cluster, Tick(1));
    inboxes[0].loads().dial_failed(cluster);
    inboxes[0].loads().moved(cluster, 5, 6, Tick(2));
    (0..EJECTION_FAILURES).for_each(|_| {
        inboxes[0].loads().failed(endpoint, Tick(0));
    });
    publisher.publish(&routes(&["new"])).unwrap();
    assert!(inboxes[0].adopt());
    assert_eq!(publisher.adopted_version(), 1, "the slowest counts");

    let start = Instant::now();
    let later = |graces: u32| start + graces * ID_REUSE_GRACE;
    assert_eq!(publisher.reclaim(later(0)), Freed::default());
    assert_eq!(publisher.reclaim(later(2)), Freed::default(), "worker 1 has the old table");
    assert!(inboxes[1].adopt());
    assert_eq!(publisher.reclaim(later(4)), Freed::default(), "worker 0 has a session");
    assert_eq!(inboxes[0].loads().active(endpoint), 1, "which counts on under the new table");
    inboxes[0].loads().closed(endpoint);
    inboxes[0].loads().left(cluster);
    assert_eq!(publisher.reclaim(later(6)), Freed::default(), "grace begins");
    let freed = publisher.reclaim(later(7));
    assert_eq!(freed, Freed { clusters: vec![cluster], endpoints: vec![endpoint] });

    publisher.publish(&routes(&["new", "newer"])).unwrap();
    assert!(inboxes[0].adopt());
    assert_eq!(inboxes[0].table().lookup("newer"), Ok(cluster), "the id is used again");
    assert!(!inboxes[0].loads().is_ejected(endpoint, Tick(0)), "without its past");
    assert_eq!(inboxes[0].loads().figures(cluster), ClusterFigures::default());
    assert_eq!(publisher.directory().cluster(cluster).as_deref(), Some("newer"));
}

#[test]
fn a_worker_that_ended_holds_nothing() {
    let (mut publisher, mut inboxes, _) = publisher_with_workers(2);
    publisher.publish(&routes(&["old"])).unwrap();
    inboxes.iter_mut().for_each(|inbox| assert!(inbox.adopt()));
    publisher.publish(&routes(&[])).unwrap();
    assert!(inboxes[0].adopt());
    inboxes.truncate(1);
    let start = Instant::now();
    publisher.reclaim(start);
    assert_eq!(publisher.reclaim(start + ID_REUSE_GRACE).clusters.len(), 1);
}
