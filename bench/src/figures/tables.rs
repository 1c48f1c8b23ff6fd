//! What routing tables cost: 10,000 services of three instances.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sluice::route::{
    Cluster, Delivery, Endpoint, Interner, Loads, Mailbox, Pattern, Routes, RoutingTable,
};

use super::{Measured, figure};

const SERVICES: u32 = 10_000;
const INSTANCES: u16 = 3;
const BUILDS: u64 = 9;
const ADOPTIONS: u64 = 1000;

pub(super) fn measure() -> Measured {
    let routes = routes()?;
    let mut interner = Interner::default();
    let (mut builds, mut copies) = (Vec::new(), Vec::new());
    let mut table = RoutingTable::empty();
    for version in 1..=BUILDS {
        let began = Instant::now();
        table = RoutingTable::build(&routes, &mut interner, version)?;
        builds.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        let copy = table.copy();
        copies.push(began.elapsed().as_secs_f64() * 1e3);
        drop(copy);
    }
    let (clusters, endpoints) = interner.counts();
    let loads = Loads::default().grown(clusters, endpoints);
    let slowest = slowest_adoption(&table, &loads);
    let mib = table.size_bytes() as f64 / 1_048_576.0;
    Ok(vec![
        figure("figure-build", "build a table of 10,000 services of 3 instances", "ms", builds),
        figure("figure-copy", "copy it for a worker", "ms", copies),
        figure("figure-adopt", "adopt it, thread CPU, slowest of 1000", "µs", vec![slowest]),
        figure("figure-table", "the table", "MiB", vec![mib]),
    ])
}

/// Microseconds of the worker's CPU.
fn slowest_adoption(table: &RoutingTable, loads: &Loads) -> f64 {
    let (mailbox, mut inbox) = Mailbox::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..ADOPTIONS {
        mailbox.publish(Delivery::new(table.copy(), loads.clone()));
        let before = thread_cpu();
        inbox.adopt();
        slowest = slowest.max(thread_cpu().saturating_sub(before));
    }
    slowest.as_secs_f64() * 1e6
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn routes() -> Result<Routes, Box<dyn std::error::Error>> {
    let mut routes = Routes::default();
    for number in 0..SERVICES {
        let name = service_name(number);
        let endpoints = addresses(number).map(Endpoint::new).collect();
        let target = routes.add_cluster(Cluster::new(&name, endpoints));
        routes.add_route(Pattern::parse(&name)?, target);
    }
    Ok(routes)
}

/// A server name as Consul's sidecars send it.
pub(super) fn service_name(number: u32) -> String {
    let trust_domain = "5a1ce000-da7a-4a7e-9a7e-0123456789ab.consul";
    format!("service-{number}.default.dc1.internal.{trust_domain}")
}

fn addresses(number: u32) -> impl Iterator<Item = SocketAddr> {
    let host = Ipv4Addr::from(0x0a00_0000 | number);
    (0..INSTANCES).map(move |instance| SocketAddr::from((host, 20_000 + instance)))
}

/// The same services as a routes file.
pub(super) fn routes_file() -> String {
    let mut text = String::new();
    for number in 0..SERVICES {
        let endpoints: Vec<String> = addresses(number).map(|a| format!("\"{a}\"")).collect();
        let (name, endpoints) = (service_name(number), endpoints.join(", "));
        text.push_str(&format!("[[route]]\nsni = \"{name}\"\nendpoints = [{endpoints}]\n"));
    }
    text
}
