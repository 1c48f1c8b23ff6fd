//! The real binary: what it says and how it ends, on good input and on bad.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking, also in their helpers"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(20);
const NAME: &str = "web.example";
const ROUTE: &str = "[[route]]\nsni = \"web.example\"\nendpoints = [\"127.0.0.1:9\"]\n";

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
        let copy = folder.0.join("sluice");
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
        .env("TMPDIR", &folder.0)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("unrecognized_name") && told.contains("spiffe://"), "{told}");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

fn sluice(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(words).stdin(Stdio::null()).output().unwrap()
}

fn route_to(backend: SocketAddr) -> String {
    format!("[[route]]\nsni = \"{NAME}\"\nendpoints = [\"{backend}\"]\n")
}

/// A running gateway; killed when dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    log: Receiver<String>,
}

impl Gateway {
    fn start(folder: &Folder, routes: &str, flags: &[&str]) -> Self {
        let routes = folder.routes(routes);
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["run", "--routes", &routes, "--bind", "127.0.0.1:0"])
            .args(["--admin-bind", "127.0.0.1:0", "--log", "json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self { child, address: unknown, admin: unknown, log };
        let serving: Value = serde_json::from_str(&gateway.wait_for_line("\"serving\"")).unwrap();
        gateway.address = serving["addresses"].as_str().unwrap().parse().unwrap();
        gateway.admin = serving["admin"].as_str().unwrap().parse().unwrap();
        gateway
    }

    fn wait_for_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("never: {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn ready(&self) -> Option<u16> {
        self.get("/ready").map(|(status, _)| status)
    }

    fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn access_log(&mut self) -> String {
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection through a gateway to a backend that echoes what follows the hello.
struct Session(TcpStream);

impl Session {
    fn open(gateway: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(gateway).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&hello(NAME)).unwrap();
        Self(stream)
    }

    fn echo(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }

    /// Waits until the gateway closes it.
    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Reads a hello of [`NAME`], then echoes.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut first = vec![0; hello(NAME).len()];
                connection.read_exact(&mut first)?;
                assert_eq!(first, hello(NAME));
                let mut to = connection.try_clone()?;
                std::io::copy(&mut connection, &mut to)
            });
        }
    });
    address
}

/// A real ClientHello. The same bytes each time for [`NAME`], so that a backend knows them.
fn hello(name: &str) -> Vec<u8> {
    static KNOWN: LazyLock<Vec<u8>> = LazyLock::new(|| new_hello(NAME));
    if name == NAME { KNOWN.clone() } else { new_hello(name) }
}

fn new_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Asks again and again; what is waited for comes from another process.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Puts a whole routes file in place, and returns its path.
    fn routes(&self, text: &str) -> String {
        let path = self.0.join("routes.toml");
        let written = self.0.join("routes.new");
        fs::write(&written, text).unwrap();
        fs::rename(&written, &path).unwrap();
        as_text(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn as_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
