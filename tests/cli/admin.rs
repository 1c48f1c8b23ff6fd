//! The admin HTTP server: what it tells, what it takes orders for, and what it refuses.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::*;

/// What was answered: status, head, body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn ask(admin: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    exchange(admin, &format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\n{headers}\r\n"))
}

fn exchange(admin: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // At once: what is malformed is answered as soon as it is seen.
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn get(gateway: &Gateway, path: &str) -> Answer {
    ask(gateway.admin, "GET", path, "")
}

fn order(gateway: &Gateway, path: &str) -> Answer {
    ask(gateway.admin, "POST", path, "")
}

/// What the reference parser makes of a page: series and values.
const PARSE: &str = r"
import json, sys
try:
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics_parser
except ImportError:
    sys.exit(2)
page = sys.stdin.read()
strict = sys.argv[1] == 'openmetrics'
parse = (openmetrics_parser if strict else parser).text_string_to_metric_families
told = {}
for family in parse(page):
    for sample in family.samples:
        labels = ','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))
        # It gives every counter the ending that Envoy's have not.
        is_there = f'\n{sample.name}' in page
        name = sample.name if is_there else sample.name.removesuffix('_total')
        told[f'{name}[{labels}]'] = sample.value
print(json.dumps(told))
";

fn parse(page: &str, format: &str) -> BTreeMap<String, f64> {
    // The package is the system's; the first in the path may be another.
    let parsed = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-c", PARSE, format]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = command.spawn().unwrap();
        // One that lacks the parser does not read.
        let _ = python.stdin.take().unwrap().write_all(page.as_bytes());
        python.wait_with_output().unwrap()
    };
    let outputs = ["python3", "/usr/bin/python3"].iter().map(|python| parsed(python));
    let output = outputs.into_iter().find(|output| output.status.code() != Some(2));
    let missing = "python3-prometheus-client is missing: scripts/test installs it";
    let output = output.unwrap_or_else(|| panic!("{missing}"));
    assert!(output.status.success(), "the parser does not take\n{page}");
    let told: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    told.into_iter().filter_map(|(series, value)| Some((series, value.as_f64()?))).collect()
}

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

#[test]
fn metrics_are_what_the_reference_parser_takes_and_tell_what_happened() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &route_to(backend()), &["--workers", "2"]);
    let hello_bytes = hello(NAME).len() as f64;
    let mut long = Session::open(gateway.address);
    long.echo(&vec![7; 300_000]);
    for _ in 0..3 {
        Session::open(gateway.address).echo(b"short");
    }
    let mut stranger = TcpStream::connect(gateway.address).unwrap();
    stranger.write_all(&hello("nobody.example")).unwrap();
    stranger.read_to_end(&mut Vec::new()).unwrap();
    let told = |accept: &str, format: &str| {
        let answer = ask(gateway.admin, "GET", "/metrics", accept);
        assert_eq!(answer.status, 200);
        let content_type = if format == "text" { "text/plain" } else { "application/openmetrics" };
        assert!(answer.head.contains(content_type), "{}", answer.head);
        parse(&answer.body, format)
    };
    until("three sessions have ended", || {
        told("", "text").get("sluice_session_seconds_count[]") == Some(&3.0)
    });
    for (accept, format) in [("", "text"), (OPEN_METRICS, "openmetrics")] {
        let told = told(accept, format);
        let value = |series: &str| told.get(series).copied();
        assert_eq!(value("sluice_sessions_routed_total[]"), Some(4.0), "{told:?}");
        assert_eq!(value("sluice_hello_seconds_count[]"), Some(5.0));
        assert_eq!(value("sluice_dial_seconds_count[]"), Some(4.0));
        assert_eq!(value("sluice_refusals_total[reason=unknown_name]"), Some(1.0));
        assert_eq!(value("sluice_refusals_total[reason=no_endpoints]"), Some(0.0));
        assert_eq!(value("sluice_ready[]"), Some(1.0));
        assert_eq!(value("sluice_table_endpoints[state=healthy]"), Some(1.0));
        assert_eq!(value(&format!("sluice_cluster_sessions[cluster={NAME}]")), Some(1.0));
        assert_eq!(value(&format!("sluice_cluster_dials_total[cluster={NAME}]")), Some(4.0));
        let up = |family: &str, labels: &str| value(&format!("{family}[{labels}direction=up]"));
        let relayed = up("sluice_relayed_bytes_total", "").unwrap();
        assert_eq!(relayed, 4.0 * hello_bytes + 300_000.0 + 15.0);
        // The long session is still there: all but less than a step of it is told.
        let labels = format!("cluster={NAME},");
        let of_cluster = up("sluice_cluster_relayed_bytes_total", &labels).unwrap();
        assert!(relayed - of_cluster < 65_536.0 && of_cluster > 262_144.0, "{of_cluster}");
        let moved: f64 = ["copy", "splice", "peek"]
            .iter()
            .map(|by| value(&format!("sluice_moved_bytes_total[by={by}]")).unwrap())
            .sum();
        let down = value("sluice_relayed_bytes_total[direction=down]").unwrap();
        assert_eq!(moved, relayed + down);
        assert!(value("process_resident_memory_bytes[]").unwrap() > 1e6);
        assert!(value("process_open_fds[]").unwrap() > 5.0);
    }
    drop(long);
    let whole = 4.0 * hello_bytes + 300_015.0;
    let series = format!("sluice_cluster_relayed_bytes_total[cluster={NAME},direction=up]");
    until("all bytes are told", || told("", "text").get(&series) == Some(&whole));
}

