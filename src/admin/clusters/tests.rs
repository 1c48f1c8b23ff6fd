use super::{all, endpoints, used};
use crate::admin::testing::{publish, shared};
use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::{EJECTION_FAILURES, METRICS_TRAFFIC_WINDOW};
use crate::route::ClusterId;

fn id(published: &Published, name: &str) -> ClusterId {
    published.table.lookup(name).unwrap()
}

fn names(published: &Published, now: Tick, count_max: usize) -> (Vec<String>, usize) {
    let (used, left_out) = used(published, now, count_max);
    (used.iter().map(|cluster| cluster.view.name().to_owned()).collect(), left_out)
}

#[test]
fn what_workers_count_is_added_up() {
    let published = publish(&shared(), &["b.example", "a.example"]);
    let a = id(&published, "a.example");
    let [first, second] = &*published.loads else { panic!("two workers") };
    first.dialed(a, Tick(5));
    first.dial_failed(a);
    second.dialed(a, Tick(9));
    second.entered(a);
    second.moved(a, 100, 7, Tick(8));
    let all = all(&published);
    let names: Vec<&str> = all.iter().map(|cluster| cluster.view.name()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
    let figures = all.first().unwrap().figures;
    assert_eq!((figures.dials, figures.dials_failed, figures.sessions), (2, 1, 1));
    assert_eq!((figures.bytes_up, figures.bytes_down), (100, 7));
    assert_eq!(figures.used_at, Some(Tick(8)), "the last that each worker told counts");
}

#[test]
fn a_cluster_without_a_session_is_forgotten_an_hour_after_its_last_traffic() {
    let published = publish(&shared(), &["a.example", "b.example", "c.example"]);
    let begin = Tick(1_000_000);
    let (end, after) =
        (begin.after(METRICS_TRAFFIC_WINDOW), begin.after(METRICS_TRAFFIC_WINDOW * 2));
    let loads = published.loads.first().unwrap();
    assert_eq!(names(&published, begin, 10), (vec![], 0));
    loads.dialed(id(&published, "a.example"), begin);
    loads.entered(id(&published, "b.example"));
    let both = ["a.example", "b.example"].map(str::to_owned).to_vec();
    assert_eq!(names(&published, end, 10), (both, 0));
    assert_eq!(names(&published, after, 10), (vec!["b.example".to_owned()], 0));
}

#[test]
fn of_too_many_those_used_last_are_kept() {
    let published = publish(&shared(), &["a.example", "b.example", "c.example"]);
    let loads = published.loads.first().unwrap();
    for (name, at) in [("a.example", 3), ("b.example", 1), ("c.example", 2)] {
        loads.dialed(id(&published, name), Tick(at));
    }
    let kept = ["a.example", "c.example"].map(str::to_owned).to_vec();
    assert_eq!(names(&published, Tick(9), 2), (kept, 1));
    assert_eq!(names(&published, Tick(9), 0), (vec![], 3));
}

#[test]
fn an_endpoint_that_one_worker_leaves_aside_is_not_used() {
    let published = publish(&shared(), &["a.example"]);
    let cluster = published.table.cluster(id(&published, "a.example")).unwrap();
    let healthy = cluster.endpoint(0).unwrap().id();
    let [first, second] = &*published.loads else { panic!("two workers") };
    first.opened(healthy);
    second.opened(healthy);
    let now = Tick(7);
    let told = |now| -> Vec<(u64, bool, bool)> {
        endpoints(&published, &cluster, now)
            .map(|endpoint| (endpoint.active, endpoint.is_ejected, endpoint.is_used()))
            .collect()
    };
    assert_eq!(told(now), [(2, false, true), (0, false, false)]);
    (0..EJECTION_FAILURES).for_each(|_| {
        second.failed(healthy, now);
    });
    assert_eq!(told(now), [(2, true, false), (0, false, false)]);
    let later = Tick(1 << 40);
    assert_eq!(told(later), [(2, false, true), (0, false, false)]);
}

#[test]
fn connections_of_an_endpoint_are_counted_in_all() {
    let published = publish(&shared(), &["a.example"]);
    let cluster = published.table.cluster(id(&published, "a.example")).unwrap();
    let endpoint = cluster.endpoint(0).unwrap().id();
    let [first, second] = &*published.loads else { panic!("two workers") };
    first.opened(endpoint);
    first.closed(endpoint);
    second.opened(endpoint);
    second.failed(endpoint, Tick(7));
    let told = endpoints(&published, &cluster, Tick(7));
    let told: Vec<_> = told.map(|it| (it.opened, it.failed, it.active)).collect();
    assert_eq!(told, [(2, 1, 1), (0, 0, 0)]);
}
