//! Datacenters that do not hang together.

use serde_json::{Value, json};

use super::report::{Report, wait_for_pass};
use crate::support::datacenter::Plan;
use crate::support::federation::wait_joined;
use crate::support::mesh::sluice::Launch;
use crate::support::until;

#[test]
fn a_datacenter_that_is_not_joined_is_found_and_one_that_is_dead() {
    let mut first = Plan::new("dc1").start();
    let second = Plan::new("dc2").with("primary_datacenter", "dc1".into()).start();
    let report = Report::of_consul(&second, &[]);
    let remedy = report.must_fail("wan", "the primary datacenter is \"dc1\"");
    assert!(remedy.contains("`consul join -wan ADDRESS`"), "{remedy}");
    Report::of_consul(&first, &[]).must("wan", "warn", "one datacenter only");

    // What that command does.
    second.put(&format!("/v1/agent/join/{}?wan=1", first.host()), &Value::Null);
    for datacenter in [&first, &second] {
        wait_for_pass("wan", || Report::of_consul(datacenter, &[]));
        wait_for_pass("one primary", || Report::of_consul(datacenter, &[]));
    }

    first.kill();
    let remedy =
        Report::of_consul(&second, &[]).must_fail("wan", "the servers of \"dc1\" cannot be asked");
    assert!(remedy.starts_with("start those of \"dc1\""), "{remedy}");
    first.start();
    wait_for_pass("wan", || Report::of_consul(&second, &[]));
}

#[test]
fn servers_whose_gateways_are_not_for_them_are_found() {
    let first = Plan::new("dc1").behind_gateways(None).start();
    let near = Launch::registered(&first, "epoll", "mesh-gateway");
    let primary = (&first, &[near.wan()][..]);
    let second = Plan::new("dc2").behind_gateways(Some(primary)).start();
    let far = Launch::registered(&second, "epoll", "mesh-gateway");
    let of = |datacenter| Report::of_consul(datacenter, &[]);
    let running = near.clone().start();
    let remedy = until("the gateway of dc1 passes, and leads to no server", || {
        let report = of(&first);
        report.passes("registration").then(|| report.must_fail("servers", "\"dc1\" has none"))
    });
    assert!(remedy.contains("--expose-servers"), "{remedy}");
    for (datacenter, verdict) in [(&first, "warn"), (&second, "fail")] {
        let remedy = of(datacenter).must("wan", verdict, "");
        assert!(remedy.contains("primary_gateways = [\"ADDRESS\"]"), "{remedy}");
        assert!(remedy.contains("--expose-servers") && !remedy.contains("join -wan"), "{remedy}");
    }

    // What they say is done in dc1, and dc2 joins; which then lacks the same.
    drop(running);
    let _near = near.word("--expose-servers").start();
    wait_joined(&[&first, &second]);
    let running = far.clone().start();
    let remedy = until("the gateway of dc2 passes, and leads to no server", || {
        let report = of(&second);
        report.passes("registration").then(|| report.must_fail("servers", "\"dc2\" has none"))
    });
    assert!(remedy.contains("a gateway of \"dc2\" with --expose-servers"), "{remedy}");
    let remedy = of(&first).must_fail("wan", "the servers of \"dc2\" cannot be asked");
    assert!(remedy.contains("through gateways") && !remedy.contains("8300"), "{remedy}");
    drop(running);
    let _far = far.word("--expose-servers").start();
    for datacenter in [&first, &second] {
        wait_for_pass("servers", || of(datacenter));
        wait_for_pass("wan", || of(datacenter));
    }
}

#[test]
fn two_primaries_are_found_by_their_trust_domains() {
    let first = Plan::new("dc1").start();
    let join = json!([first.host().to_string()]);
    let mut second = Plan::new("dc2")
        .with("retry_join_wan", join)
        .with("retry_interval_wan", "1s".into())
        .start();
    for datacenter in [&first, &second] {
        wait_for_pass("wan", || Report::of_consul(datacenter, &[]));
    }
    let remedy = Report::of_consul(&first, &[])
        .must_fail("one primary", "no service of one trusts those of the other");
    assert!(remedy.contains("primary_datacenter = \"dc1\""), "{remedy}");
    assert!(remedy.contains("every server of \"dc2\""), "{remedy}");

    second.terminate();
    second.forget();
    second.set("primary_datacenter", "dc1".into());
    second.start();
    for datacenter in [&first, &second] {
        wait_for_pass("one primary", || Report::of_consul(datacenter, &[]));
    }
}

#[test]
fn a_name_that_two_datacenters_have_is_found() {
    let first = Plan::new("dc1").start();
    let join = json!([first.host().to_string()]);
    let mut second = Plan::new("dc1")
        .with("node_name", "other".into())
        .with("retry_join_wan", join)
        .with("retry_interval_wan", "1s".into())
        .start();
    let remedy = until("both know each other", || {
        let report = Report::of_consul(&first, &[]);
        (!report.passes("datacenter names"))
            .then(|| report.must_fail("datacenter names", "\"other\" says that it is of \"dc1\""))
    });
    assert!(remedy.contains("`consul leave`") && remedy.contains("datacenter = \"NAME\""));

    second.put("/v1/agent/leave", &Value::Null);
    second.terminate();
    second.forget();
    second.set("datacenter", "dc2".into());
    second.set("primary_datacenter", "dc1".into());
    "dc2".clone_into(&mut second.name);
    second.start();
    for datacenter in [&first, &second] {
        wait_for_pass("datacenter names", || Report::of_consul(datacenter, &[]));
        wait_for_pass("one primary", || Report::of_consul(datacenter, &[]));
    }
}
