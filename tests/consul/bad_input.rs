//! What is wrong at the start: one sentence each, of who refuses, why, and what to do.

use std::net::TcpListener;

use clap::CommandFactory;
use serde_json::json;

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::PORT;
use crate::support::hosts::free_host;
use crate::support::program::{ENGINES, Launch, Program, sluice};
use crate::support::until;

const ID: &str = "gateway";

fn launch(agent: &str) -> Launch {
    Launch::registered(ENGINES[0], agent, ID)
}

/// Starts a gateway that goes on without what is missing, says so in lines with these parts, each
/// once, and is told of as not ready.
fn must_warn(launch: Launch, expected: &[&str]) -> Program {
    let mut gateway = launch.start();
    for part in expected {
        let line = gateway.wait_line(part);
        assert_eq!(line.level, "WARN", "{}", line.text);
        assert!(!line.text.contains('\n'), "{:?}", line.text);
        let lines = gateway.log();
        let count = lines.iter().filter(|line| line.text.contains(part)).count();
        assert!(count <= 2, "of routes and of the registration: {lines:#?}");
    }
    until("it listens", || (gateway.readiness()? == 503).then_some(()));
    gateway
}

/// Runs a gateway that refuses to start, with this code and one line with these parts.
fn must_refuse(words: &[&str], code: i32, expected: &[&str]) {
    let output = sluice(words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
    for part in expected {
        assert!(text.contains(part), "{words:?}: no {part:?} in {text}");
    }
    if code != 64 {
        assert_eq!(text.lines().count(), 1, "{words:?}: {text}");
    }
}

/// What it listens at was never told to Consul.
fn must_be_unknown(datacenter: &Datacenter) {
    assert_eq!(datacenter.service(ID), None);
}

#[test]
fn no_agent_wrong_scheme_and_no_socket_are_told_apart() {
    let host = free_host();
    let reason =
        format!("the Consul agent at http://{host}:8500 cannot be reached: nobody listens");
    must_warn(launch(&format!("{host}:8500")), &[&reason]);
    let socket = "unix:///nowhere/consul.sock";
    let reason = "unix:///nowhere/consul.sock cannot be reached: there is no such socket; start";
    must_warn(launch(socket), &[reason]);

    let plain = Plan::new("dc1").start();
    let as_https = format!("https://{}:8500", plain.host());
    let ca = Plan::new("dc1").with_https().start();
    let gateway = launch(&as_https).path("--ca-file", &ca.ca());
    must_warn(gateway, &["it does not speak TLS"]);
    must_be_unknown(&plain);

    let as_http = format!("http://{}:8501", ca.host());
    must_warn(launch(&as_http), &["it speaks TLS only"]);
    let other = Plan::new("dc2").with_https().start();
    let wrong_ca = launch(&ca.url()).path("--ca-file", &other.ca());
    let advice = "its certificate is of a CA that is not trusted; name the agent's CA with";
    must_warn(wrong_ca, &[advice]);
    must_be_unknown(&ca);
    // What was advised helps.
    launch(&ca.url()).path("--ca-file", &ca.ca()).start_ready();
}

#[test]
fn a_token_that_is_wrong_or_may_too_little_is_told() {
    let datacenter = Plan::new("dc1").with_acls().start();
    let unknown = "11111111-2222-3333-4444-555555555555";
    let gateway = launch(&datacenter.url()).flag("--token", unknown);
    let gateway = must_warn(gateway, &["403 (ACL not found): it does not know the token"]);
    assert!(!gateway.text().contains(unknown));
    must_be_unknown(&datacenter);

    let no_write = GATEWAY_RULES.replace("write", "read");
    let token = datacenter.new_token("reader", &no_write).secret;
    let mut gateway = launch(&datacenter.url()).flag("--token", &token).start();
    // It may see everything, and so it routes, but nobody knows of it.
    gateway.wait_ready();
    gateway.wait_line("the token lacks service:write on \"mesh-gateway\"; give it a policy with");
    must_be_unknown(&datacenter);
    drop(gateway);

    must_warn(
        launch(&datacenter.url()),
        &["the token lacks node:read", "service:write on \"mesh-gateway\""],
    );
    must_be_unknown(&datacenter);
    let path = "/nowhere/token";
    let words = ["run", "--register", "--token-file", path, "--admin-bind", "off"];
    must_refuse(&words, 78, &["--token-file /nowhere/token", "No such file"]);
}

#[test]
fn a_name_or_an_id_of_another_kind_is_not_taken() {
    let datacenter = Plan::new("dc1").start();
    datacenter.register(&json!({ "Name": "shop", "Port": 80 }));
    datacenter.wait("it is in the catalog", "/v1/catalog/service/shop", |found| {
        (found.as_array()?.len() == 1).then_some(())
    });
    let before = datacenter.service("shop");
    let mut gateway = launch(&datacenter.url()).flag("--service", "shop").start();
    gateway.wait_line("Consul has an ordinary service named \"shop\" on the node \"dc1-s1\"");
    must_be_unknown(&datacenter);
    drop(gateway);
    let shop = Launch::registered(ENGINES[0], &datacenter.url(), "shop");
    shop.start().wait_line("the Consul agent has an ordinary service with the id \"shop\"");
    assert_eq!(datacenter.service("shop"), before);
}

#[test]
fn a_port_in_use_ends_it_before_consul_hears_of_it() {
    let datacenter = Plan::new("dc1").start();
    let launch = launch(&datacenter.url());
    let listener = TcpListener::bind((launch.host(), PORT)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut gateway = launch.start();
    assert_eq!(gateway.wait_exit(), Some(79), "{}", gateway.text());
    let line = gateway.wait_line(&format!("{address} is in use by"));
    assert!(line.text.contains("--address"), "{}", line.text);
    must_be_unknown(&datacenter);
}

#[test]
fn flags_that_do_not_go_together_are_named() {
    must_refuse(&["run"], 64, &["--register", "--proxy-id", "--routes"]);
    for (words, expected) in [
        (&["--routes", "x.toml", "--bind", "127.0.0.1:0", "--register"][..], "--register"),
        (&["--routes", "x.toml", "--bind", "127.0.0.1:0", "--proxy-id", "x"], "--proxy-id"),
        (&["--routes", "x.toml", "--bind", "127.0.0.1:0", "--state-dir", "x"], "--state-dir"),
        (&["--routes", "x.toml"], "--bind"),
        (&["--proxy-id", "x", "--address", "127.0.0.1:1"], "--register"),
        (&["--proxy-id", "x", "--wan-address", "127.0.0.1:1"], "--register"),
        (&["--proxy-id", "x", "--bind-address", "a=127.0.0.1:1"], "--register"),
        (&["--proxy-id", "x", "--expose-servers"], "--register"),
        (&["--register", "--gateway", "ingress"], "mesh"),
        (&["--register", "--nonsense"], "--nonsense"),
    ] {
        must_refuse(&[&["run"], words].concat(), 64, &[expected]);
    }
    for (words, expected) in [
        (&["--address", "0.0.0.0:1"][..], "--address 0.0.0.0:1: the other side cannot dial"),
        (&["--address", "192.0.2.1:1"], "cannot be bound on this host"),
        (&["--address", "lb.example.com"], "\"lb.example.com\" is not an address"),
        (&["--bind-address", "127.0.0.1:1"], "--bind-address"),
        (&["--http-addr", "ftp://x"], "--http-addr \"ftp://x\": expected"),
        (&["--client-cert", "x"], "--client-key"),
        (&["--state-max-age", "1 year"], "--state-max-age"),
        (&["--http-addr", "https://127.0.0.1:1", "--ca-file", "/nowhere/ca"], "--ca-file"),
    ] {
        let run = ["run", "--register", "--admin-bind", "off"];
        must_refuse(&[&run, words].concat(), 78, &[expected]);
    }
}

#[test]
fn every_flag_may_have_one_dash() {
    let command = sluice::cli::Command::command();
    let run = command.find_subcommand("run").unwrap();
    let flags = run.get_arguments().filter(|flag| flag.get_long().is_some());
    let mut count = 0;
    for flag in flags {
        let name = flag.get_long().unwrap();
        // Each refuses in its own name: one that takes a value without one, and one that takes
        // none with one.
        let takes_value = flag.get_action().takes_values();
        let word = if takes_value { format!("-{name}") } else { format!("-{name}=x") };
        if name == "help" {
            assert_eq!(sluice(&["run", "-help"]).status.code(), Some(0));
            continue;
        }
        must_refuse(&["run", &word], 64, &[&format!("'--{name}")]);
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_words_of_consul_connect_envoy_start_a_gateway() {
    let datacenter = Plan::new("dc1").start();
    let (host, wan) = (free_host(), free_host());
    let launch = Launch::bare(host)
        .flag("-gateway=mesh", "-register")
        .flag("-service", "mesh-gateway")
        .flag("-address", &format!("{host}:{PORT}"))
        .flag("-wan-address", &format!("{wan}:{PORT}"))
        .flag(&format!("-bind-address=lan={host}:{PORT}"), "-expose-servers")
        .flag("-deregister-after-critical", "1h")
        .flag("-admin-bind", &Launch::admin(host))
        .flag("-http-addr", &datacenter.url());
    let _gateway = launch.start_ready();
    let beat = "sluice:mesh-gateway";
    datacenter.wait_for_checks(
        "mesh-gateway",
        &[(beat, "passing"), ("sluice:mesh-gateway:listening", "passing")],
    );
    let service = datacenter.service("mesh-gateway").unwrap();
    assert_eq!(service["Meta"], json!({ "consul-wan-federation": "1" }));
    assert_eq!(service["TaggedAddresses"]["wan"]["Address"], wan.to_string());
}
