//! What one gateway costs Consul, beside what an Envoy gateway in its place would.
//!
//! `SLUICE_COST=100,1000,5000` measures with so many services, and prints what it finds; by default
//! there are few, and only the bounds are looked at. CPU is that of the agent and of the server,
//! which are processes of their own, less what they take without anybody.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use sluice::consul::agent::{AgentFlags, Client, Limits};
use tokio::task::LocalSet;

use crate::support::ads::Ads;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::client;
use crate::support::http::{Endpoint, ask};
use crate::support::program::{Launch, Program};
use crate::support::scene::server_name;
use crate::support::until;

/// Checks that change in a second.
const CHANGES_PER_SECOND: u32 = 20;
/// Services of a node.
const PER_NODE: usize = 50;
/// Connections that one gateway may have to its agent.
const CONNECTIONS_MAX: usize = 8;
/// More of a core than an Envoy gateway that one may cost, of agent and server together.
const MORE_THAN_ENVOY_MAX: f64 = 0.02;
/// A check that turns critical is known to the gateway within this time.
const VISIBLE_WITHIN: Duration = Duration::from_secs(1);

/// A server, an agent beside the gateways, and a catalog that changes all the time.
struct Lab {
    count: usize,
    server: Datacenter,
    agent: Datacenter,
    stop: Arc<AtomicBool>,
    changes: Option<JoinHandle<()>>,
}

