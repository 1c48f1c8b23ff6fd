//! Tables swapped a hundred times a second under load, through the library: no routes file
//! could be rewritten that fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sluice::dataplane::orders::{Orders, Stage};
use sluice::dataplane::settings::Settings;
use sluice::dataplane::stats::Stats;
use sluice::dataplane::worker::{Worker, WorkerParts};
use sluice::kernel::epoll::Epoll;
use sluice::kernel::uring::Ring;
use sluice::kernel::{Kernel, KernelOptions};
use sluice::limits::{EJECTION_FAILURES, HELLO_BUFFER_COUNT};
use sluice::refusal::Refusal;
use sluice::route::{
    Cluster, ClusterId, Endpoint, EndpointId, Mailbox, Pattern, Publisher, Routes,
};
use sluice::sys::waker::Waker;

use crate::support::gateway::free_address;
use crate::support::hello::Hello;
use crate::support::pattern::{Pattern as Bytes, Random};
use crate::support::socket::expect;
use crate::support::{Engine, SOON, Scale, eventually, process};

on_both_engines!(alone: a_hundred_tables_a_second_under_load);

const NAME_COUNT: usize = 8;
/// Routes that nobody asks for: a leaked table would be seen in memory.
const BALLAST_COUNT: usize = 400;
const SWAP_TIME: Duration = Duration::from_millis(10);
const CLIENT_COUNT: u64 = 3;
const GROWTH_BYTES_MAX: u64 = 8 << 20;
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

fn a_hundred_tables_a_second_under_load(engine: Engine) {
    let time = Duration::from_secs(Scale::asked().pick(5, 60));
    let backends = Backends::start();
    let mut rig = Rig::start(engine);
    let tables = [backends.routes(Generation::Old), backends.routes(Generation::New)];
    for table in &tables {
        rig.publisher.publish(table).unwrap();
        rig.wait_until_adopted();
    }
    let resident_bytes = process::resident_bytes(std::process::id());
    let (is_over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut swaps = 0;
    std::thread::scope(|scope| {
        for client in 0..CLIENT_COUNT {
            let (address, is_over, served) = (rig.address, &is_over, &served);
            scope.spawn(move || run_client(client, address, is_over, served));
        }
        let began = Instant::now();
        while began.elapsed() < time {
            rig.publisher.publish(&tables[swaps % 2]).unwrap();
            rig.publisher.reclaim(Instant::now());
            swaps += 1;
            std::thread::sleep(SWAP_TIME);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let served = served.into_inner();
    println!("figure: {}: {swaps} swaps, {served} sessions", engine.name());
    assert!(served > 100, "no load: {served} sessions");
    let sessions = eventually(|| (rig.stats.sessions.get() == 0).then_some(()));
    assert!(sessions.is_some(), "{} sessions are left", rig.stats.sessions.get());
    rig.assert_nothing_counted();
    rig.assert_ejection_persisted(time);
    let grown = process::resident_bytes(std::process::id()).saturating_sub(resident_bytes);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes after {swaps} tables");
    rig.stop();
}

/// One client after another: each must reach a backend of its name, of the old table or the new.
fn run_client(client: u64, address: SocketAddr, is_over: &AtomicBool, served: &AtomicU64) {
    let mut random = Random::new(client);
    while !is_over.load(Ordering::Relaxed) {
        let index = random.below(NAME_COUNT as u64) as usize;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&Hello::to(&name(index)).wire()).unwrap();
        let mut identity = [0; 7];
        stream.read_exact(&mut identity[..1]).unwrap();
        if identity[0] == UNRECOGNIZED_NAME[0] {
            // The last name is in the old table only.
            stream.read_exact(&mut identity[1..]).unwrap();
            assert_eq!((identity, index), (UNRECOGNIZED_NAME, NAME_COUNT - 1));
            continue;
        }
        assert_eq!(usize::from(identity[0]) % NAME_COUNT, index, "another name's backend");
        let message = Bytes::new(random.number()).take(1 + random.below(20_000) as usize);
        stream.write_all(&message).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        expect(&mut stream, &message);
        served.fetch_add(1, Ordering::Relaxed);
    }
}

fn name(index: usize) -> String {
    format!("service-{index}.example")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Old,
    New,
}

/// Two backends for each name, one for each table, and an address where nobody listens.
struct Backends {
    addresses: Vec<SocketAddr>,
    dead: SocketAddr,
}

impl Backends {
    fn start() -> Self {
        let indexes = 0..2 * NAME_COUNT as u8;
        let addresses = indexes.map(|identity| {
            let address = free_address();
            let listener = TcpListener::bind(address).unwrap();
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    // A client that fails says so itself.
                    let _ = echo(stream, identity);
                }
            });
            address
        });
        Self { addresses: addresses.collect(), dead: free_address() }
    }

    /// The first name has an endpoint that is dead, in both tables the same; the others have
    /// different backends in each; the last is in the old table only.
    fn routes(&self, generation: Generation) -> Routes {
        let mut routes = Routes::default();
        for index in 0..NAME_COUNT - usize::from(generation == Generation::New) {
            let offset = if generation == Generation::New { NAME_COUNT } else { 0 };
            let (key, mut endpoints) = match index {
                0 => ("both".to_owned(), vec![Endpoint::new(self.dead)]),
                _ => (format!("{offset}-{index}"), Vec::new()),
            };
            let live = self.addresses[if index == 0 { 0 } else { index + offset }];
            endpoints.push(Endpoint::new(live));
            let target = routes.add_cluster(Cluster::new(key, endpoints));
            routes.add_route(Pattern::parse(&name(index)).unwrap(), target);
        }
        for index in 0..BALLAST_COUNT {
            let target = routes.add_cluster(Cluster::new(
                format!("ballast-{index}"),
                vec![Endpoint::new(self.dead); 1],
            ));
            let pattern = format!("ballast-{index}.{}.example", "x".repeat(60));
            routes.add_route(Pattern::parse(&pattern).unwrap(), target);
        }
        routes
    }
}

