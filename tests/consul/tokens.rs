//! What the agent lets us do, and what becomes of the gateway when that changes.

use std::fs;
use std::time::Instant;

use sluice::consul::agent::AgentFlags;
use sluice::consul::register::Health;

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::{BEAT, Gateway, LISTENING, NAME, client, owned, wanted};
use crate::support::hosts::free_host;
use crate::support::program::Launch;
use crate::support::until;

const PASSING: [(&str, &str); 2] = [(BEAT, "passing"), (LISTENING, "passing")];

fn start(datacenter: &Datacenter, flags: AgentFlags) -> Gateway {
    let host = free_host();
    Gateway::start_as(client(datacenter, flags), host, owned(wanted(host)))
}

#[test]
fn the_rights_of_consuls_documentation_are_enough_and_without_them_it_says_what_lacks() {
    let datacenter = Plan::new("dc1").with_acls().start();
    let gateway = start(&datacenter, AgentFlags::default());
    let reason = gateway.wait_failing();
    assert!(reason.contains("(403, Permission denied"), "{reason}");
    assert!(reason.contains("the token lacks service:write on \"mesh-gateway\""), "{reason}");
    assert!(reason.ends_with("service \"mesh-gateway\" { policy = \"write\" }"), "{reason}");
    drop(gateway);

    let unknown = "11111111-2222-3333-4444-555555555555";
    let token = Some(unknown.to_owned());
    let gateway = start(&datacenter, AgentFlags { token, ..AgentFlags::default() });
    let reason = gateway.wait_failing();
    assert!(reason.contains("403 (ACL not found)"), "{reason}");
    assert!(reason.contains("--token-file"), "{reason}");
    assert!(!reason.contains(unknown), "{reason}");
    drop(gateway);

    let token = Some(datacenter.new_token("gateway", GATEWAY_RULES).secret);
    let _gateway = start(&datacenter, AgentFlags { token, ..AgentFlags::default() });
    datacenter.wait_for_checks(NAME, &PASSING);
}

#[test]
fn a_token_that_is_taken_back_and_replaced_heals() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let first = datacenter.new_token("gateway", GATEWAY_RULES);
    let file = datacenter.path().join("token");
    fs::write(&file, &first.secret).unwrap();
    let token_file = Some(file.to_str().unwrap().to_owned());
    let gateway = start(&datacenter, AgentFlags { token_file, ..AgentFlags::default() });
    datacenter.wait_for_checks(NAME, &PASSING);

    datacenter.delete_token(&first);
    let reason = gateway.wait_failing();
    assert!(reason.contains("403 (ACL not found)"), "{reason}");
    let second = datacenter.new_token("gateway-again", GATEWAY_RULES);
    fs::write(&file, &second.secret).unwrap();
    gateway.wait_told(&Health::Passing);
    // The agent writes to the catalog with the token of the registration: only a new one can.
    let reason = "it was told to end";
    gateway.tell(Health::Leaving(reason.into()));
    datacenter.wait_for_checks(NAME, &[(BEAT, "critical"), (LISTENING, "passing")]);
    assert_eq!(gateway.status.registration_count(), 2);
}

#[test]
fn a_token_that_is_replaced_while_it_is_valid_is_given_up_at_once() {
    let datacenter = Plan::new("dc1").with_acls().with_short_cache().start();
    let first = datacenter.new_token("gateway", GATEWAY_RULES);
    let second = datacenter.another_token("gateway");
    let file = datacenter.path().join("token");
    fs::write(&file, &first.secret).unwrap();
    let launch = Launch::registered("epoll", &datacenter.url(), NAME).path("--token-file", &file);
    let mut gateway = launch.start_ready();
    datacenter.wait_for_checks(NAME, &PASSING);

    // As those who rotate secrets do it: the new file takes the place of the old one.
    let next = datacenter.path().join("token.next");
    fs::write(&next, &second.secret).unwrap();
    fs::rename(&next, &file).unwrap();
    let rotated = Instant::now();
    gateway.wait_line("the token file has another token");
    until("it is registered with it", || {
        let page = gateway.page("GET", "/metrics");
        page.contains("sluice_consul_registrations_total 2\n").then_some(())
    });
    println!("figure: registered with the next token after {} ms", rotated.elapsed().as_millis());
    datacenter.delete_token(&first);
    // What the agent writes to the catalog now, it writes with the second.
    gateway.page("POST", "/healthcheck/fail");
    datacenter.wait_for_checks(NAME, &[(BEAT, "critical"), (LISTENING, "passing")]);
    let warned = gateway.log().into_iter().find(|line| line.level == "WARN");
    assert_eq!(warned, None, "nothing failed");
}