#[test]
fn envoys_statistics_are_there_under_its_names() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &route_to(backend()), &["--metrics-clusters", "5"]);
    let before = parse(&get(&gateway, "/stats/prometheus").body, "text");
    let local = "local_cluster=sluice";
    let of_cluster = |family: &str| format!("{family}[envoy_cluster_name={NAME},{local}]");
    assert_eq!(before.get(&of_cluster("envoy_cluster_upstream_cx_total")), None, "no traffic yet");
    Session::open(gateway.address).echo(b"hello");
    TcpStream::connect(gateway.address).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let told = || parse(&get(&gateway, "/stats/prometheus").body, "text");
    let address = gateway.address.to_string().replace(':', "_");
    let of_listener =
        |family: &str| format!("envoy_listener_{family}[envoy_listener_address={address},{local}]");
    let unmatched = of_listener("no_filter_chain_match");
    until("what is no TLS was refused", || told().get(&unmatched) == Some(&1.0));
    until("the sessions have ended", || told()[&of_listener("downstream_cx_active")] == 0.0);
    let told = told();
    for (series, value) in [
        (of_cluster("envoy_cluster_upstream_cx_total"), 1.0),
        (of_cluster("envoy_cluster_upstream_cx_active"), 0.0),
        (of_cluster("envoy_cluster_upstream_cx_connect_fail"), 0.0),
        (of_cluster("envoy_cluster_upstream_cx_connect_timeout"), 0.0),
        (of_cluster("envoy_cluster_upstream_cx_rx_bytes_total"), 5.0),
        (of_cluster("envoy_cluster_upstream_cx_tx_bytes_total"), 5.0 + hello(NAME).len() as f64),
        (of_cluster("envoy_cluster_membership_total"), 1.0),
        (of_cluster("envoy_cluster_membership_healthy"), 1.0),
        (of_listener("downstream_cx_total"), 2.0),
        (format!("envoy_tls_inspector_tls_found[{local}]"), 1.0),
        (format!("envoy_tls_inspector_tls_not_found[{local}]"), 1.0),
        (format!("envoy_server_live[{local}]"), 1.0),
        (format!("envoy_server_state[{local}]"), 0.0),
        (format!("envoy_server_total_connections[{local}]"), 0.0),
    ] {
        assert_eq!(told.get(&series), Some(&value), "{series} in {told:?}");
    }
    let text = get(&gateway, "/stats?format=text&filter=upstream_cx_total").body;
    assert_eq!(text, format!("cluster.{NAME}.upstream_cx_total: 1\n"));
    assert_eq!(get(&gateway, "/stats?usedonly&filter=cx_connect_fail").body, "");
    assert_eq!(order(&gateway, "/reset_counters").body, "OK\n");
    let text = get(&gateway, "/stats?filter=upstream_cx_total").body;
    assert_eq!(text, format!("cluster.{NAME}.upstream_cx_total: 0\n"));
    // Ours go on, and have their own shape.
    assert_eq!(gateway.get("/stats").unwrap().1["totals"]["routed"], 1);
}

#[test]
fn what_there_is_has_the_shapes_that_tools_read() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    let json = |path: &str| gateway.get(path).unwrap().1;
    let clusters = json("/clusters?format=json");
    let host = &clusters["cluster_statuses"][0]["host_statuses"][0];
    assert_eq!(clusters["cluster_statuses"][0]["name"], NAME);
    assert_eq!(host["health_status"]["eds_health_status"], "HEALTHY");
    let text = get(&gateway, "/clusters").body;
    assert!(text.contains("web.example::127.0.0.1:9::health_flags::healthy\n"), "{text}");
    let listeners = json("/listeners?format=json");
    let local = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    assert_eq!(local["port_value"], gateway.address.port());
    assert_eq!(get(&gateway, "/listeners").body, format!("{0}::{0}\n", gateway.address));
    assert_eq!(json("/server_info")["state"], "LIVE");
    let memory = json("/memory");
    assert!(memory["allocated"].as_str().unwrap().parse::<u64>().unwrap() > 100_000);
    assert_eq!(get(&gateway, "/live").body, "live\n");
    let config = json("/config");
    assert_eq!(config["admin_bind"], serde_json::json!(["127.0.0.1:0"]));
    assert!(config["routes"]["file"].as_str().unwrap().ends_with("routes.toml"));
}

