use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Slot;

/// Counts its drops, and knows when it was dropped twice.
struct Counted {
    number: usize,
    dropped: Arc<Vec<AtomicUsize>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped[self.number].fetch_add(1, Ordering::Relaxed);
    }
}

fn counters(count: usize) -> Arc<Vec<AtomicUsize>> {
    Arc::new((0..count).map(|_| AtomicUsize::new(0)).collect())
}

#[test]
fn a_slot_holds_one_value() {
    let slot = Slot::default();
    assert!(slot.take().is_none());
    assert!(slot.put(Box::new(1)).is_none());
    assert_eq!(slot.put(Box::new(2)).as_deref(), Some(&1));
    assert_eq!(slot.take().as_deref(), Some(&2));
    assert!(slot.take().is_none());
}

#[test]
fn every_value_is_dropped_once_also_what_is_left_in_the_slot() {
    const COUNT: usize = 100_000;
    let dropped = counters(COUNT);
    let slot = Slot::default();
    thread::scope(|scope| {
        let producers = (0..2).map(|half| {
            let (slot, dropped) = (&slot, &dropped);
            scope.spawn(move || {
                for number in (half..COUNT).step_by(2) {
                    slot.put(Box::new(Counted { number, dropped: Arc::clone(dropped) }));
                }
            })
        });
        let producers: Vec<_> = producers.collect();
        while !producers.iter().all(thread::ScopedJoinHandle::is_finished) {
            drop(slot.take());
        }
    });
    slot.put(Box::new(Counted { number: 0, dropped: Arc::clone(&dropped) }));
    drop(slot);
    assert_eq!(dropped[0].load(Ordering::Relaxed), 2, "made twice, dropped twice");
    assert!(dropped[1..].iter().all(|count| count.load(Ordering::Relaxed) == 1));
}
