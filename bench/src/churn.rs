//! A gateway whose routes are replaced many times a second: the gateway's own worker, with tables
//! made beforehand. What it costs beyond the same gateway left alone is the copying, the
//! adopting, and the caches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sluice::dataplane::orders::Orders;
use sluice::dataplane::settings::Settings;
use sluice::dataplane::stats::Stats;
use sluice::dataplane::worker::{Worker, WorkerParts};
use sluice::kernel::uring::Ring;
use sluice::kernel::{Kernel, KernelOptions};
use sluice::limits::HELLO_BUFFER_COUNT;
use sluice::route::mailbox::Inbox;
use sluice::route::{
    Cluster, Delivery, Endpoint, Interner, Loads, Mailbox, Pattern, Routes, RoutingTable,
};
use sluice::sys::process;
use sluice::sys::waker::Waker;
use socket2::{Domain, Socket, Type};

use crate::load::SERVER_NAME;
use crate::run::limits;

type Failure = Box<dyn std::error::Error>;

/// Relays until the process is ended; every so often the routes are others.
///
/// # Errors
/// Setting up failed.
pub(crate) fn run(
    bind: SocketAddr,
    backend: SocketAddr,
    route_count: u32,
    times_per_s: u32,
) -> Result<(), Failure> {
    limits::raise_descriptors();
    let mut interner = Interner::default();
    let tables = [
        RoutingTable::build(&routes(route_count, backend, "one")?, &mut interner, 1)?,
        RoutingTable::build(&routes(route_count, backend, "other")?, &mut interner, 2)?,
    ];
    let (clusters, endpoints) = interner.counts();
    let loads = Loads::default().grown(clusters, endpoints);
    let (mailbox, inbox) = Mailbox::new();
    let (waker, reader) = Waker::pair()?;
    let listener = Socket::new(Domain::for_address(bind), Type::STREAM.nonblocking(), None)?;
    listener.set_reuse_address(true)?;
    listener.set_tcp_nodelay(true)?;
    listener.bind(&bind.into())?;
    listener.listen(4096)?;
    let options = KernelOptions {
        listeners: vec![listener.into()],
        waker: reader,
        hello_buffer_count: HELLO_BUFFER_COUNT,
        spin: Duration::ZERO,
    };
    let [first, _] = &tables;
    mailbox.publish(Delivery::new(first.copy(), loads.clone()));
    let worker = thread::spawn(move || match Ring::new(options) {
        Ok(kernel) => {
            serve(kernel, inbox);
            None
        }
        Err(refused) => Some(refused.to_string()),
    });
    // As the gateway's own builder: it never keeps the worker from its CPU.
    process::lower_thread_priority();
    let began = Instant::now();
    let mut turns = tables.iter().cycle();
    while !worker.is_finished() {
        let Some(pause) = Duration::from_secs(1).checked_div(times_per_s) else {
            break;
        };
        if let Some(table) = turns.next() {
            mailbox.publish(Delivery::new(table.copy(), loads.clone()));
            waker.wake();
        }
        // By the clock: what publishing takes does not make it less often.
        let spent = began.elapsed();
        let over = spent.as_nanos() % pause.as_nanos().max(1);
        let over = Duration::from_nanos(u64::try_from(over).unwrap_or(0));
        thread::sleep(pause.saturating_sub(over));
    }
    match worker.join() {
        Ok(Some(refused)) => Err(refused.into()),
        Ok(None) | Err(_) => Err("the worker ended".into()),
    }
}

fn serve<K: Kernel>(kernel: K, inbox: Inbox) {
    let session_count_max = u32::try_from(limits::descriptors() / 2 - 200).unwrap_or(1000);
    let parts = WorkerParts {
        id: 0,
        settings: Settings { session_count_max, ..Settings::default() },
        stats: Arc::new(Stats::default()),
        orders: Arc::new(Orders::default()),
        inbox,
        records: None,
        refusals: None,
        listener_count: 1,
    };
    Worker::new(kernel, parts).run();
}

/// So many services, among them the one that is asked for.
pub(crate) fn routes(route_count: u32, backend: SocketAddr, kind: &str) -> Result<Routes, Failure> {
    let mut routes = Routes::default();
    let target = routes.add_cluster(Cluster::new(SERVER_NAME, vec![Endpoint::new(backend)]));
    routes.add_route(Pattern::parse(SERVER_NAME)?, target);
    for number in 1..route_count {
        let name = format!("service-{number}-{kind}.default.dc1.internal.example.com");
        let cluster = Cluster::new(&name, vec![Endpoint::new(backend)]);
        let target = routes.add_cluster(cluster);
        routes.add_route(Pattern::parse(&name)?, target);
    }
    Ok(routes)
}
