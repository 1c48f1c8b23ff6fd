//! Tokens that lack rights.

use super::report::{Report, wait_for_pass};
use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::Plan;

#[test]
fn what_a_token_lacks_is_named_and_the_policy_that_is_printed_has_it() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let of = |token: &str| Report::of_consul(&datacenter, &["--token", token]);
    let lacking = "it lacks service:write on \"mesh-gateway\" and service:read on all and \
                   node:read on all";
    let without = Report::of_consul(&datacenter, &[]);
    let remedy = without.must_fail("token", lacking);
    for name in ["datacenter names", "wan", "registration", "federation states", "servers"] {
        without.must(name, "warn", "shows this token nothing");
    }
    without.must("one primary", "not_applicable", "no two datacenters");
    of("11111111-2222-3333-4444-555555555555").must_fail("token", "does not know the token");
    for (name, rules, words) in [
        ("no-nodes", "service_prefix \"\" { policy = \"write\" }", "it lacks node:read on all"),
        (
            "reads",
            "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }",
            "it lacks service:write on \"mesh-gateway\"",
        ),
    ] {
        let token = datacenter.new_token(name, rules);
        of(&token.secret).must_fail("token", words);
    }

    // The operator types what it says.
    let rules = remedy.split('\'').nth(1).unwrap();
    let token = datacenter.new_token("sluice", rules);
    let report = of(&token.secret);
    report.must_pass(&["token", "version", "connect"]);
    // What only the agent says is left open, and the right that opens it is named.
    let remedy = report.must("grpc", "warn", "may not read the agent");
    let rule = "agent_prefix \"\" { policy = \"read\" }";
    assert!(remedy.contains(rule), "{remedy}");
    datacenter.set_rules("sluice", &format!("{GATEWAY_RULES} {rule}"));
    let report = wait_for_pass("grpc", || of(&token.secret));
    report.must_pass(&["local agent", "central config", "token"]);
    assert!(!format!("{report:?}").contains(&token.secret));
}