impl Lab {
    fn start(count: usize) -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let server = Plan::new("dc1").start();
        let limits = json!({ "http_max_conns_per_client": 10_000 });
        let agent = Plan::new("dc1").client_of(&server, "edge").with("limits", limits).start();
        for number in 0..count {
            for body in definitions(number) {
                server.put("/v1/catalog/register", &body);
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (at, is_over) = (Endpoint::Tcp(server.host()), Arc::clone(&stop));
        let changes = thread::spawn(move || change_checks(&at, count, &is_over));
        Self { count, server, agent, stop, changes: Some(changes) }
    }

    /// CPU of agent and server from now on, as shares of a core, over a time.
    fn shares(&self, time: Duration) -> [f64; 2] {
        let pids = [self.agent.pid(), self.server.pid()];
        let (before, began) = (pids.map(cpu), Instant::now());
        thread::sleep(time);
        let after = pids.map(cpu);
        let elapsed = began.elapsed().as_secs_f64();
        [0, 1].map(|which| (after[which] - before[which]).as_secs_f64() / elapsed)
    }

    /// Bytes that the agent has sent from a port, and received from the server.
    fn bytes(&self, port: u16) -> [u64; 2] {
        let agent = self.agent.host();
        let sent = socket_bytes(&format!("src {agent}:{port}"), "bytes_sent:");
        let server = self.server.host();
        let received = socket_bytes(&format!("src {agent} dst {server}:8300"), "bytes_received:");
        [sent, received]
    }

    /// What something costs, which asks the agent at a port.
    fn cost(&self, what: &str, port: u16, idle: [f64; 2], time: Duration) -> [f64; 2] {
        let before = self.bytes(port);
        let shares = self.shares(time);
        let after = self.bytes(port);
        let more = [0, 1].map(|which| shares[which] - idle[which]);
        let per_second = [0, 1].map(|which| {
            after[which].saturating_sub(before[which]) as f64 / time.as_secs_f64() / 1000.0
        });
        println!(
            "figure: {} services, {what}: agent {:.1} %, server {:.1} % of a core more; {:.0} kB/s \
             from the agent, {:.0} kB/s from the server to it",
            self.count,
            more[0] * 100.0,
            more[1] * 100.0,
            per_second[0],
            per_second[1],
        );
        more
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(changes) = self.changes.take() {
            let _ = changes.join();
        }
    }
}

fn node(number: usize) -> Value {
    json!({ "Node": format!("node-{}", number / PER_NODE), "Address": "127.0.0.9" })
}

/// A service and its sidecar, each with a check.
fn definitions(number: usize) -> [Value; 2] {
    let name = format!("service-{number}");
    let with = |service: Value| {
        let mut body = node(number);
        let id = service["ID"].as_str().unwrap().to_owned();
        body["Check"] = check(&id, "passing");
        body["Service"] = service;
        body
    };
    let service = json!({ "ID": name, "Service": name, "Port": 9000, "Tags": ["v1"] });
    let sidecar = json!({
        "Kind": "connect-proxy", "ID": format!("{name}-proxy"),
        "Service": format!("{name}-sidecar-proxy"), "Port": 21_000,
        "Proxy": { "DestinationServiceName": name, "DestinationServiceID": name },
    });
    [with(service), with(sidecar)]
}

fn check(id: &str, status: &str) -> Value {
    json!({ "CheckID": format!("check:{id}"), "Name": "alive", "ServiceID": id, "Status": status })
}

/// Sets the check of a sidecar.
fn set(at: &Endpoint, number: usize, status: &str) {
    let mut body = node(number);
    body["SkipNodeUpdate"] = true.into();
    body["Check"] = check(&format!("service-{number}-proxy"), status);
    ask(at, "PUT", "/v1/catalog/register", None, &body.to_string());
}

/// Checks of sidecars one after the other, but for the first.
fn change_checks(at: &Endpoint, count: usize, stop: &AtomicBool) {
    let (pace, mut due) = (Duration::from_secs(1) / CHANGES_PER_SECOND, Instant::now());
    for number in 1_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let round = number / (count - 1);
        let status = if round.is_multiple_of(2) { "critical" } else { "passing" };
        set(at, 1 + number % (count - 1), status);
        due += pace;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// CPU time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // utime and stime, the 14th and 15th, in hundredths of a second (proc(5)).
    let ticks = fields.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// A counter of the TCP connections that a filter finds, summed.
fn socket_bytes(filter: &str, counter: &str) -> u64 {
    let output = Command::new("ss").args(["-tinH"]).args(filter.split(' ')).output();
    let text = String::from_utf8(output.expect("ss (iproute2)").stdout).unwrap();
    let counts =
        text.split_whitespace().filter_map(|word| word.strip_prefix(counter)?.parse::<u64>().ok());
    counts.sum::<u64>()
}

/// The connections to an address that stand.
fn connections_to(at: SocketAddr) -> usize {
    let filter = format!("state established dst {at}");
    let output = Command::new("ss").arg("-tnH").args(filter.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}

fn gateway(lab: &Lab, id: &str) -> Program {
    let mut gateway = Launch::registered("epoll", &lab.agent.url(), id).start();
    gateway.wait_ready();
    gateway
}

/// How long the gateway takes to see that an endpoint is critical.
fn visible_after(lab: &Lab, gateway: &Program, name: &str) -> Duration {
    let is = |healthy: bool| {
        until("the gateway sees it", || {
            let answer: Value =
                serde_json::from_str(&gateway.page("GET", &format!("/routes?sni={name}"))).unwrap();
            (answer["endpoints"][0]["healthy"] == healthy).then_some(())
        });
    };
    let at = Endpoint::Tcp(lab.server.host());
    set(&at, 0, "passing");
    is(true);
    let changed = Instant::now();
    set(&at, 0, "critical");
    is(false);
    changed.elapsed()
}

/// One poll for each service, as `?cached` has it.
fn poll_each(lab: &Lab, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (client, count) = (client(&lab.agent, AgentFlags::default()), lab.count);
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            for number in 0..count {
                tokio::task::spawn_local(poll(client.clone(), number));
            }
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    })
}

async fn poll(client: Client, number: usize) {
    let path = format!("/v1/health/connect/service-{number}");
    let limits = Limits { bytes_max: 1 << 20, timeout: Duration::from_secs(60) };
    let mut index = String::from("1");
    loop {
        let query = [("cached", ""), ("index", index.as_str()), ("wait", "30s")];
        match client.get(&path, &query, limits).await {
            Ok(answer) => index = answer.index.unwrap_or(1).to_string(),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// The stream of an Envoy gateway that is registered like ours.
fn stream(lab: &Lab, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    lab.agent.register(&json!({
        "Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": "envoy", "Port": 8443,
    }));
    let mut ads = Ads::of(&lab.agent, "envoy", "mesh-gateway", None).unwrap();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            ads.next(Duration::from_millis(200)).unwrap();
        }
    })
}

/// Runs something beside while it is measured.
fn beside<T>(
    begin: impl FnOnce(&Arc<AtomicBool>) -> JoinHandle<()>,
    work: impl FnOnce() -> T,
) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let running = begin(&stop);
    // The first answers are of everything.
    thread::sleep(Duration::from_secs(8));
    let done = work();
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    done
}

