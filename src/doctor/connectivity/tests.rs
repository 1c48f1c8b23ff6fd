use std::net::TcpListener;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::*;
use crate::doctor::Verdict;

const TIMEOUT: Duration = Duration::from_millis(300);

fn dialed(addresses: &[SocketAddr]) -> BTreeMap<SocketAddr, Outcome> {
    let addresses = addresses.iter().copied().collect();
    runtime::block_on(false, dial::all(addresses, TIMEOUT)).unwrap()
}

#[test]
fn each_way_not_to_answer_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reached = listener.local_addr().unwrap();
    let refused = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    // A queue that is full: Linux drops what else comes (listen(2)).
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&silent, TIMEOUT) {
        queued.push(stream);
        assert!(queued.len() < 16, "the accept queue has no end");
    }
    let outcomes = dialed(&[reached, refused, silent]);
    assert_eq!(outcomes[&reached], Outcome::Reached);
    assert_eq!(outcomes[&refused], Outcome::Refused);
    assert_eq!(outcomes[&silent], Outcome::TimedOut);
}

fn table() -> Table {
    Table::of_gateway(&json!({ "routes": [
        { "route": "web.dc1.td", "cluster": "web.dc1.td", "endpoints": [
            { "address": "10.0.0.1:1", "healthy": true },
            { "address": "10.0.0.2:1", "healthy": false },
        ]},
        { "route": "v1.web.dc1.td", "cluster": "v1", "endpoints": [
            { "address": "10.0.0.1:1", "healthy": false },
        ]},
        { "route": "*.dc2.td", "cluster": "dc2.td", "endpoints": [
            { "address": "10.2.0.1:1", "healthy": true },
        ]},
        { "route": "dc2.td", "cluster": "dc2.td", "endpoints": [
            { "address": "10.2.0.1:1", "healthy": true },
        ]},
        { "route": "empty.dc1.td", "cluster": "empty", "endpoints": [] },
        { "route": "*.td", "refused": "unknown_datacenter" },
    ]}))
}

#[test]
fn the_table_of_a_gateway_is_read_by_address() {
    let table = table();
    assert_eq!((table.route_count, table.places.len()), (5, 3));
    assert_eq!(table.empty, ["empty.dc1.td"]);
    let place = |address: &str| &table.places[&address.parse().unwrap()];
    let web = place("10.0.0.1:1");
    assert!(web.is_healthy && !web.is_gateway, "{web:?}");
    assert_eq!(names(web), "v1.web.dc1.td, web.dc1.td");
    assert!(!place("10.0.0.2:1").is_healthy);
    let gateway = place("10.2.0.1:1");
    assert!(gateway.is_gateway, "{gateway:?}");
    assert_eq!(names(gateway), "*.dc2.td");
}

#[test]
fn only_what_should_answer_and_does_not_is_a_failure() {
    let table = table();
    let outcomes = |of: &[(&str, Outcome)]| -> BTreeMap<SocketAddr, Outcome> {
        of.iter().map(|(at, outcome)| (at.parse().unwrap(), outcome.clone())).collect()
    };
    let all = outcomes(&[
        ("10.0.0.1:1", Outcome::Reached),
        ("10.0.0.2:1", Outcome::Refused),
        ("10.2.0.1:1", Outcome::TimedOut),
    ]);
    let checks = judge(&table, &all, TIMEOUT);
    let told: Vec<_> = checks.iter().map(|check| (check.name, check.verdict)).collect();
    let expected = [
        (TABLE, Verdict::Pass),
        (ROUTES, Verdict::Warn),
        (SERVICES, Verdict::Warn),
        (GATEWAYS, Verdict::Fail),
    ];
    assert_eq!(told, expected);
    assert!(checks[2].found.contains("which Consul knows to be critical"), "{}", checks[2].found);
    assert!(checks[3].found.contains("10.2.0.1:1, for *.dc2.td: nothing came back within 300 ms"));
    let none = judge(&table, &outcomes(&[]), TIMEOUT);
    assert!(none.iter().all(|check| check.verdict != Verdict::Fail), "not tried is no failure");
}