const ORDERS: [&str; 8] = [
    "/drain",
    "/routes/accept",
    "/logging?level=debug",
    "/drain_listeners",
    "/healthcheck/fail",
    "/healthcheck/ok",
    "/quitquitquit",
    "/reset_counters",
];

#[test]
fn what_cannot_be_met_is_refused_with_one_sentence_and_changes_nothing() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    let refused = |method: &str, path: &str, headers: &str, status: u16, word: &str| {
        let answer = ask(gateway.admin, method, path, headers);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.body.contains(word), "{method} {path}: {}", answer.body);
        assert_eq!(answer.body.trim_end().lines().count(), 1, "{}", answer.body);
        answer
    };
    for path in ORDERS {
        let answer = refused("GET", path, "", 405, "only POST");
        assert!(answer.head.contains("allow: post"), "{}", answer.head);
        refused("POST", path, "Origin: http://evil.example\r\n", 403, "evil.example");
        refused("POST", path, "Origin: null\r\n", 403, "null");
    }
    for path in ["/ready", "/metrics", "/stats", "/clusters", "/config"] {
        refused("POST", path, "", 405, "only GET");
        refused("DELETE", path, "", 405, "only GET");
    }
    refused("GET", "/nowhere", "", 404, "/nowhere");
    refused("GET", "/stats?filter=(", "", 400, "no regular expression");
    refused("GET", "/stats?format=xml", "", 400, "text, json or prometheus");
    refused("GET", "/stats/prometheus?filter=*", "", 400, "no regular expression");
    refused("GET", "/clusters?format=yaml", "", 400, "text or json");
    refused("GET", "/listeners?format=", "", 400, "text or json");
    refused("GET", "/stats?format=json&format=text", "", 400, "format");
    refused("POST", "/logging?level=loud", "", 400, "trace, debug, info");
    assert_eq!(gateway.ready(), Some(200));
    refused("GET", "/config_dump?mask=x", "", 400, "all is told");
    // Of these no request can be read.
    let long = format!("X: {}\r\n", "x".repeat(100_000));
    refused("GET /x", "y", "", 400, "HTTP/1.1 without TLS");
    refused("\x16\x03\x01", "/", "", 400, "HTTP/1.1 without TLS");
    refused("PRI", "* HTTP/2.0\r\n\r\nSM\r\n\r\n", "", 400, "HTTP/1.1 without TLS");
    refused("GET", "/ready", "no header\r\n", 400, "HTTP/1.1 without TLS");
    refused("GET", "/ready", &long, 431, "send fewer");
    refused("GET", "/ready", &"X: y\r\n".repeat(100), 431, "100 headers");
    refused("GET", &format!("/{}", "x".repeat(70_000)), "", 431, "send fewer");
    let answer = ask(gateway.admin, "GET", "/ready", &"X: y\r\n".repeat(99));
    assert_eq!((answer.status, &*answer.body), (200, "ready\n"));
    // A name that a stranger's page has let lead here.
    let request = "POST /quitquitquit HTTP/1.1\r\nHost: evil.example\r\n\
                   Origin: http://evil.example\r\n\r\n";
    assert_eq!(exchange(gateway.admin, request).status, 403);
    assert_eq!(gateway.ready(), Some(200));
    // From its own pages, orders are taken.
    let origin = format!("Origin: http://{}\r\n", gateway.admin);
    assert_eq!(ask(gateway.admin, "POST", "/reset_counters", &origin).status, 200);
}

#[test]
fn the_health_check_fails_and_passes_when_told_to_and_sessions_never_notice() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &route_to(backend()), &[]);
    assert_eq!(order(&gateway, "/healthcheck/fail").body, "OK\n");
    assert_eq!(get(&gateway, "/ready").status, 503);
    assert_eq!(gateway.get("/server_info").unwrap().1["state"], "DRAINING");
    Session::open(gateway.address).echo(b"still accepted");
    assert_eq!(order(&gateway, "/healthcheck/ok").body, "OK\n");
    assert_eq!(gateway.ready(), Some(200));
}

