//! One seed, run: two workers in one world, their clients and backends, a publisher, and whoever
//! gives orders.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sluice::dataplane::orders::{Orders, Stage};
use sluice::dataplane::parcel::Parcel;
use sluice::dataplane::record::{End as How, SessionRecord};
use sluice::dataplane::stats::Stats;
use sluice::dataplane::worker::{Worker, WorkerParts};
use sluice::kernel::Tick;
use sluice::kernel::sim::{FarListener, KernelId, Random, Sim, World};
use sluice::refusal::Refusal;
use sluice::route::{ClusterId, EndpointId, Mailbox, Publisher};

use super::end::{Cut, End, FinWhen, Input, Manner, Read};
use super::judge::brief;
use super::plan::{Plan, Says};
use super::routes::{self, Place, Tables};
use super::stream::Stream;
use super::trace::Trace;

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
    pub(crate) records: Vec<SessionRecord>,
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
            self.records.push(record);
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

    /// Tables are published, and what is retired is freed.
    fn control(&mut self) -> bool {
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

    fn publish(&mut self) {
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
    fn orders(&mut self) -> bool {
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
    fn hand_over(&mut self, at_once: bool) -> bool {
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

    fn accept(&mut self) -> bool {
        let mut moved = false;
        let now = self.world.now();
        for (at, listener) in &self.listeners {
            while let Some(far) = listener.accept() {
                moved = true;
                let peer = far.peer_address();
                let mute_one_in = self.plan.mute_one_in;
                let is_mute = mute_one_in > 0 && self.random.one_in(mute_one_in);
                let (manner, out) =
                    if is_mute { mute(&mut self.random) } else { Default::default() };
                self.trace.note(now, || format!("backend {at}: accepts {peer}, mute: {is_mute}"));
                let end = End::new(far, manner, out, now);
                let (at, session, prefix) = (*at, None, Vec::new());
                self.upstreams.push(Upstream { end, at, peer, session, nth: 0, prefix });
            }
        }
        moved
    }

    fn client(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let plan = &self.plan.sessions[number];
        let client = &mut self.clients[number];
        if client.is_waiting {
            if now.0 < self.began.0 + plan.connect_at_us {
                return false;
            }
            client.is_waiting = false;
            let versions = self.seats.iter().filter_map(|seat| seat.mailbox.adopted_version());
            client.version_from = versions.min().unwrap_or_default();
            if let Ok(far) = self.world.connect(gate()) {
                let address = far.local_address();
                self.trace.note(now, || format!("client {number}: connects as {address}"));
                client.address = Some(address);
                client.end = Some(End::new(far, plan.client.clone(), Some(plan.up.clone()), now));
            }
            return true;
        }
        let Some(end) = &mut client.end else { return false };
        let input_before = end.input;
        let moved = end.act(now, &mut self.random, &mut self.read);
        if moved {
            self.trace.note(now, || format!("client {number}: {}", end.summary(self.read.bytes())));
        }
        let at = end.received_bytes - self.read.bytes().len();
        let has_ended = end.input != input_before && end.input == Input::Fin;
        self.check_client(number, at);
        if has_ended {
            self.check_client_fin(number);
        }
        moved
    }

    /// What a client just read is an alert, or comes from one connection of its session.
    fn check_client(&mut self, number: usize, at: usize) {
        let client = &mut self.clients[number];
        let bytes = self.read.bytes();
        if bytes.is_empty() {
            return;
        }
        if client.down.is_none() {
            let room = 7_usize.saturating_sub(client.head.len()).min(bytes.len());
            client.head.extend_from_slice(&bytes[..room]);
            if let [0x17, mark, ..] = client.head[..] {
                let nth = usize::from(mark.wrapping_sub(0x40));
                client.down = Some(self.plan.sessions[number].down(nth));
            }
        }
        let fits = match &client.down {
            Some(down) => {
                let (head, bytes) = (&client.head, bytes);
                down.has(0, &head[..head.len().min(down.length_bytes())]) && down.has(at, bytes)
            }
            None => at + bytes.len() <= 7,
        };
        if !fits {
            self.fail(format!("client {number}: received other bytes than were sent to it"));
        }
    }

    fn check_client_fin(&mut self, number: usize) {
        let client = &self.clients[number];
        let (Some(end), Some(mark)) = (&client.end, client.head.get(1)) else { return };
        if client.head[0] != 0x17 {
            return;
        }
        let nth = usize::from(mark.wrapping_sub(0x40));
        let source = self.upstreams.iter().find(|u| (u.session, u.nth) == (Some(number), nth));
        let complete =
            source.is_some_and(|u| u.end.finished && u.end.sent_bytes == end.received_bytes);
        if !complete {
            self.fail(format!("client {number}: FIN after a truncated stream"));
        }
    }

    fn upstream(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let upstream = &mut self.upstreams[number];
        let input_before = upstream.end.input;
        let moved = upstream.end.act(now, &mut self.random, &mut self.read);
        let peer = upstream.peer;
        if moved {
            let session = upstream.session;
            self.trace.note(now, || {
                let summary = upstream.end.summary(self.read.bytes());
                format!("backend of {session:?} {peer}: {summary}")
            });
        }
        let end = &upstream.end;
        let has_ended = end.input != input_before && end.input == Input::Fin;
        match upstream.session {
            None => self.recognise(number),
            Some(session) => {
                let bytes = self.read.bytes();
                let at = end.received_bytes - bytes.len();
                if !self.plan.sessions[session].up.has(at, bytes) {
                    self.fail(format!("backend of {session}: received what was not sent to it"));
                }
            }
        }
        if has_ended {
            self.check_upstream_fin(number);
        }
        moved
    }

    fn check_upstream_fin(&mut self, number: usize) {
        let upstream = &self.upstreams[number];
        let complete = upstream.session.is_some_and(|session| {
            let client = self.clients[session].end.as_ref();
            client.is_some_and(|client| {
                client.finished && client.sent_bytes == upstream.end.received_bytes
            })
        });
        if !complete {
            let (session, peer) = (upstream.session, upstream.peer);
            self.fail(format!("backend of {session:?} {peer}: FIN after a truncated stream"));
        }
    }

    /// Finds out whose session a backend has: the one that begins like this.
    fn recognise(&mut self, number: usize) {
        let upstream = &mut self.upstreams[number];
        if self.read.bytes().is_empty() {
            return;
        }
        upstream.prefix.extend_from_slice(self.read.bytes());
        let prefix = &upstream.prefix;
        let sessions = self.plan.sessions.iter().enumerate();
        let alike = |up: &Stream| {
            let head = up.head();
            let common = head.len().min(prefix.len());
            head[..common] == prefix[..common]
        };
        // A part of a hello tells nothing.
        let whole = |says| !matches!(says, Says::Nothing | Says::Truncated);
        let alike: Vec<usize> = sessions
            .filter(|(_, plan)| whole(plan.says) && alike(&plan.up))
            .map(|(session, _)| session)
            .collect();
        let peer = upstream.peer;
        match alike[..] {
            [] => self.fail(format!("backend {peer}: these bytes are nobody's")),
            [session] => self.recognised(number, session),
            _ => {}
        }
    }

    fn recognised(&mut self, number: usize, session: usize) {
        let plan = &self.plan.sessions[session];
        let earlier = self.upstreams.iter().filter(|u| u.session == Some(session)).count();
        let (from, to) = (self.clients[session].version_from, self.tables.latest());
        let answered = !self.clients[session].head.is_empty();
        let upstream = &mut self.upstreams[number];
        upstream.session = Some(session);
        upstream.nth = earlier;
        let at = upstream.at;
        self.trace.note(self.world.now(), || {
            format!("backend {at} {}: session {session}, connection {earlier}", upstream.peer)
        });
        let fits = plan.up.has(0, &upstream.prefix);
        if upstream.end.out.is_none() {
            if earlier < plan.vanish_count {
                let (manner, out) = mute(&mut self.random);
                upstream.end.manner = manner;
                upstream.end.out = out;
            } else {
                upstream.end.manner = plan.backend.clone();
                upstream.end.out = Some(plan.down(earlier));
            }
        }
        let Says::Name(name) = plan.says else {
            return self.fail(format!("session {session} must not reach any backend"));
        };
        if !fits {
            let (hello, received) = (plan.hello_bytes, self.upstreams[number].prefix.len());
            self.fail(format!(
                "backend of {session}: received what was not sent to it: of {received} bytes, \
                 with a hello of {hello}"
            ));
        }
        if answered {
            self.fail(format!("session {session}: its hello was replayed after an answer"));
        }
        if !self.tables.may_reach(name, at, from, to) {
            self.fail(format!("session {session} for {name} was led to {at}"));
        }
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
        seen.extend(ends.map(|(name, end)| (name, count(end))));
        seen.extend(Refusal::ALL.map(|why| (why.name(), count(How::Refused(why)))));
        seen
    }
}

/// A backend that ends its connection before it answers.
fn mute(random: &mut Random) -> (Manner, Option<Stream>) {
    let cut = match random.below(3) {
        0 => Some((0, Cut::Reset)),
        1 => Some((0, Cut::Close)),
        _ => None,
    };
    (Manner { cut, fin: FinWhen::Sent, ..Manner::default() }, Some(Stream::default()))
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
