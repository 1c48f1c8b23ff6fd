//! Who controls the workers: tables, orders, and sessions that change their worker.

use std::time::Duration;

use sluice::dataplane::orders::Stage;

use super::{Run, WORKER_COUNT};
use crate::end::End;

impl Run {
    /// Tables are published, and what is retired is freed.
    pub(super) fn control(&mut self) -> bool {
        let mut moved = false;
        while self.plan.publish_at.first().is_some_and(|round| *round <= self.rounds) {
            self.plan.publish_at.remove(0);
            self.publish();
            moved = true;
        }
        if self.random.one_in(64) {
            self.reclaim();
        }
        moved
    }

    pub(super) fn publish(&mut self) {
        self.collect();
        let routes = self.tables.add(&mut self.random, self.plan.connect_timeout);
        let version = self.publisher.publish(routes).unwrap();
        assert_eq!(version, self.tables.latest());
        let clusters = self.publisher.table().clusters();
        self.ids.extend(clusters.map(|cluster| {
            (cluster.id(), cluster.endpoints().map(|endpoint| endpoint.id()).collect())
        }));
        self.trace.note(self.world.now(), || format!("table {version} published"));
    }

    fn collect(&mut self) {
        let count: usize = self.seats.iter().map(|seat| seat.mailbox.collect()).sum();
        self.collected_count += count as u64;
    }

    /// Frees ids whose grace is over: it passes quickly here.
    fn reclaim(&mut self) {
        self.collect();
        let age = self.world.now().since_us(self.began);
        self.publisher.reclaim(self.wall + Duration::from_micros(age * 1000));
    }

    /// Orders the workers on, when it is time.
    pub(super) fn orders(&mut self) -> bool {
        let now = self.world.now();
        let all_over = self
            .clients
            .iter()
            .all(|client| !client.is_waiting && client.end.as_ref().is_none_or(End::is_done))
            && self.upstreams.iter().all(|upstream| upstream.end.is_done());
        let published = self.plan.publish_at.is_empty();
        let stage = match (self.drained_at, self.closed_at) {
            (None, _)
                if (all_over && published) || now.0 >= self.began.0 + self.plan.drain_at_us =>
            {
                self.drained_at = Some(now);
                Stage::Draining
            }
            (Some(at), None) if now.0 >= at.0 + self.plan.close_after_us => {
                self.closed_at = Some(now);
                self.plan.close_stage
            }
            _ => return false,
        };
        self.trace.note(now, || format!("ordered: {stage:?}"));
        for seat in &self.seats {
            seat.orders.advance(stage);
            self.world.wake(seat.id);
        }
        true
    }

    /// Moves sessions from worker to worker, or away and back.
    pub(super) fn hand_over(&mut self, at_once: bool) -> bool {
        let one_in = self.plan.handover_one_in;
        let running: Vec<usize> =
            (0..WORKER_COUNT).filter(|number| self.seats[*number].is_running).collect();
        if running.is_empty() {
            return false;
        }
        if one_in > 0 && self.random.one_in(one_in) {
            let number = self.random.pick(&running);
            if let Some(worker) = &mut self.seats[number].worker {
                let slots = worker.detachable();
                if !slots.is_empty() {
                    let slot = self.random.pick(&slots);
                    assert!(worker.detach(slot));
                    self.parcels.extend(worker.parcels());
                    self.trace
                        .note(self.world.now(), || format!("worker {number}: detaches {slot}"));
                }
            }
        }
        if !self.parcels.is_empty() && (at_once || self.random.one_in(2)) {
            let number = self.random.pick(&running);
            // As on a worker's own thread: between two of its turns, with a clock just read.
            self.world.wake(self.seats[number].id);
            self.turn(number);
            if !self.seats[number].is_running || self.parcels.is_empty() {
                return true;
            }
            let parcel = self.parcels.remove(0);
            let Some(worker) = &mut self.seats[number].worker else { return false };
            match worker.attach(parcel) {
                Ok(()) => {
                    self.attached_count += 1;
                    self.world.wake(self.seats[number].id);
                    self.trace.note(self.world.now(), || format!("worker {number}: attached"));
                    return true;
                }
                Err(parcel) => self.parcels.push(parcel),
            }
        }
        false
    }
}
