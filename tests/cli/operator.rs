//! What an operator types to look at a gateway that runs, and to steer it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::admin::{ask, indiscreet_agent};
use crate::support::*;

/// What a command printed, and how it ended.
fn told(gateway: &Gateway, words: &[&str], code: i32) -> String {
    let admin = gateway.admin.to_string();
    let output = sluice(&[words, &["--admin", &admin]].concat());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap() + &complaints
}

fn sessions(gateway: &Gateway, question: &str) -> (Vec<Value>, Option<String>) {
    let (status, mut page) = gateway.get(&format!("/sessions?{question}")).unwrap();
    assert_eq!(status, 200, "{question}");
    let Value::Array(sessions) = page["sessions"].take() else { panic!("{page}") };
    (sessions, page["next"].as_str().map(str::to_owned))
}

/// A session of a client at another address of loopback.
fn session_from(host: [u8; 4], gateway: &Gateway) -> Session {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&gateway.address.into()).unwrap();
    let mut session = Session::begin(socket.into());
    session.echo(b"hello");
    session
}

#[test]
fn sessions_are_listed_chosen_and_paged() {
    let folder = Folder::new();
    let backend = backend();
    let gateway = Gateway::start(&folder, &route_to(backend), &["--workers", "2"]);
    let (none, next) = sessions(&gateway, "");
    assert_eq!((none.len(), next), (0, None));
    let near: Vec<Session> = (0..3).map(|_| session_from([127, 0, 0, 1], &gateway)).collect();
    let far: Vec<Session> = (0..4).map(|_| session_from([127, 9, 0, 1], &gateway)).collect();
    let mut silent = TcpStream::connect(gateway.address).unwrap();
    silent.write_all(&hello(NAME)[..9]).unwrap();
    until("the silent one is accepted", || sessions(&gateway, "").0.len() == 8);

    let count = |question: &str| sessions(&gateway, question).0.len();
    assert_eq!((count("sni=web"), count("sni=WEB.EXAMPLE"), count("sni=nobody")), (7, 7, 0));
    assert_eq!((count("cluster=web.example"), count("cluster=api")), (7, 0));
    assert_eq!((count("source=127.9.0.0/16"), count("source=127.0.0.0/8")), (4, 8));
    assert_eq!(count("source=127.9.0.1&sni=web"), 4);
    assert_eq!((count("older_than=1h"), count("older_than=0")), (0, 8));
    assert_eq!(count("worker=0") + count("worker=1"), 8);
    assert_eq!(count("worker=2"), 0);

    let (all, _) = sessions(&gateway, "");
    let of = |stands: &str| all.iter().filter(|one| one["stands"] == stands).collect::<Vec<_>>();
    assert_eq!((of("relaying").len(), of("hello").len()), (7, 1));
    let one = of("relaying")[0];
    assert_eq!((&one["sni"], &one["endpoint"]), (&NAME.into(), &backend.to_string().into()));
    assert_eq!(one["listener"], gateway.address.to_string());
    assert_eq!(one["bytes_up"], hello(NAME).len() + 5);
    assert_eq!((&one["bytes_down"], &one["up_by"]), (&5.into(), &"copy".into()));
    assert!(one["age_s"].as_f64().unwrap() < SOON.as_secs_f64());

    let mut ids = BTreeSet::new();
    let mut from = String::new();
    loop {
        let (page, next) = sessions(&gateway, &format!("limit=3{from}"));
        assert!(page.len() <= 3);
        for session in page {
            assert!(ids.insert(session["id"].to_string()), "twice: {session}");
        }
        let Some(next) = next else { break };
        from = format!("&from={next}");
    }
    assert_eq!(ids.len(), 8);

    let table = told(&gateway, &["sessions", "--source", "127.9.0.0/16"], 0);
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.starts_with("ID") && table.contains("relaying"), "{table}");
    let lines = told(&gateway, &["sessions", "--sni", "web", "--json"], 0);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["sni"] == NAME));
    assert_eq!(lines.lines().count(), 7);
    let text = ask(gateway.admin, "GET", "/sessions?format=text&sni=web", "").body;
    assert_eq!(text.lines().count(), 8, "{text}");
    for (question, word) in [
        ("limit=0", "limit"),
        ("from=here", "from"),
        ("source=300.0.0.1", "source"),
        ("worker=-1", "worker"),
        ("older_than=5", "older_than"),
        ("format=xml", "format"),
    ] {
        let answer = ask(gateway.admin, "GET", &format!("/sessions?{question}"), "");
        assert_eq!(answer.status, 400, "{question}");
        assert!(answer.body.contains(word) && answer.body.lines().count() == 1, "{}", answer.body);
    }
    let complaint = told(&gateway, &["sessions", "--worker", "first"], 69);
    assert!(complaint.contains("worker=\"first\": expected"), "{complaint}");
    drop((near, far));
    until("they are gone", || sessions(&gateway, "").0.len() == 1);
}

