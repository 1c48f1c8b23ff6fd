//! One seed, run: two workers in one world, their clients and backends, a publisher, and whoever
//! gives orders.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sluice::dataplane::orders::Orders;
use sluice::dataplane::parcel::Parcel;
use sluice::dataplane::record::{End as How, SessionRecord};
use sluice::dataplane::stats::Stats;
use sluice::dataplane::worker::{Worker, WorkerParts};
use sluice::kernel::Tick;
use sluice::kernel::sim::{FarListener, KernelId, Random, Sim, World};
use sluice::refusal::Refusal;
use sluice::route::{ClusterId, EndpointId, Mailbox, Publisher};

use super::end::{End, Read};
use super::judge::brief;
use super::plan::Plan;
use super::routes::{self, Place, Tables};
use super::stream::Stream;
use super::trace::Trace;

mod control;
mod network;

pub(crate) const WORKER_COUNT: usize = 2;
/// Turns without any progress after which a worker is taken to spin.
const IDLE_TURNS_MAX: u32 = 2_000;
const ROUNDS_MAX: u64 = 200_000;

/// A worker in its place.
pub(crate) struct Seat {
    pub(crate) worker: Option<Worker<Sim>>,
    pub(crate) id: KernelId,
    pub(crate) stats: Arc<Stats>,
    pub(crate) mailbox: Arc<Mailbox>,
    orders: Arc<Orders>,
    woken: Arc<AtomicBool>,
    records: rtrb::Consumer<SessionRecord>,
    is_running: bool,
    idle_turns: u32,
}

/// A client of the plan.
#[derive(Debug)]
pub(crate) struct Client {
    /// None before it connects, and if it was refused by TCP.
    pub(crate) end: Option<End>,
    pub(crate) address: Option<SocketAddr>,
    is_waiting: bool,
    /// The oldest table that its session can be looked up in.
    pub(crate) version_from: u64,
    /// What it received first: an alert, or the mark of the connection that answers.
    pub(crate) head: Vec<u8>,
    pub(crate) down: Option<Stream>,
    /// When the first byte of an answer came.
    answered_at: Option<Tick>,
}

/// A connection that a backend accepted.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) end: End,
    pub(crate) at: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) session: Option<usize>,
    /// Which of the connections made for the session, if that is known.
    pub(crate) nth: usize,
    /// What was received before the session was known.
    prefix: Vec<u8>,
}

pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) world: World,
    random: Random,
    pub(crate) seats: Vec<Seat>,
    pub(crate) publisher: Publisher,
    pub(crate) tables: Tables,
    pub(crate) clients: Vec<Client>,
    listeners: Vec<(SocketAddr, FarListener)>,
    pub(crate) upstreams: Vec<Upstream>,
    /// Of sessions that have ended.
    pub(crate) records: Vec<SessionRecord>,
    /// Records of sessions that had just reached an endpoint, and of those that went on.
    pub(crate) begun_count: u64,
    pub(crate) ongoing_count: u64,
    parcels: Vec<Parcel<Sim>>,
    pub(crate) attached_count: u64,
    /// Deliveries that workers sent back, and that were freed.
    pub(crate) collected_count: u64,
    /// Every id that a table had.
    pub(crate) ids: Vec<(ClusterId, Vec<EndpointId>)>,
    began: Tick,
    wall: Instant,
    rounds: u64,
    pub(crate) drained_at: Option<Tick>,
    pub(crate) closed_at: Option<Tick>,
    read: Read,
    pub(crate) problems: Vec<String>,
    pub(crate) trace: Trace,
}

fn gate() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 8443))
}