#[test]
fn the_log_level_changes_while_it_runs() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, ROUTE, &[]);
    assert_eq!(order(&gateway, "/logging").body, "active loggers:\n  sluice: info\n");
    order(&gateway, "/healthcheck/fail");
    gateway.wait_for_line("told to fail its health check");
    assert_eq!(order(&gateway, "/logging?level=warning").body, "active loggers:\n  sluice: warn\n");
    order(&gateway, "/healthcheck/ok");
    order(&gateway, "/logging?level=info");
    gateway.wait_for_line("another level");
    let passed = gateway.passed.join("\n");
    assert!(!passed.contains("told to pass its health check"), "{passed}");
}

#[test]
fn drained_listeners_leave_sessions_and_the_process_alone_until_it_is_told_to_quit() {
    let folder = Folder::new();
    let flags = ["--drain-timeout", "1ms", "--drain-spread", "0"];
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    let mut session = Session::open(gateway.address);
    session.echo(b"before");
    assert_eq!(order(&gateway, "/drain_listeners").body, "OK\n");
    until("the listeners are closed", || TcpStream::connect(gateway.address).is_err());
    assert_eq!(get(&gateway, "/ready").status, 503);
    session.echo(b"and after");
    drop(session);
    let sessions =
        |gateway: &Gateway| gateway.get("/stats").unwrap().1["totals"]["sessions"].clone();
    until("the session has ended", || sessions(&gateway) == 0);
    assert_eq!(get(&gateway, "/live").status, 200);
    assert!(gateway.child.try_wait().unwrap().is_none(), "it waits to be told");
    assert_eq!(order(&gateway, "/quitquitquit").body, "OK\n");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_graceful_drain_accepts_while_those_who_route_here_learn_of_it() {
    let folder = Folder::new();
    let flags = ["--drain-delay", "1h"];
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    assert_eq!(order(&gateway, "/drain_listeners?graceful").body, "OK\n");
    assert_eq!(get(&gateway, "/ready").status, 503);
    Session::open(gateway.address).echo(b"still accepted");
    // Whoever cannot wait says so.
    order(&gateway, "/drain_listeners");
    until("the listeners are closed", || TcpStream::connect(gateway.address).is_err());
    order(&gateway, "/quitquitquit");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn quitting_closes_sessions_at_once() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &[]);
    let mut session = Session::open(gateway.address);
    session.echo(b"alive");
    assert_eq!(order(&gateway, "/quitquitquit").body, "OK\n");
    assert!(session.is_closed());
    assert_eq!(gateway.wait().code(), Some(0));
}

/// An agent that refuses everything, and repeats the token that it was shown.
pub fn indiscreet_agent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = vec![0; 8192];
            let count = connection.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).to_lowercase();
            let shown = request.lines().find_map(|line| line.strip_prefix("x-consul-token: "));
            let body = format!("ACL not found: {}", shown.unwrap_or("nothing shown").trim());
            let length = body.len();
            let _ = write!(
                connection,
                "HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n\
                 {body}"
            );
        }
    });
    address
}

#[test]
fn no_page_shows_a_token_wherever_it_came_from() {
    const TOKEN: &str = "5ec2e7ed-0000-4000-8000-00000000c0de";
    let folder = Folder::new();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let file = as_text(&file);
    let agent = indiscreet_agent().to_string();
    let by_flag = ["--token", TOKEN];
    let by_file = ["--token-file", &file];
    for (flags, variable) in [(&by_flag[..], ""), (&by_file[..], ""), (&[][..], TOKEN)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.env("CONSUL_HTTP_TOKEN", variable);
        let run = ["run", "--register", "--bind", "127.0.0.1:0", "--http-addr", &agent];
        let gateway = Gateway::start_as(command, &[&run[..], flags].concat());
        until("the agent has refused", || {
            let page = get(&gateway, "/metrics").body;
            page.contains("sluice_consul_part_failing_info{") && page.contains("(hidden)")
        });
        for path in [
            "/config",
            "/stats",
            "/stats?format=text",
            "/stats/prometheus",
            "/metrics",
            "/routes",
            "/clusters",
            "/server_info",
            "/listeners",
            "/memory",
            "/config_dump?include_eds",
            "/sessions",
            "/refusals",
            "/events",
            "/dashboard.json",
            "/dashboard/routes",
            "/",
        ] {
            let answer = get(&gateway, path);
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.body.contains("5ec2e7ed"), "{path}: {}", answer.body);
        }
        let config = gateway.get("/config").unwrap().1;
        assert_ne!(config["routes"]["consul"]["agent"]["token"], "none");
    }
}