/// A command that runs until it is killed.
struct Running(Child, BufReader<std::process::ChildStdout>);

impl Running {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sessions_that_come_and_go_can_be_followed() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &route_to(backend()), &[]);
    let admin = gateway.admin.to_string();
    let first = session_from([127, 0, 0, 1], &gateway);
    let mut followed = Running::start(&["sessions", "--follow", "--sni", "web", "--admin", &admin]);
    let line = followed.line();
    assert!(line.starts_with("+ ") && line.contains("web.example"), "{line}");
    drop(first);
    let line = followed.line();
    assert!(line.starts_with("- ") && line.contains("web.example"), "{line}");
    let _second = session_from([127, 0, 0, 1], &gateway);
    assert!(followed.line().starts_with("+ "));
}

#[test]
fn stats_are_a_page_for_people_and_all_there_is_for_machines() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &route_to(backend()), &["--workers", "2"]);
    let _session = session_from([127, 0, 0, 1], &gateway);
    let page = told(&gateway, &["stats"], 0);
    for part in
        ["serving", "1 of at most", "1 reached an endpoint", "from the routes file", "WORKER"]
    {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let all: Value = serde_json::from_str(&told(&gateway, &["stats", "--json"], 0)).unwrap();
    assert_eq!((&all["totals"]["sessions"], &all["accepting"]), (&1.into(), &true.into()));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for words in [&["stats"][..], &["sessions"], &["drain"], &["logging"], &["debug"]] {
        let output = sluice(&[words, &["--admin", &nobody]].concat());
        assert_eq!(output.status.code(), Some(69), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&nobody) && said.contains("--admin"), "{said}");
    }
}

#[test]
fn drain_closes_the_listeners_and_waits_for_sessions() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &["--drain-delay", "1h"]);
    let admin = gateway.admin.to_string();
    let mut session = session_from([127, 0, 0, 1], &gateway);
    // Gracefully: whoever routes here has an hour to notice.
    assert!(told(&gateway, &["drain"], 0).contains("--drain-delay"));
    drop(session_from([127, 0, 0, 1], &gateway));
    let mut drained = Running::start(&["drain", "--now", "--wait", "--admin", &admin]);
    assert!(drained.line().contains("listeners are closed"));
    until("nobody else is accepted", || TcpStream::connect(gateway.address).is_err());
    session.echo(b"it goes on");
    drop(session);
    until("it has waited", || drained.0.try_wait().unwrap().is_some());
    assert!(drained.0.wait().unwrap().success());
    let page = told(&gateway, &["stats"], 0);
    assert!(page.contains("the listeners are closed"), "{page}");
    let ended = told(&gateway, &["drain", "--end", "--wait"], 0);
    assert!(ended.ends_with("ended\n"), "{ended}");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn the_log_level_is_asked_for_and_set() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    assert_eq!(told(&gateway, &["logging"], 0), "info\n");
    assert_eq!(told(&gateway, &["logging", "debug"], 0), "debug\n");
    assert!(told(&gateway, &["logging", "loud"], 69).contains("trace, debug, info"));
    assert_eq!(told(&gateway, &["logging"], 0), "debug\n");
}

