//! The access log while sessions last.

use std::io::{BufRead, BufReader};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::*;

#[test]
fn a_session_can_be_logged_at_its_start_and_while_it_lasts() {
    let folder = Folder::new();
    let flags = ["--access-log", "json", "--access-log-start", "--access-log-every", "1s"];
    let flags = [&flags[..], &["--drain-delay", "0", "--idle-timeout", "0"]].concat();
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    let lines = BufReader::new(gateway.child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut next = || lines.next().unwrap();
    let mut session = Session::open(gateway.address);
    session.echo(b"twelve bytes");
    let begun = next();
    assert_eq!((&begun["reason"], &begun["response_flags"]), (&"begun".into(), &"-".into()));
    assert_eq!(begun["requested_server_name"], NAME);
    let first = next();
    assert_eq!((&first["reason"], &first["bytes_sent"]), (&"ongoing".into(), &12.into()));
    let about = |line: &Value, seconds: u64| {
        let duration_ms = line["duration"].as_u64().unwrap();
        assert!((seconds * 1000..seconds * 1000 + 900).contains(&duration_ms), "{line}");
    };
    about(&first, 1);
    session.echo(b"eight by");
    let second = next();
    assert_eq!((&second["reason"], &second["bytes_sent"]), (&"ongoing".into(), &20.into()));
    about(&second, 2);
    drop(session);
    let last = loop {
        let line = next();
        if line["reason"] != "ongoing" {
            break line;
        }
    };
    assert_eq!((&last["reason"], &last["bytes_sent"]), (&"finished".into(), &20.into()));
    for line in [&first, &second, &last] {
        for key in ["start_time", "downstream_remote_address", "upstream_local_address"] {
            assert_eq!(line[key], begun[key], "{key}: all are of one session");
        }
    }
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