#[test]
fn a_gateway_costs_consul_little_more_than_an_envoy_would() {
    let Ok(counts) = std::env::var("SLUICE_COST") else { return bounds_of_few_services() };
    let (time, mut outcomes) = (Duration::from_secs(30), Vec::new());
    for count in counts.split(',').map(|count| count.parse().unwrap()) {
        let lab = Lab::start(count);
        thread::sleep(Duration::from_secs(5));
        let idle = lab.shares(time);
        println!("figure: {count} services, idle: {:.1?} %", idle.map(|share| share * 100.0));
        let ours = gateway(&lab, "sluice");
        thread::sleep(Duration::from_secs(8));
        let more = lab.cost("sluice", 8500, idle, time);
        let name = server_name(&lab.server, "service-0");
        let mut seen: Vec<Duration> = (0..10).map(|_| visible_after(&lab, &ours, &name)).collect();
        seen.sort_unstable();
        println!("figure: {count} services, a critical check is seen after {seen:.0?}");
        drop(ours);
        if count <= 1000 {
            let polls = || lab.cost("a cached poll each", 8500, idle, time);
            beside(|stop| poll_each(&lab, stop), polls);
        }
        let envoys = || lab.cost("one ADS stream", 8502, idle, time);
        let envoy = beside(|stop| stream(&lab, stop), envoys);
        let [ours, envoys] = [more, envoy].map(|shares| shares.iter().sum::<f64>());
        println!(
            "figure: {count} services, in all {:.1} %, and Envoy {:.1} %",
            ours * 100.0,
            envoys * 100.0
        );
        let is_within = ours <= envoys + MORE_THAN_ENVOY_MAX;
        let is_seen = seen.iter().all(|time| *time < VISIBLE_WITHIN);
        outcomes.push((count, is_within, is_seen));
    }
    // After all of them: each figure is worth having.
    for (count, is_within, is_seen) in outcomes {
        assert!(is_within, "with {count} services it costs more than an Envoy gateway would");
        assert!(is_seen, "with {count} services a critical check is seen too late");
    }
}

fn bounds_of_few_services() {
    let lab = Lab::start(60);
    let agent = SocketAddr::from((lab.agent.host(), 8500));
    let before = connections_to(agent);
    // While the agent stands still, each question that is asked keeps its connection.
    lab.agent.pause();
    let ids = ["one", "two", "three"];
    let mut gateways = ids.map(|id| Launch::registered("epoll", &lab.agent.url(), id).start());
    let at_most = gateways.len() * CONNECTIONS_MAX;
    let bounded = || {
        let count = connections_to(agent) - before;
        assert!(count <= at_most, "{count} connections");
        count
    };
    until("all ask all that they may", || (bounded() == at_most).then_some(()));
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(50));
        bounded();
    }
    lab.agent.resume();
    let is_ready = |gateway: &Program| gateway.readiness() == Some(200);
    until("they are ready", || {
        bounded();
        gateways.iter().all(is_ready).then_some(())
    });
    gateways.iter_mut().for_each(Program::wait_ready);
    let name = server_name(&lab.server, "service-0");
    for gateway in &gateways {
        gateway.wait_routed(&name, true);
        let seen = visible_after(&lab, gateway, &name);
        assert!(seen < VISIBLE_WITHIN, "{seen:?}");
    }
    println!("figure: {} connections of {} gateways", bounded(), gateways.len());
}