#[test]
fn what_happened_and_what_was_refused_is_remembered_without_any_log() {
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, ROUTE, &[]);
    assert_eq!(ask(gateway.admin, "POST", "/logging?level=off", "").status, 200);
    folder.routes(&route_to(backend()));
    until("what is not logged is known all the same", || {
        gateway.get("/events").unwrap().1.to_string().contains("routes published version=2")
    });
    let mut stranger = TcpStream::connect(gateway.address).unwrap();
    stranger.write_all(&hello("nobody.example")).unwrap();
    let mut refusals = Value::Null;
    until("the refusal is known", || {
        refusals = gateway.get("/refusals").unwrap().1["refusals"].clone();
        refusals != Value::Array(Vec::new())
    });
    let refusal = &refusals[0];
    assert_eq!(
        (&refusal["reason"], &refusal["sni"]),
        (&"unknown_name".into(), &"nobody.example".into())
    );
    assert_eq!(refusal["source"], stranger.local_addr().unwrap().to_string());
    assert!(refusal["remedy"].as_str().unwrap().contains("sluice routes NAME"));
}

#[test]
fn validate_is_check() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let [check, validate] = ["check", "validate"].map(|word| sluice(&[word, &routes]));
    assert!(check.status.success());
    assert_eq!((check.status, check.stdout), (validate.status, validate.stdout));
}

#[test]
fn a_debug_folder_has_all_that_is_to_be_known_and_no_token() {
    const TOKEN: &str = "5ec2e7ed-0000-4000-8000-0000000debac";
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env("CONSUL_HTTP_TOKEN", TOKEN);
    let agent = indiscreet_agent().to_string();
    let run = ["run", "--register", "--bind", "127.0.0.1:0", "--http-addr", &agent];
    let gateway = Gateway::start_as(command, &run);
    until("the agent has refused", || {
        gateway.get("/events").unwrap().1.to_string().contains("(hidden)")
    });
    let mut stranger = TcpStream::connect(gateway.address).unwrap();
    stranger.write_all(&hello("nobody.example")).unwrap();
    until("it is refused", || {
        gateway.get("/refusals").unwrap().1.to_string().contains("nobody.example")
    });
    let mut silent = TcpStream::connect(gateway.address).unwrap();
    silent.write_all(&hello(NAME)[..9]).unwrap();
    until("there is a session", || {
        sessions(&gateway, "").0.iter().any(|session| session["stands"] == "hello")
    });
    let bundle = folder.path().join("bundle");
    let output = as_text(&bundle);
    let said = told(&gateway, &["debug", "--output", &output], 0);
    assert!(said.contains("tar czf"), "{said}");
    let text = |file: &str| std::fs::read_to_string(bundle.join(file)).unwrap();
    for (file, part) in [
        ("about.txt", "no token"),
        ("version.json", "sluice/"),
        ("config.json", "from the command line or the environment"),
        ("routes.json", "\"routes\""),
        ("sessions.jsonl", "\"stands\""),
        ("stats.json", "\"totals\""),
        ("stats.txt", "server.live"),
        ("metrics.txt", "sluice_build_info"),
        ("clusters.json", "cluster_statuses"),
        ("listeners.json", "listener_statuses"),
        ("config_dump.json", "EndpointsConfigDump"),
        ("memory.json", "allocated"),
        ("refusals.json", "nobody.example"),
        ("events.json", "(hidden)"),
        ("host.txt", "passed"),
    ] {
        assert!(text(file).contains(part), "{part} is not in {file}: {}", text(file));
        assert!(text("about.txt").contains(file) || file == "about.txt", "{file}");
    }
    assert!(!text("about.txt").contains("missing"), "{}", text("about.txt"));
    for file in std::fs::read_dir(&bundle).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("5ec2e7ed"), "{}", file.display());
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&bundle).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    // It is not written over.
    let again = told(&gateway, &["debug", "--output", &output], 78);
    assert!(again.contains("--output"), "{again}");
}