/// Says who it is, then sends back what comes after the hello.
fn echo(mut stream: TcpStream, identity: u8) -> std::io::Result<()> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut hello)?;
    stream.write_all(&[identity])?;
    let mut message = Vec::new();
    stream.read_to_end(&mut message)?;
    stream.write_all(&message)
}

/// One worker on a thread, and the control side of its table.
struct Rig {
    address: SocketAddr,
    publisher: Publisher,
    mailbox: Arc<Mailbox>,
    stats: Arc<Stats>,
    orders: Arc<Orders>,
    waker: Arc<Waker>,
    thread: std::thread::JoinHandle<()>,
}

impl Rig {
    fn start(engine: Engine) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (waker, reader) = Waker::pair().unwrap();
        let (mailbox, inbox) = Mailbox::new();
        let waker = Arc::new(waker);
        let mut publisher = Publisher::default();
        let wake = Arc::clone(&waker);
        publisher.add_worker(Arc::clone(&mailbox), move || wake.wake());
        let (stats, orders) = (Arc::new(Stats::default()), Arc::new(Orders::default()));
        let parts = WorkerParts {
            id: 0,
            settings: Settings::default(),
            stats: Arc::clone(&stats),
            orders: Arc::clone(&orders),
            inbox,
            records: None,
            refusals: None,
            listener_count: 1,
        };
        let options = KernelOptions {
            listeners: vec![listener.into()],
            waker: reader,
            hello_buffer_count: HELLO_BUFFER_COUNT,
            spin: Duration::ZERO,
        };
        let thread = std::thread::spawn(move || match engine {
            Engine::IoUring => run(Ring::new(options).unwrap(), parts),
            Engine::Epoll => run(Epoll::new(options).unwrap(), parts),
        });
        Self { address, publisher, mailbox, stats, orders, waker, thread }
    }

    fn wait_until_adopted(&self) {
        let version = self.publisher.table().version();
        let adopted =
            eventually(|| (self.mailbox.adopted_version() == Some(version)).then_some(()));
        assert!(adopted.is_some(), "the worker does not adopt table {version}");
    }

    /// Every count of the balancing is back at 0.
    fn assert_nothing_counted(&self) {
        for loads in self.publisher.loads() {
            let (clusters, endpoints) = loads.room();
            for id in 0..endpoints as u32 {
                assert_eq!(loads.active(EndpointId(id)), 0, "endpoint {id}");
            }
            for id in 0..clusters as u32 {
                assert_eq!(loads.sessions(ClusterId(id)), 0, "cluster {id}");
            }
        }
    }

    /// The dead endpoint was ejected, and swaps did not bring it back.
    fn assert_ejection_persisted(&self, time: Duration) {
        let failed = self.stats.dials_failed.get();
        let ejections = 1 + time.as_secs() / 30;
        let most = u64::from(EJECTION_FAILURES) * ejections;
        assert!(failed >= u64::from(EJECTION_FAILURES), "{failed} failures: never ejected");
        assert!(failed <= most, "{failed} failures, {most} at most with ejection");
        for (why, count) in self.stats.refusals() {
            assert!(why == Refusal::UnknownName || count == 0, "{why:?}: {count}");
        }
    }

    fn stop(self) {
        self.orders.advance(Stage::Stopping);
        self.waker.wake();
        self.thread.join().unwrap();
    }
}

fn run<K: Kernel>(kernel: K, parts: WorkerParts) {
    Worker::new(kernel, parts).run();
}