impl Run {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let plan = Plan::new(seed);
        let world = World::new(plan.world.clone());
        let mut random = world.random();
        let mut listeners = Vec::new();
        for (address, place) in routes::places(&mut random, plan.some_dead) {
            match place {
                Place::Listens => {
                    listeners.push((address, world.listen(address, plan.backlog_max)))
                }
                Place::Nobody(nobody) => world.set_nobody(address, nobody),
            }
        }
        let client = |_| Client {
            end: None,
            address: None,
            is_waiting: true,
            version_from: 0,
            head: Vec::new(),
            down: None,
            answered_at: None,
        };
        let clients = (0..plan.sessions.len()).map(client).collect();
        let mut run = Self {
            began: world.now(),
            world,
            random,
            seats: Vec::new(),
            publisher: Publisher::default(),
            tables: Tables::default(),
            clients,
            listeners,
            upstreams: Vec::new(),
            records: Vec::new(),
            begun_count: 0,
            ongoing_count: 0,
            parcels: Vec::new(),
            attached_count: 0,
            collected_count: 0,
            ids: Vec::new(),
            wall: Instant::now(),
            rounds: 0,
            drained_at: None,
            closed_at: None,
            read: Read::new(),
            problems: Vec::new(),
            trace,
            plan,
        };
        run.publish();
        for number in 0..WORKER_COUNT {
            run.seat(number);
        }
        run
    }

    fn seat(&mut self, number: usize) {
        let kernel = self.world.kernel(&[gate()], self.plan.hello_buffer_count);
        let (mailbox, inbox) = Mailbox::new();
        let (producer, records) = rtrb::RingBuffer::new(256);
        let (stats, orders) = (Arc::new(Stats::default()), Arc::new(Orders::default()));
        let woken = Arc::new(AtomicBool::new(false));
        let id = kernel.id();
        let parts = WorkerParts {
            id: u16::try_from(number).unwrap(),
            settings: self.plan.settings.clone(),
            stats: Arc::clone(&stats),
            orders: Arc::clone(&orders),
            inbox,
            records: Some(producer),
            refusals: None,
            listener_count: 1,
        };
        let wake = Arc::clone(&woken);
        let mail = Arc::clone(&mailbox);
        self.publisher.add_worker(mail, move || wake.store(true, Ordering::Relaxed));
        self.seats.push(Seat {
            worker: Some(Worker::new(kernel, parts)),
            id,
            stats,
            mailbox,
            orders,
            woken,
            records,
            is_running: true,
            idle_turns: 0,
        });
    }

    /// Runs to the end; the problems found are in [`Run::problems`].
    pub(crate) fn run_to_the_end(&mut self) {
        let mut quiet = false;
        while self.problems.is_empty() && self.seats.iter().any(|seat| seat.is_running) {
            let moved = self.round(quiet);
            if !moved && quiet && !self.world.settle() {
                self.let_time_pass();
            }
            quiet = !moved;
        }
        for end in self.ends() {
            end.wind_up();
        }
        while self.problems.is_empty() && self.ends().any(|end| !end.is_done()) {
            let moved = self.far_round(true);
            if !moved && !self.world.settle() {
                return self.fail("an end of a connection never learned that it is over".into());
            }
        }
    }

    pub(crate) fn fail(&mut self, problem: String) {
        self.trace.note(self.world.now(), || format!("FAILED: {problem}"));
        self.problems.push(problem);
    }

    fn ends(&mut self) -> impl Iterator<Item = &mut End> {
        let clients = self.clients.iter_mut().filter_map(|client| client.end.as_mut());
        clients.chain(self.upstreams.iter_mut().map(|upstream| &mut upstream.end))
    }

    /// Everyone, or most of them, do something. Returns whether anyone had anything to do.
    fn round(&mut self, everyone: bool) -> bool {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            self.fail("no end in sight".into());
        }
        let mut moved = self.orders() | self.control();
        for offset in 0..WORKER_COUNT {
            let number = (offset + self.rounds as usize) % WORKER_COUNT;
            if everyone || !self.random.one_in(4) {
                moved |= self.turn(number);
            }
        }
        moved |= self.far_round(everyone);
        moved |= self.hand_over(everyone && !moved);
        if self.plan.world.slow_wire {
            self.world.drift();
        }
        let jitter_us = self.random.below(100);
        self.world.advance(Tick(self.world.now().0 + jitter_us));
        moved
    }

    fn far_round(&mut self, everyone: bool) -> bool {
        let mut moved = self.accept();
        for number in 0..self.clients.len() {
            if everyone || self.random.one_in(2) {
                moved |= self.client(number);
            }
        }
        for number in 0..self.upstreams.len() {
            if everyone || self.random.one_in(2) {
                moved |= self.upstream(number);
            }
        }
        moved
    }

    /// Nothing moves: time goes on to where something happens by itself.
    fn let_time_pass(&mut self) {
        let now = self.world.now();
        if self.seats.iter().any(|seat| seat.is_running && self.world.is_ready(seat.id)) {
            // It became so while the round went on.
            return;
        }
        let script = [
            self.drained_at.is_none().then(|| Tick(self.began.0 + self.plan.drain_at_us)),
            self.drained_at
                .filter(|_| self.closed_at.is_none())
                .map(|at| Tick(at.0 + self.plan.close_after_us)),
        ];
        let waiting = self.clients.iter().zip(&self.plan.sessions);
        let connects = waiting
            .filter(|(client, _)| client.is_waiting)
            .map(|(_, plan)| Tick(self.began.0 + plan.connect_at_us));
        let running = self.seats.iter().filter(|seat| seat.is_running);
        let kernels = running.filter_map(|seat| self.world.waits_until(seat.id));
        let mut times: Vec<Tick> = script.into_iter().flatten().chain(connects).collect();
        times.extend(kernels);
        times.extend(self.ends().filter_map(|end| end.wakes_at(now)));
        match times.into_iter().filter(|time| *time > now).min() {
            Some(next) => self.world.advance(next),
            None => self.fail("nothing will ever happen again".into()),
        }
    }

    fn turn(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let spurious = self.random.one_in(16);
        let seat = &mut self.seats[number];
        if seat.woken.swap(false, Ordering::Relaxed) {
            self.world.wake(seat.id);
        }
        let ready = self.world.is_ready(seat.id);
        let Some(worker) = seat.worker.as_mut().filter(|_| seat.is_running) else { return false };
        if !ready && !spurious {
            return false;
        }
        let before = progress(&seat.stats);
        let goes_on = worker.turn();
        let parcels = worker.parcels();
        let moved = progress(&seat.stats) != before;
        seat.idle_turns = if moved || !ready { 0 } else { seat.idle_turns + 1 };
        let spins = seat.idle_turns > IDLE_TURNS_MAX;
        while let Ok(record) = seat.records.pop() {
            self.trace.note(now, || format!("worker {number}: {}", brief(&record)));
            match record.end {
                How::Begun => self.begun_count += 1,
                How::Ongoing => self.ongoing_count += 1,
                _ => self.records.push(record),
            }
        }
        self.parcels.extend(parcels);
        let others_run = (0..WORKER_COUNT).any(|n| n != number && self.seats[n].is_running);
        let seat = &mut self.seats[number];
        if !goes_on && (others_run || self.parcels.is_empty()) {
            self.trace.note(now, || format!("worker {number} ended"));
            seat.is_running = false;
        }
        if spins {
            self.fail(format!("worker {number} spins"));
        }
        ready || !goes_on
    }
}

