//! An agent that has nothing of what Consul does not document: it is asked node by node, and the
//! table is the same.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::doctor::report::Report;
use crate::support::datacenter::Plan;
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::program::Launch;
use crate::support::scene::{Scene, is_well, server_name};

/// Stands before an agent, and has no page that begins like this.
fn without(prefix: &'static str, agent: Ipv4Addr) -> String {
    let listener = TcpListener::bind((free_host(), 8500)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Either side may go away at any time.
            thread::spawn(move || pass_on(stream, prefix, agent));
        }
    });
    url
}

/// Brings one request on, and the answer back. Then the connection ends.
fn pass_on(mut from: TcpStream, prefix: &str, agent: Ipv4Addr) -> io::Result<()> {
    let mut reader = BufReader::new(from.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    reader.read_line(&mut head)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(digits) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = digits.trim().parse().map_err(io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if path.starts_with(prefix) {
        let answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        return from.write_all(answer.as_bytes());
    }
    let mut to = TcpStream::connect(SocketAddr::from((agent, 8500)))?;
    to.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    to.write_all(&body)?;
    io::copy(&mut to, &mut from).map(drop)
}

#[test]
fn without_the_question_for_all_nodes_the_table_is_the_same_and_follows() {
    let datacenter = Plan::new("dc1").start();
    datacenter.config_entry(&json!({
        "Kind": "service-resolver", "Name": "web",
        "Subsets": { "old": { "Filter": "Service.Meta.version == v1" } },
    }));
    for (node, service) in [
        ("rack-1", json!({ "Service": "native", "Port": 7000, "Connect": { "Native": true } })),
        ("rack-2", json!({ "Service": "legacy", "Port": 5432 })),
        (
            "rack-2",
            json!({
                "Kind": "terminating-gateway", "Service": "exit", "Port": 8444,
                "Address": "127.0.0.7", "Weights": { "Passing": 3, "Warning": 1 },
            }),
        ),
    ] {
        datacenter.put(
            "/v1/catalog/register",
            &json!({ "Node": node, "Address": "127.0.0.8", "Service": service }),
        );
    }
    datacenter.config_entry(&json!({
        "Kind": "terminating-gateway", "Name": "exit", "Services": [{ "Name": "legacy" }],
    }));
    let proxy = without("/v1/internal/ui/nodes", datacenter.host());
    let mut scene = Scene::start(&datacenter, &proxy, |launch| launch);
    let direct = Launch::registered("epoll", &datacenter.url(), "direct").start_ready();
    for service in ["web", "old.web", "native", "legacy"] {
        let name = server_name(&datacenter, service);
        direct.wait_routed(&name, true);
        scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&name, true));
    }
    for gateway in &scene.gateways {
        assert_eq!(gateway.table(), direct.table());
        let asked = gateway.log().into_iter().filter(|line| line.text.contains("node by node"));
        assert_eq!(asked.count(), 1, "{}", gateway.text());
    }

    // What changes is followed, be it a check or a registration.
    let name = server_name(&datacenter, "native");
    let check = json!({
        "Node": "rack-1", "Address": "127.0.0.8",
        "Check": { "Name": "alive", "CheckID": "alive", "ServiceID": "native",
            "Status": "critical" },
    });
    let changed = Instant::now();
    datacenter.put("/v1/catalog/register", &check);
    for gateway in &scene.gateways {
        gateway.wait_routes("it is critical", |_| {
            let answer = gateway.page("GET", &format!("/routes?sni={name}"));
            answer.contains("\"healthy\":false").then_some(())
        });
    }
    let seen = changed.elapsed();
    println!("figure: a critical check is seen after {} ms", seen.as_millis());
    assert!(seen < Duration::from_secs(1), "{seen:?}");
    datacenter.register(&scene.echo.sidecar_of("later"));
    let later = server_name(&datacenter, "later");
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&later, true));
    datacenter.put("/v1/catalog/deregister", &json!({ "Node": "rack-1" }));
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&name, false));
    scene.wait_routes("all is well", is_well);
    let words = ["connectivity", "--http-addr", &proxy, "--admin", "off", "--timeout", "1s"];
    Report::of(&words).must_pass(&["table"]);
    scene.end_traffic();
}

#[test]
fn without_anything_internal_it_routes_to_other_datacenters_too() {
    let [first, second] = joined();
    let at = (free_host(), 8443).into();
    second.put_gateway("far", at, at);
    let proxy = without("/v1/internal/", first.host());
    let mut scene = Scene::start(&first, &proxy, |launch| launch);
    let name = server_name(&second, "web");
    let suffix = name.replacen("web.default.", "*.", 1);
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&suffix, true));
    scene.wait_routes("all is well", is_well);
    scene.end_traffic();
}
