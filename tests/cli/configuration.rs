//! The configuration file: what is in effect and where it is from, and what a reload does.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::admin::ask;
use crate::support::*;

/// Writes a configuration file, and returns its path.
fn configure(folder: &Folder, text: &str) -> String {
    let path = folder.path().join("sluice.toml");
    let written = folder.path().join("sluice.new");
    fs::write(&written, text).unwrap();
    fs::rename(&written, &path).unwrap();
    as_text(&path)
}

fn config(gateway: &Gateway) -> Value {
    gateway.get("/config").unwrap().1
}

#[test]
fn check_prints_what_is_in_effect_and_where_it_is_from() {
    let folder = Folder::new();
    let routes = folder.routes(ROUTE);
    let text = format!("routes = {routes:?}\nbind = \"127.0.0.1:0\"\nidle-timeout = \"30m\"\n");
    let file = configure(&folder, &text);
    let mut check = Command::new(env!("CARGO_BIN_EXE_sluice"));
    check.args(["check", "--config", &file, "--refuse", "reset"]);
    check.env("SLUICE_HELLO_TIMEOUT", "3s");
    let output = check.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let words = |name: &str| -> Vec<&str> {
        let mut lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.find(|words| words.first() == Some(&name)).unwrap_or_default()
    };
    assert_eq!(words("idle-timeout"), ["idle-timeout", "30m", &format!("{file}:3")]);
    assert_eq!(words("hello-timeout"), ["hello-timeout", "3s", "SLUICE_HELLO_TIMEOUT"]);
    assert_eq!(words("refuse"), ["refuse", "reset", "flag"]);
    assert_eq!(words("drain-delay"), ["drain-delay", "5s", "default"]);
    assert_eq!(words("state-dir"), ["state-dir", "-", "default"]);
    assert!(said.contains("1 routes, 1 endpoints"), "the routes file is checked, too: {said}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_line_and_exits_78() {
    let folder = Folder::new();
    let wrong = [
        ("idel-timeout = \"5s\"\n", ":1:1: unknown key `idel-timeout`: did you mean"),
        ("bind = \"127.0.0.1:0\"\n\nidle-timeout = \"5\"\n", ":3: --idle-timeout \"5\": expected"),
    ];
    for (text, expected) in wrong {
        let text = format!("{text}routes = {:?}\n", folder.routes(ROUTE));
        let file = configure(&folder, &text);
        for command in ["check", "run"] {
            let output = sluice(&[command, "--config", &file]);
            assert_eq!(output.status.code(), Some(78), "{command} {text}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(&format!("sluice: {file}{expected}")), "{said}");
        }
    }
    let output = sluice(&["run", "--config", "/nonexistent/sluice.toml"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_reload_takes_what_it_can_and_names_what_needs_a_restart() {
    let folder = Folder::new();
    let file = configure(&folder, "idle-timeout = \"1h\"\naccess-log = \"off\"\n");
    let flags = ["--config", &file, "--drain-delay", "0", "--workers", "1"];
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    let mut before = Session::open(gateway.address);
    before.echo(b"of the first configuration");
    assert_eq!(config(&gateway)["origins"]["idle-timeout"], format!("{file}:1"));

    configure(
        &folder,
        "idle-timeout = \"300ms\"\naccess-log = \"json\"\nlog-level = \"debug\"\n\
         spin-us = 5\ndrain-timeout = \"300ms\"\ndrain-spread = \"0\"\nmetrics-clusters = 0\n",
    );
    gateway.signal(Signal::SIGHUP);
    let line = gateway.wait_for_line("keeps its value until the gateway is started anew");
    assert!(line.contains("\"spin-us\""), "{line}");
    let told = gateway.passed.iter().find(|line| line.contains("was read again")).unwrap();
    for flag in ["idle-timeout", "access-log", "log-level", "drain-timeout", "metrics-clusters"] {
        assert!(told.contains(flag), "{told}");
    }
    until("the page tells it", || {
        config(&gateway)["needs_restart"] == serde_json::json!(["spin-us"])
    });
    let told = config(&gateway);
    assert_eq!(told["sessions"]["idle_timeout_s"], 0.3);
    assert_eq!((&told["workers"]["spin_us"], &told["access_log"]), (&0.into(), &"json".into()));
    assert_eq!(told["origins"]["drain-timeout"], format!("{file}:5"));
    let metrics = ask(gateway.admin, "GET", "/metrics", "").body;
    assert!(metrics.contains("\nsluice_clusters_left_out 1\n"), "{metrics}");
    // Sessions from now on have the other timeout, and leave a line.
    let mut after = Session::open(gateway.address);
    after.echo(b"of the second");
    assert!(after.is_closed());
    before.echo(b"goes on");
    // It was told of the other times of a drain, too.
    gateway.signal(Signal::SIGTERM);
    assert!(before.is_closed());
    assert_eq!(gateway.wait().code(), Some(0));
    let log = gateway.access_log();
    let idle = log.lines().filter(|line| line.contains("\"reason\":\"idle\"")).count();
    assert_eq!(idle, 1, "{log}");
}

#[test]
fn a_wrong_configuration_is_told_and_the_one_before_it_is_kept() {
    let folder = Folder::new();
    let file = configure(&folder, "refuse = \"reset\"\n");
    let flags = ["--config", &file];
    let mut gateway = Gateway::start(&folder, &route_to(backend()), &flags);
    configure(&folder, "refuse = \"alert\"\nhello-timeout = \"soon\"\n");
    gateway.signal(Signal::SIGHUP);
    let line = gateway.wait_for_line("the configuration in force is kept");
    assert!(line.contains(&format!("{file}:2: --hello-timeout")), "{line}");
    until("the page tells it", || config(&gateway)["reload_error"].is_string());
    let told = config(&gateway);
    assert!(told["reload_error"].as_str().unwrap().contains("hello-timeout"), "{told}");
    assert_eq!(told["sessions"]["refuse"], "reset", "nothing of it was taken");
    // A right one ends it; an order by HTTP is as good as a signal.
    configure(&folder, "refuse = \"alert\"\n");
    assert_eq!(ask(gateway.admin, "POST", "/reload", "").status, 200);
    gateway.wait_for_line("the configuration was read again");
    until("the page tells it", || config(&gateway)["sessions"]["refuse"] == "alert");
    assert!(config(&gateway)["reload_error"].is_null());
}

#[test]
fn certificates_are_read_again_with_the_rest_and_wrong_ones_keep_all_as_it_was() {
    let folder = Folder::new();
    let ca = as_text(&folder.path().join("ca.pem"));
    let certificate = || rcgen::generate_simple_self_signed(["agent".to_owned()]).unwrap().cert;
    fs::write(&ca, certificate().pem()).unwrap();
    let file = configure(&folder, "refuse = \"alert\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    // Nobody is there: it waits for Consul, and is reloaded meanwhile.
    command.args(["run", "--register", "--bind", "127.0.0.1:0", "--config", &file]);
    let flags = ["--http-addr", "https://127.0.0.1:1", "--ca-file", &ca];
    let mut gateway = Gateway::start_as(command, &flags);
    fs::write(&ca, "nothing of the kind").unwrap();
    configure(&folder, "refuse = \"reset\"\n");
    gateway.signal(Signal::SIGHUP);
    let line = gateway.wait_for_line("the configuration in force is kept");
    assert!(line.contains(&format!("--ca-file {ca}: holds no certificate")), "{line}");
    assert_eq!(config(&gateway)["sessions"]["refuse"], "alert", "all of it, or nothing");
    fs::write(&ca, certificate().pem()).unwrap();
    gateway.signal(Signal::SIGHUP);
    gateway.wait_for_line("the configuration was read again");
    until("it is taken", || config(&gateway)["sessions"]["refuse"] == "reset");
}