impl Run {
    /// What the workers counted, and how their sessions ended.
    pub(crate) fn seen(&self) -> Vec<(&'static str, u64)> {
        let sum = |name| {
            let each = |seat: &Seat| seat.stats.each().find(|(n, _)| *n == name).map(|(_, n)| n);
            self.seats.iter().filter_map(each).sum()
        };
        let names: Vec<&'static str> = Stats::default().each().map(|(name, _)| name).collect();
        let mut seen: Vec<(&'static str, u64)> =
            names.into_iter().map(|name| (name, sum(name))).collect();
        let ends = [
            ("finished", How::Finished),
            ("downstream reset", How::DownstreamReset),
            ("upstream reset", How::UpstreamReset),
            ("idle", How::Idle),
            ("half-closed idle", How::HalfCloseIdle),
            ("drained", How::Drained),
        ];
        let count = |end| self.records.iter().filter(|record| record.end == end).count() as u64;
        seen.extend([("begun", self.begun_count), ("ongoing", self.ongoing_count)]);
        seen.extend(ends.map(|(name, end)| (name, count(end))));
        seen.extend(Refusal::ALL.map(|why| (why.name(), count(How::Refused(why)))));
        seen
    }
}

/// Grows with all that is progress.
fn progress(stats: &Stats) -> u64 {
    let counts = [
        &stats.accepted,
        &stats.closed,
        &stats.detached,
        &stats.dials,
        &stats.bytes_up,
        &stats.bytes_down,
        &stats.tables_adopted,
    ];
    counts.iter().map(|count| count.get()).fold(0, u64::wrapping_add)
}
