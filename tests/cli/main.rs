//! The real binary: what it says and how it ends, on good input and on bad.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests assert by panicking, also in their helpers"
)]

mod access_log;
mod admin;
mod admin_socket;
mod configuration;
mod diff;
mod doctor;
mod doctor_host;
mod manual;
mod operator;
mod package;
mod passed_listeners;
mod service_manager;
mod support;
mod system;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use support::*;

#[test]
fn what_is_no_command_line_exits_64() {
    for words in [&["--bogus"][..], &[], &["run"], &["run", "--routes", "x"], &["check"]] {
        let output = sluice(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
    }
    for words in [["--help"], ["--version"]] {
        let output = sluice(&words);
        assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn a_wrong_flag_exits_78_and_is_named() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    for (flag, value) in [("--bind", "here"), ("--engine", "kqueue"), ("--idle-timeout", "5")] {
        let bind = ["--bind", "127.0.0.1:0"];
        let bind = if flag == "--bind" { &[][..] } else { &bind };
        let words = [&["run", "--routes", &routes, flag, value][..], bind].concat();
        let output = sluice(&words);
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(flag) && said.contains(value) && said.contains("expected"), "{said}");
    }
    let output = sluice(&["run", "--routes", &routes, "--bind", "127.0.0.1:0", "--cpus", "1023"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_wrong_routes_file_exits_78_and_names_its_lines_before_any_socket_is_bound() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let text = "[[route]]\nsni = \"a..b\"\nendpoints = []\n\n[[route]]\nport = 1\n";
    let routes = folder.routes(text);
    for words in [&["run", "--routes", &routes, "--bind", &bind][..], &["check", &routes]] {
        let output = sluice(words);
        assert_eq!(output.status.code(), Some(78), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for place in [":2:", ":3:", ":6:"] {
            assert!(said.contains(&format!("{routes}{place}")), "{place} in {said}");
        }
        assert!(said.lines().all(|line| line.starts_with("sluice: ")), "{said}");
    }
    let output = sluice(&["run", "--routes", "/nonexistent", "--bind", &bind]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn check_and_routes_say_what_is_in_a_file() {
    let folder = Folder::new();
    let routes = folder.routes(
        "[[route]]\nsni = \"WEB.example\"\nendpoints = [\"127.0.0.1:9\"]\n\
         [[route]]\nsni = \"*.dc2.example\"\nendpoints = [{ address = \"[::1]:8\", weight = 3 }]\n",
    );
    let said = |words: &[&str], code| {
        let output = sluice(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(&["check", &routes], 0).contains("2 routes, 2 endpoints"));
    let table = said(&["routes", "--routes", &routes], 0);
    assert!(table.contains("127.0.0.1:9") && table.contains("[::1]:8 (weight 3)"), "{table}");
    let found = said(&["routes", "--routes", &routes, "a.b.dc2.example"], 0);
    assert!(found.contains("[::1]:8") && found.contains("*.dc2.example"), "{found}");
    let refused = said(&["routes", "--routes", &routes, "dc2.example"], 1);
    assert!(refused.contains("unknown_name"), "{refused}");
}

#[test]
fn a_second_instance_is_refused_and_the_first_is_named() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    let bind = gateway.address.to_string();
    let wildcard = format!("0.0.0.0:{}", gateway.address.port());
    for bind in [bind, wildcard] {
        let output = sluice(&["run", "--routes", &routes, "--bind", &bind]);
        assert_eq!(output.status.code(), Some(79));
        let said = String::from_utf8(output.stderr).unwrap();
        let owner = format!("process {} (sluice)", gateway.child.id());
        assert!(said.contains(&owner) && said.contains("--bind"), "{said}");
    }
    let admin = gateway.admin.to_string();
    let words = ["run", "--routes", &routes, "--bind", "127.0.0.1:0", "--admin-bind", &admin];
    let output = sluice(&words);
    assert_eq!(output.status.code(), Some(79));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--admin-bind"));
    assert_eq!(gateway.ready(), Some(200), "the first goes on");
}

#[test]
fn an_address_of_no_interface_exits_79() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let output = sluice(&["run", "--routes", &routes, "--bind", "192.0.2.1:8443"]);
    assert_eq!(output.status.code(), Some(79));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ip address"));
}

#[test]
fn too_few_descriptors_exit_82_and_say_how_many() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let binary = env!("CARGO_BIN_EXE_sluice");
    let run = format!("ulimit -n 140; exec {binary} run --routes {routes} --bind 127.0.0.1:0");
    let output = Command::new("sh").args(["-c", &run]).output().unwrap();
    assert_eq!(output.status.code(), Some(82));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("140 file descriptors") && said.contains("LimitNOFILE"), "{said}");
}

#[test]
fn a_changed_file_is_taken_and_a_wrong_one_is_not() {
    let folder = Folder::new();
    let route = |port| format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [\"127.0.0.1:{port}\"]\n");
    let mut gateway = Gateway::start(&folder, &route(1), &[]);
    let leads_to = |gateway: &Gateway, port: u16| {
        let expected = Value::from(format!("127.0.0.1:{port}"));
        let (_, found) = gateway.get(&format!("/routes?sni={NAME}")).unwrap();
        found["endpoints"][0]["address"] == expected
    };
    assert!(leads_to(&gateway, 1));

    folder.routes(&route(2));
    until("the changed file is taken", || leads_to(&gateway, 2));

    folder.routes("[[route]]\nsni = \"half");
    let complaint = gateway.wait_for_line("kept");
    assert!(complaint.contains("routes.toml:2:"), "{complaint}");
    assert!(leads_to(&gateway, 2) && gateway.ready() == Some(200));

    folder.routes(&route(3));
    gateway.signal(Signal::SIGHUP);
    until("the file is right again", || leads_to(&gateway, 3));
    let complaints = gateway.lines().iter().filter(|line| line.contains("kept")).count();
    assert_eq!(complaints, 0, "a wrong file is told of once");
}

#[test]
fn a_drain_takes_its_course_and_exits_0() {
    let folder = Folder::new();
    let backend = backend();
    let flags = ["--drain-delay", "1s", "--drain-timeout", "0"];
    let mut gateway = Gateway::start(&folder, &route_to(backend), &flags);
    let mut session = Session::open(gateway.address);
    session.echo(b"before");

    gateway.signal(Signal::SIGTERM);
    until("readiness is off", || gateway.ready() == Some(503));
    let mut late = Session::open(gateway.address);
    late.echo(b"accepted during the delay");
    until("the listeners are closed", || TcpStream::connect(gateway.address).is_err());
    session.echo(b"after");
    late.echo(b"after");
    assert!(gateway.child.try_wait().unwrap().is_none(), "sessions keep it");
    drop((session, late));
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn the_drain_timeout_closes_what_is_left() {
    let folder = Folder::new();
    let backend = backend();
    let flags = ["--drain-delay", "0", "--drain-timeout", "300ms", "--drain-spread", "100ms"];
    let mut gateway = Gateway::start(&folder, &route_to(backend), &flags);
    let mut session = Session::open(gateway.address);
    session.echo(b"before");
    gateway.signal(Signal::SIGTERM);
    assert!(session.is_closed());
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new();
    let flags = ["--drain-delay", "1h"];
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    let mut session = Session::open(gateway.address);
    session.echo(b"before");
    gateway.signal(Signal::SIGTERM);
    until("readiness is off", || gateway.ready() == Some(503));
    gateway.signal(Signal::SIGINT);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(session.is_closed());
}

#[test]
fn the_access_log_has_a_line_per_session() {
    let folder = Folder::new();
    let backend = backend();
    let flags = ["--access-log", "json", "--drain-delay", "0"];
    let mut gateway = Gateway::start(&folder, &route_to(backend), &flags);
    let mut session = Session::open(gateway.address);
    session.echo(b"twelve bytes");
    drop(session);
    let mut unknown = TcpStream::connect(gateway.address).unwrap();
    unknown.write_all(&hello("nobody.example")).unwrap();
    let mut alert = Vec::new();
    unknown.read_to_end(&mut alert).unwrap();
    assert_eq!(alert, [21, 3, 1, 0, 2, 2, 112]);
    drop(unknown);

    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    let log = gateway.access_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |name: &str| {
        let found: Vec<_> = lines.iter().filter(|l| l["requested_server_name"] == name).collect();
        assert_eq!(found.len(), 1, "{log}");
        found.into_iter().next().unwrap().clone()
    };
    let routed = find(NAME);
    assert_eq!(routed["upstream_host"], backend.to_string());
    assert_eq!(routed["bytes_sent"], 12);
    assert_eq!(routed["upstream_cluster"], NAME);
    let refused = find("nobody.example");
    assert_eq!(
        (&refused["response_flags"], &refused["reason"]),
        (&"NR".into(), &"unknown_name".into())
    );
}

#[test]
fn a_malformed_hello_is_logged_with_the_rule_that_it_broke() {
    let folder = Folder::new();
    let flags = ["--access-log", "json", "--drain-delay", "0"];
    let mut gateway = Gateway::start(&folder, ROUTE, &flags);
    // A record of 16385 bytes; one of version 2.1; and one that is no handshake.
    for (bytes, decoded) in
        [(&[22, 3, 1, 0x40, 1, 1][..], true), (&[22, 2, 1, 0, 9], true), (b"GET /", false)]
    {
        let mut client = TcpStream::connect(gateway.address).unwrap();
        client.write_all(bytes).unwrap();
        let mut alert = Vec::new();
        client.read_to_end(&mut alert).unwrap();
        assert_eq!(alert.last(), decoded.then_some(&50), "decode_error, or nothing");
    }
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    let log = gateway.access_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut told: Vec<_> = lines
        .iter()
        .map(|line| (line["reason"].as_str().unwrap(), line["reason_detail"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    let expected = [
        ("malformed_hello", "a record is longer than 16384 bytes"),
        ("malformed_hello", "the major version of a record is not 3"),
        ("not_tls", "the first byte is not that of a TLS handshake record"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn below_the_panic_threshold_what_was_left_aside_is_dialed_again() {
    let folder = Folder::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let backend = backend();
    let routes =
        format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [\"{nobody}\", \"{backend}\"]\n");
    let failures_with = |threshold: &str| {
        let flags = ["--workers", "1", "--panic-threshold", threshold];
        let gateway = Gateway::start(&folder, &routes, &flags);
        for _ in 0..60 {
            Session::open(gateway.address).echo(b"through the other one");
        }
        let (_, stats) = gateway.get("/stats").unwrap();
        assert_eq!(stats["totals"]["routed"], 60);
        stats["totals"]["dials_failed"].as_u64().unwrap()
    };
    // Half of the endpoints is in use once the other is left aside, after five failures.
    assert_eq!(failures_with("0"), 5);
    assert_eq!(failures_with("50"), 5);
    assert!(failures_with("51") > 5);
}

#[test]
fn an_unread_access_log_holds_up_nothing() {
    let folder = Folder::new();
    let flags = ["--access-log", "json", "--drain-delay", "0"];
    let mut gateway = Gateway::start(&folder, ROUTE, &flags);
    // More lines than the pipe to this process holds, which does not read them.
    for _ in 0..300 {
        let mut unknown = TcpStream::connect(gateway.address).unwrap();
        unknown.write_all(&hello("nobody.example")).unwrap();
        let mut alert = Vec::new();
        unknown.read_to_end(&mut alert).unwrap();
    }
    folder.routes(&ROUTE.replace(":9", ":8"));
    gateway.wait_for_line("routes published");
    assert_eq!(gateway.ready(), Some(200));
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_privileged_port_exits_77_and_says_what_to_do() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let floor = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if floor.trim().parse::<u16>().unwrap() <= 1 {
        return;
    }
    let words = ["run", "--routes", &routes, "--bind", "127.0.0.1:1", "--admin-bind", "off"];
    let output = if nix::unistd::geteuid().is_root() {
        // Where it is built, another user may not reach it.
        let copy = folder.path().join("sluice");
        fs::copy(env!("CARGO_BIN_EXE_sluice"), &copy).unwrap();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        Command::new("setpriv").args(nobody).arg(copy).args(words).output().unwrap()
    } else {
        sluice(&words)
    };
    assert_eq!(output.status.code(), Some(77));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("CAP_NET_BIND_SERVICE") && said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn placement_engine_and_steering_can_be_chosen() {
    let folder = Folder::new();
    let allowed = sluice::sys::affinity::allowed().unwrap();
    let cpu = allowed.last().unwrap().to_string();
    let flags = ["--engine", "epoll", "--cpus", &cpu, "--steer-by-cpu", "--keepalive", "10s"];
    let gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    Session::open(gateway.address).echo(b"through it");
    let (_, stats) = gateway.get("/stats").unwrap();
    assert_eq!(stats["engine"], "epoll");
    assert_eq!(stats["workers"].as_array().unwrap().len(), 1);
    assert_eq!(stats["totals"]["routed"], 1);
}

#[test]
fn the_demo_proves_itself_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("demo")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("unrecognized_name") && told.contains("spiffe://"), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
