use super::{CHUNK, Loads};
use crate::kernel::Tick;
use crate::limits::{EJECTION_BASE, EJECTION_FAILURES, EJECTION_MAX};
use crate::route::{ClusterId, EndpointId};

const ID: EndpointId = EndpointId(3);

fn fail_until_ejected(loads: &Loads, id: EndpointId, now: Tick) {
    for _ in 1..EJECTION_FAILURES {
        assert!(!loads.failed(id, now));
    }
    assert!(loads.failed(id, now));
}

#[test]
fn an_endpoint_is_ejected_after_failures_in_a_row() {
    let loads = Loads::default().grown(0, 4);
    let now = Tick(1_000);
    for _ in 1..EJECTION_FAILURES {
        assert!(!loads.failed(ID, now));
    }
    loads.succeeded(ID);
    assert_eq!(loads.failures(ID), 0);
    fail_until_ejected(&loads, ID, now);
    let end = now.after(EJECTION_BASE);
    assert!(loads.is_ejected(ID, now) && loads.is_ejected(ID, Tick(end.0 - 1)));
    assert!(!loads.is_ejected(ID, end));
    assert!(!loads.is_ejected(EndpointId(2), now), "its neighbour is not");
}

#[test]
fn failures_while_ejected_change_nothing() {
    let loads = Loads::default().grown(0, 4);
    fail_until_ejected(&loads, ID, Tick(0));
    for _ in 0..2 * EJECTION_FAILURES {
        assert!(!loads.failed(ID, Tick(1)));
    }
    assert_eq!(loads.ejected_until(ID), Some(Tick(0).after(EJECTION_BASE)));
    assert_eq!(loads.failures(ID), 0);
}

#[test]
fn ejections_in_a_row_last_longer_up_to_the_most_and_a_success_ends_the_row() {
    let loads = Loads::default().grown(0, 4);
    let mut now = Tick(5);
    for times in 1..=20_u32 {
        fail_until_ejected(&loads, ID, now);
        let end = now.after((EJECTION_BASE * times).min(EJECTION_MAX));
        assert_eq!(loads.ejected_until(ID), Some(end));
        now = end;
    }
    loads.succeeded(ID);
    fail_until_ejected(&loads, ID, now);
    assert_eq!(loads.ejected_until(ID), Some(now.after(EJECTION_BASE)));
}

#[test]
fn figures_survive_growth_and_are_shared() {
    let small = Loads::default().grown(1, 4);
    small.opened(ID);
    small.entered(ClusterId(0));
    fail_until_ejected(&small, ID, Tick(0));
    let large = small.grown(5 * CHUNK as usize, 3 * CHUNK as usize + 1);
    assert_eq!(large.room(), (5 * CHUNK as usize, 4 * CHUNK as usize));
    assert_eq!((large.active(ID), large.sessions(ClusterId(0))), (1, 1));
    assert!(large.is_ejected(ID, Tick(0)));
    large.closed(ID);
    large.left(ClusterId(0));
    assert_eq!((small.active(ID), small.sessions(ClusterId(0))), (0, 0), "the same figures");
    let last = EndpointId(4 * CHUNK - 1);
    large.opened(last);
    assert_eq!((large.active(last), small.active(last)), (1, 0));
    assert_eq!(large.grown(1, 1).room(), large.room(), "it never shrinks");
}

#[test]
fn connections_are_counted_in_all_until_the_id_is_anothers() {
    let loads = Loads::default().grown(0, 4);
    for _ in 0..3 {
        loads.opened(ID);
        loads.closed(ID);
    }
    fail_until_ejected(&loads, ID, Tick(0));
    loads.failed(ID, Tick(0));
    assert_eq!(loads.opened_and_failed(ID), (3, u64::from(EJECTION_FAILURES) + 1));
    loads.clear_endpoint(ID);
    assert_eq!(loads.opened_and_failed(ID), (0, 0));
}

#[test]
fn ids_without_room_are_ignored() {
    let loads = Loads::default();
    let id = EndpointId(u32::MAX);
    loads.opened(id);
    loads.closed(id);
    loads.succeeded(id);
    assert!(!loads.failed(id, Tick(0)) && !loads.is_ejected(id, Tick(0)));
    assert_eq!(loads.active(id), 0);
}
