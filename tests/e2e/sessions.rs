//! Many sessions of mutual TLS through two chained gateways.

use std::sync::Arc;
use std::time::Instant;

use crate::support::client::Mesh;
use crate::support::gateway::{Baseline, Plan, routes_text};
use crate::support::plan::{self, SessionPlan};
use crate::support::{Engine, Gateway, Scale, certificates::TRUST_DOMAIN};

on_both_engines!(sequential_and_concurrent_sessions_through_two_gateways);

const BACKEND_COUNT: usize = 50;
/// What a gateway may keep after its first thousand sessions: slots, pools, the allocator's own.
const KEPT_BYTES_MAX: u64 = 4 << 20;

/// Two gateways: one for a whole datacenter, which leads to one that knows its services.
struct Chain {
    near: Gateway,
    far: Gateway,
}

fn sequential_and_concurrent_sessions_through_two_gateways(engine: Engine) {
    let scale = Scale::asked();
    let (sequential, concurrent) = scale.pick((150, 100), (10_000, 1000));
    let budget_bytes = scale.pick(256 << 20, 20_u64 << 30);
    let seed = seed();
    println!("figure: SLUICE_E2E_SEED={seed} ({})", engine.name());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mesh = Arc::new(Mesh::start(BACKEND_COUNT).await);
        let chain = Chain::start(engine, &mesh);
        // Pools and tables take their memory on first use: each backend once, large enough for
        // pipes to be lent.
        let warm_up = (0..BACKEND_COUNT as u64)
            .map(|backend| SessionPlan::plain(seed ^ backend, backend as usize, 1 << 20, 1 << 20));
        run(&mesh, &chain, warm_up.collect(), 8).await;
        let baselines = (Baseline::of(&chain.near), Baseline::of(&chain.far));

        let half = budget_bytes / 2;
        let plans = plan::sessions(seed, sequential, BACKEND_COUNT, half);
        run(&mesh, &chain, plans, 1).await;
        let plans = plan::sessions(!seed, concurrent, BACKEND_COUNT, half);
        run(&mesh, &chain, plans, concurrent).await;

        baselines.0.assert_restored(&chain.near, KEPT_BYTES_MAX);
        baselines.1.assert_restored(&chain.far, KEPT_BYTES_MAX);
        for (gateway, name) in [(&chain.near, "near"), (&chain.far, "far")] {
            let stats = gateway.stats();
            assert_eq!(stats.refused_in_all(), 0, "{name}: {stats:#?}");
            let sessions = (sequential + concurrent + BACKEND_COUNT) as u64;
            assert_eq!(stats.get("routed"), sessions, "{name}");
            assert_eq!(stats.get("closed"), sessions, "{name}");
            println!("{name}: {} bytes spliced", stats.get("bytes_spliced"));
        }
    });
}

impl Chain {
    fn start(engine: Engine, mesh: &Mesh) -> Self {
        let services = mesh.services();
        let exact: Vec<_> =
            services.iter().map(|service| (service.name.as_str(), service.address)).collect();
        let far = Plan::new(engine, routes_text(&exact)).start();
        let datacenter = format!("*.dc2.internal.{TRUST_DOMAIN}");
        let near = Plan::new(engine, routes_text(&[(&datacenter, far.address)])).start();
        Self { near, far }
    }
}

/// Runs sessions, so many at once, and panics with what was wrong with any.
async fn run(mesh: &Arc<Mesh>, chain: &Chain, plans: Vec<SessionPlan>, at_once: usize) {
    let began = Instant::now();
    let (count, bytes) =
        (plans.len(), plans.iter().map(|plan| plan.up_bytes + plan.down_bytes).sum::<u64>());
    let permits = Arc::new(tokio::sync::Semaphore::new(at_once));
    let mut tasks = tokio::task::JoinSet::new();
    for plan in plans {
        let permit = permits.clone().acquire_owned().await.unwrap();
        let (mesh, address) = (mesh.clone(), chain.near.address);
        tasks.spawn(async move {
            let outcome = mesh.session(address, plan).await;
            drop(permit);
            outcome
        });
    }
    let outcomes = tasks.join_all().await;
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if !wrong.is_empty() {
        println!("near: {:#?}\nfar: {:#?}", chain.near.stats(), chain.far.stats());
    }
    let shown = wrong.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {count} sessions went wrong:\n{shown}", wrong.len());
    println!("figure: {count} sessions, {at_once} at once, {bytes} bytes: {:?}", began.elapsed());
}

/// `SLUICE_E2E_SEED`, or one from the clock.
fn seed() -> u64 {
    if let Ok(text) = std::env::var("SLUICE_E2E_SEED") {
        return text.parse().expect("SLUICE_E2E_SEED is a number");
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos() as u64
}
