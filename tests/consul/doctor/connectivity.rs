//! Endpoints that cannot be reached.

use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::report::Report;
use crate::support::federation::joined;
use crate::support::hosts::free_host;
use crate::support::mesh::black_hole::BlackHole;
use crate::support::program::Launch;

#[test]
fn every_endpoint_that_does_not_answer_is_listed_with_the_reason() {
    let [first, second] = joined();
    let [web, dead, far] = [(); 3].map(|()| SocketAddr::from((free_host(), 21_000)));
    let hole = BlackHole::at((free_host(), 21_000).into());
    let _web = TcpListener::bind(web).unwrap();
    first.put_sidecar("web", "web-1", web);
    first.put_sidecar("dead", "dead-1", dead);
    first.put_sidecar("hole", "hole-1", hole.address);
    first.put_sidecar_with("lost", "lost-1", web, json!({ "Address": "lost.invalid" }));
    second.put_gateway("gw", far, far);

    let gateway = Launch::registered("epoll", &first.url(), "gateway").start_ready();
    gateway.wait_routes("the gateway of dc2", |routes| {
        routes.to_string().contains(&far.to_string()).then_some(())
    });
    let admin = Launch::admin(gateway.address().ip().to_string().parse().unwrap());
    let asked = ["connectivity", "--timeout", "1s"];
    let of_gateway = || Report::of(&[&asked[..], &["--admin", &admin]].concat());
    let url = first.url();
    let words = ["--admin", "off", "--http-addr", &url];
    let of_agent = || Report::of(&[&asked[..], &words].concat());
    for report in [of_gateway(), of_agent()] {
        let remedy = report.must_fail("services", &format!("{dead}, for dead.default.dc1"));
        assert!(remedy.contains("ss -ltn"), "{remedy}");
        report.must_fail("services", &format!("{}, for hole.default.dc1", hole.address));
        report.must_fail("services", "nothing came back within 1000 ms");
        report.must_fail("gateways", &format!("{far}, for *.dc2.internal"));
        assert!(!format!("{report:?}").contains(&format!("{web},")), "{report:#?}");
        report.must("routes", "warn", "lost.default.dc1");
    }
    of_agent().must_fail("host names", "lost.invalid:21000 has no address");

    let _dead = TcpListener::bind(dead).unwrap();
    let _far = TcpListener::bind(far).unwrap();
    for id in ["hole-1", "lost-1"] {
        first.deregister(id);
    }
    let name = |service: &str| format!("{service}.default.dc1");
    gateway.wait_routes("the others are gone", |routes| {
        let text = routes.to_string();
        (!text.contains(&name("hole")) && !text.contains(&name("lost"))).then_some(())
    });
    for report in [of_gateway(), of_agent()] {
        report.must_pass(&["table", "services", "gateways"]);
        assert_eq!(report.code, Some(0), "{report:#?}");
    }
}

#[test]
fn without_a_gateway_and_without_an_agent_it_says_what_to_name() {
    let nobody = format!("{}:8500", free_host());
    let report = Report::of(&["connectivity", "--admin", "off", "--http-addr", &nobody]);
    let remedy = report.must_fail("table", "cannot be reached");
    assert!(remedy.contains("sluice doctor consul"), "{remedy}");
    let report = Report::of(&["connectivity", "--admin", &nobody]);
    report.must_fail("table", "no gateway answers");
}
