//! Whatever is asked of the admin server, and however, sessions do not notice.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::gateway::{Gateway, Plan, routes_text};
use crate::support::idle::{Keeper, raise_descriptor_limit};
use crate::support::{Engine, SOON, Scale};

on_both_engines!(
    alone: sessions_are_listed_whole_and_hold_up_none,
    slow_and_malformed_requests_hold_up_no_session,
);

const NAME: &str = "a.example";
const CARRIED_BYTES: usize = 4096;

/// A gateway with so many idle sessions, and one on which bytes go to and fro.
struct Scene {
    gateway: Gateway,
    pair: Pair,
    _idle: Vec<(TcpStream, TcpStream)>,
}

impl Scene {
    fn start(engine: Engine, idle_count: usize) -> Self {
        raise_descriptor_limit();
        let keeper = Keeper::start(CARRIED_BYTES);
        let routes = routes_text(&[(NAME, keeper.address)]);
        let plan = Plan::new(engine, routes).flag("--workers", "1").flag("--pipes", "32");
        let gateway = plan.start();
        let names = [NAME.to_owned()];
        let mut idle = keeper.sessions(&gateway, &names, idle_count + 1, CARRIED_BYTES);
        let (client, backend) = idle.pop().unwrap();
        client.set_nodelay(true).unwrap();
        backend.set_nodelay(true).unwrap();
        Self { gateway, pair: Pair { client, backend }, _idle: idle }
    }
}

/// Both ends of a session.
struct Pair {
    client: TcpStream,
    backend: TcpStream,
}

impl Pair {
    /// How long it takes there and back, sorted, until `ends` says so.
    fn round_trips(&mut self, mut ends: impl FnMut(usize) -> bool) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut byte = [7];
        while !ends(times.len()) {
            let began = Instant::now();
            self.client.write_all(&byte).unwrap();
            self.backend.read_exact(&mut byte).unwrap();
            self.backend.write_all(&byte).unwrap();
            self.client.read_exact(&mut byte).unwrap();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times
    }
}

fn quantile(times: &[Duration], thousandths: usize) -> Duration {
    times[(times.len() - 1) * thousandths / 1000]
}

/// The answer to a request; as much of it as came.
fn ask(gateway: &Gateway, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.admin).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // It may be reset for what of the request was not read.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn page(gateway: &Gateway, path: &str) -> Value {
    let answer = ask(gateway, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serde_json::from_str(body).unwrap()
}

/// Lists all sessions, a page after the other.
fn list(gateway: &Gateway) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut from = String::new();
    loop {
        let page = page(gateway, &format!("/sessions?limit=1000{from}"));
        for session in page["sessions"].as_array().unwrap() {
            assert_eq!((&session["stands"], &session["sni"]), (&"relaying".into(), &NAME.into()));
            let id = session["id"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "twice: {session}");
        }
        match page["next"].as_str() {
            Some(next) => from = format!("&from={next}"),
            None => return ids,
        }
    }
}

fn sessions_are_listed_whole_and_hold_up_none(engine: Engine) {
    let count = Scale::asked().pick(3_000, 9_000);
    let Scene { gateway, mut pair, _idle } = Scene::start(engine, count);
    let quiet = pair.round_trips(|count| count >= 3000);
    let (is_over, listed_us) = (AtomicBool::new(false), AtomicU64::new(0));
    let busy = std::thread::scope(|scope| {
        let lists = scope.spawn(|| {
            for _ in 0..5 {
                let began = Instant::now();
                let ids = list(&gateway);
                assert_eq!(ids.len(), count + 1);
                listed_us.store(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let times = pair.round_trips(|_| is_over.load(Ordering::Relaxed) || lists.is_finished());
        lists.join().unwrap();
        times
    });
    let of = |times: &[Duration]| [500, 990, 999].map(|part| quantile(times, part));
    println!(
        "figure: {}: {count} sessions listed in {} ms; round trips {:?} without, {:?} meanwhile",
        engine.name(),
        listed_us.load(Ordering::Relaxed) / 1000,
        of(&quiet),
        of(&busy),
    );
    // All slots in one turn would be milliseconds; the machine itself is late now and then.
    let bound = quantile(&quiet, 990) * 3 + Duration::from_millis(1);
    assert!(quantile(&busy, 990) < bound, "{:?} against {:?}", of(&busy), of(&quiet));
}

fn slow_and_malformed_requests_hold_up_no_session(engine: Engine) {
    let count = Scale::asked().pick(2_000, 10_000);
    let Scene { gateway, mut pair, _idle } = Scene::start(engine, 200);
    let quiet = pair.round_trips(|count| count >= 3000);
    let is_over = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            // They ask for something long, and do not read; and send one byte in all the time.
            let slow: Vec<TcpStream> = (0..24)
                .map(|number| {
                    let mut stream = TcpStream::connect(gateway.admin).unwrap();
                    let request = "GET /sessions?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n";
                    let request = if number % 2 == 0 { request } else { "G" };
                    stream.write_all(request.as_bytes()).unwrap();
                    stream
                })
                .collect();
            endless_body(&gateway);
            for number in 0..count {
                let (request, status) = REQUESTS[number % REQUESTS.len()];
                let answer = ask(&gateway, request);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
            }
            drop(slow);
            is_over.store(true, Ordering::Relaxed);
        });
        let times = pair.round_trips(|_| is_over.load(Ordering::Relaxed) || storm.is_finished());
        storm.join().unwrap();
        times
    });
    let of = |times: &[Duration]| [500, 990, 999].map(|part| quantile(times, part));
    println!(
        "figure: {}: {count} requests; round trips {:?} without, {:?} meanwhile",
        engine.name(),
        of(&quiet),
        of(&busy),
    );
    let bound = quantile(&quiet, 990) * 4 + Duration::from_millis(2);
    assert!(quantile(&busy, 990) < bound, "{:?} against {:?}", of(&busy), of(&quiet));
    assert_eq!(gateway.readiness(), Some(200));
}

const REQUESTS: [(&str, u16); 6] = [
    ("GET /stats HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    ("GET /sessions?limit=many HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET /stats?filter=( HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("\0\0\0\0 no HTTP\r\n\r\n", 400),
];

/// Sends a body of a gigabyte, until nobody takes it any more.
fn endless_body(gateway: &Gateway) {
    const BODY_BYTES: usize = 1 << 30;
    let mut stream = TcpStream::connect(gateway.admin).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let head =
        format!("POST /reset_counters HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let part = vec![b'x'; 1 << 16];
    let mut sent_bytes = 0;
    while sent_bytes < BODY_BYTES && stream.write_all(&part).is_ok() {
        sent_bytes += part.len();
    }
    // What two sockets hold, and perhaps what was read before the answer.
    assert!(sent_bytes < 64 << 20, "{sent_bytes} bytes of a body were taken");
}
