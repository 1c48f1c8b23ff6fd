//! What the agent lets us do, and what becomes of the gateway when that changes.

use std::fs;

use sluice::consul::agent::AgentFlags;
use sluice::consul::register::Health;

use crate::support::acl::GATEWAY_RULES;
use crate::support::datacenter::{Datacenter, Plan};
use crate::support::gateway::{BEAT, Gateway, LISTENING, NAME, client, owned, wanted};
use crate::support::hosts::free_host;

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
    assert!(reason.contains("403 (Permission denied"), "{reason}");
    assert!(reason.contains("service:write on the gateway's name"), "{reason}");
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
