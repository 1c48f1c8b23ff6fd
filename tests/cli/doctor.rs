//! `sluice doctor` without a Consul: what it says of a gateway with a routes file, and of wrong
//! flags.

use std::net::TcpListener;

use serde_json::Value;

use super::support::*;

#[test]
fn endpoints_of_a_running_gateway_are_dialed_and_those_that_are_dead_are_listed() {
    let folder = Folder::new();
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live_at = live.local_addr().unwrap();
    let routes = format!(
        "[[route]]\nsni = \"web.example\"\nendpoints = [\"{live_at}\"]\n\
         [[route]]\nsni = \"*.dc2.example\"\nendpoints = [\"{gone}\"]\n"
    );
    let gateway = Gateway::start(&folder, &routes, &[]);
    let admin = gateway.admin.to_string();
    let words = ["doctor", "connectivity", "--admin", &admin];
    let output = sluice(&words);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = format!(
        "pass  table     2 routes to 2 endpoints, as the gateway at {admin} has them\n\
         pass  services  1 of 1 endpoints can be reached\n\
         FAIL  gateways  {gone}, for *.dc2.example: nobody listens there\n"
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with("2 passed, 0 warned, 1 failed\n"), "{said}");

    let output = sluice(&[&words[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["doctor"], &said["failed"]), (&"connectivity".into(), &1.into()));

    let _live_again = TcpListener::bind(gone).unwrap();
    let output = sluice(&words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn wrong_flags_are_no_findings() {
    let output = sluice(&["doctor"]);
    assert_eq!(output.status.code(), Some(64));
    let output = sluice(&["doctor", "connectivity", "--timeout", "0"]);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--timeout"), "{said}");
    let output = sluice(&["doctor", "consul", "--http-addr", "not an address"]);
    assert_eq!(output.status.code(), Some(78));
}
