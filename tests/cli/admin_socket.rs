//! The admin server on a socket, on several addresses, and beyond loopback.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use crate::support::*;

/// A gateway with a socket, besides the address by which tests follow it.
fn with_socket(folder: &Folder) -> (Gateway, String) {
    let socket = format!("unix://{}", folder.path().join("admin.sock").display());
    let gateway = Gateway::start(folder, ROUTE, &["--admin-bind", &socket]);
    (gateway, socket)
}

#[test]
fn a_socket_answers_its_owner_as_the_address_does() {
    let folder = Folder::new();
    let path = folder.path().join("admin.sock");
    let (gateway, socket) = with_socket(&folder);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready\n"), "{answer}");
    assert_eq!(gateway.ready(), Some(200));
    for words in [&["routes"][..], &["routes", NAME], &["stats"], &["sessions"], &["logging"]] {
        let output = sluice(&[words, &["--admin", &socket]].concat());
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {complaints}");
    }
    let config = gateway.get("/config").unwrap().1;
    assert_eq!(config["admin_bind"][0], socket);
}

#[test]
fn the_name_of_a_socket_goes_with_the_gateway_however_it_is_told_to_end() {
    let folder = Folder::new();
    let path = folder.path().join("admin.sock");
    for (flags, signal_count) in [(["--drain-delay", "0s"], 1), (["--drain-delay", "600s"], 2)] {
        let socket = format!("unix://{}", path.display());
        let mut gateway =
            Gateway::start(&folder, ROUTE, &[&["--admin-bind", &socket], &flags[..]].concat());
        assert!(path.exists());
        for _ in 0..signal_count {
            gateway.signal(Signal::SIGTERM);
            // It has noticed: two signals at once are one.
            until("it is not ready", || gateway.ready() != Some(200));
        }
        assert_eq!(gateway.wait().code(), Some(0));
        assert!(!path.exists(), "after {signal_count} signals");
    }
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_is_replaced() {
    let folder = Folder::new();
    let (mut gateway, socket) = with_socket(&folder);
    let routes = folder.routes(ROUTE);
    let run = ["run", "--routes", &routes, "--bind", "127.0.0.1:0", "--admin-bind", &socket];
    let output = sluice(&run);
    assert_eq!(output.status.code(), Some(79));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("admin.sock is in use") && said.contains("--admin-bind"), "{said}");
    assert_eq!(gateway.ready(), Some(200), "who was asked goes on");
    gateway.signal(Signal::SIGKILL);
    gateway.wait();
    let (next, _) = with_socket(&folder);
    assert!(sluice(&["stats", "--admin", &socket]).status.success());
    drop(next);
    let path = folder.path().join("admin.sock");
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, "no socket").unwrap();
    let output = sluice(&run);
    assert_eq!(output.status.code(), Some(79));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is no socket"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "no socket");
}

#[test]
fn beyond_loopback_it_listens_only_when_that_is_meant() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let run = ["run", "--routes", &routes, "--bind", "127.0.0.1:0", "--admin-bind", "0.0.0.0:0"];
    let output = sluice(&run);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--admin-beyond-loopback") && said.lines().count() == 1, "{said}");
    let flags = ["--admin-bind", "0.0.0.0:0", "--admin-beyond-loopback"];
    let gateway = Gateway::start(&folder, ROUTE, &flags);
    assert_eq!(gateway.ready(), Some(200));
}
