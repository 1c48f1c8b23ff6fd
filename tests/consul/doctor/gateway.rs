//! The gateway as Consul knows it.

use super::report::{Report, wait_for_pass};
use crate::support::datacenter::Plan;
use crate::support::federation::joined;
use crate::support::gateway::Gateway;
use crate::support::hosts::free_host;

#[test]
fn a_gateway_that_is_not_registered_or_in_maintenance_is_found() {
    let datacenter = Plan::new("dc1").start();
    let report = Report::of_consul(&datacenter, &[]);
    let remedy = report.must_fail("registration", "no service with the id \"mesh-gateway\"");
    assert!(remedy.contains("`sluice run --register`"), "{remedy}");
    report.must_fail("federation states", "no mesh gateway of \"dc1\"");

    let _gateway = Gateway::start(&datacenter);
    wait_for_pass("registration", || Report::of_consul(&datacenter, &[]));
    wait_for_pass("federation states", || Report::of_consul(&datacenter, &[]));
    let elsewhere = ["--proxy-id", "another"];
    Report::of_consul(&datacenter, &elsewhere).must_fail("registration", "\"another\"");

    datacenter.maintenance("mesh-gateway", true);
    let remedy = Report::of_consul(&datacenter, &[])
        .must_fail("registration", "\"_service_maintenance:mesh-gateway\" is critical");
    assert!(remedy.contains("`consul maint -disable -service=mesh-gateway`"), "{remedy}");
    // What that command does.
    datacenter.maintenance("mesh-gateway", false);
    Report::of_consul(&datacenter, &[]).must_pass(&["registration"]);
}

#[test]
fn a_datacenter_without_a_gateway_is_found() {
    let [first, second] = joined();
    let _gateway = Gateway::start(&first);
    wait_for_pass("wan", || Report::of_consul(&first, &[]));
    let report = Report::of_consul(&first, &[]);
    report.must_fail("federation states", "no mesh gateway of \"dc2\"");

    let at = (free_host(), 8443).into();
    second.put_gateway("gw", at, at);
    let report = wait_for_pass("federation states", || Report::of_consul(&first, &[]));
    assert_eq!(report.code, Some(0), "nothing else is wrong: {report:#?}");
}
