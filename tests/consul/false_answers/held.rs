//! Answers that could be right, and would remove too much to be believed at once.

use serde_json::json;
use sluice::consul::watch::Part;

use super::{Case, server_name};
use crate::support::fake_answers::{TRUST_DOMAIN, roots};
use crate::support::program::routed;

#[test]
fn another_trust_domain_is_held_and_then_accepted() {
    let mut case = Case::start();
    let other = "99999999-2222-3333-4444-555555555555.consul";
    case.agent.set(Part::Roots, &roots(other));
    case.ask_anew();
    let name = format!("web.default.dc1.internal.{other}");
    for gateway in &case.scene.gateways {
        // What is added is taken, and what would go stays.
        gateway.wait_routed(&name, true);
        assert!(routed(&gateway.routes(), &server_name("web")));
        let (_, listing) = gateway.list(&[]);
        let held = "held back: roots: would remove 14 of 14 services";
        assert!(listing.contains(held), "{listing}");
    }
    case.scene.must_flow("while the names are held");
    case.scene.end_traffic();
    case.must_have_warned(1, "held");
    for gateway in &case.scene.gateways {
        assert_eq!(gateway.list(&["accept"]), (Some(0), "accepted\n".to_owned()));
        gateway.wait_routed(&server_name("web"), false);
        assert!(routed(&gateway.routes(), &name));
    }
}

#[test]
fn most_services_gone_are_held_until_accepted() {
    let mut case = Case::start();
    let mut few = vec!["web", "later"];
    case.agent.set(Part::Catalog, &case.catalog(&few));
    let held = "catalog: would remove 13 of 14 services";
    for gateway in &case.scene.gateways {
        gateway.wait_routed(&server_name("later"), true);
        assert!(gateway.list(&[]).1.contains(&format!("held back: {held}")));
        assert_eq!(gateway.list(&[&server_name("s07")]).0, Some(0));
    }
    // As it changes meanwhile, what is added is taken still, and nothing is told again.
    few.push("latest");
    case.agent.set(Part::Catalog, &case.catalog(&few));
    for gateway in &case.scene.gateways {
        gateway.wait_routed(&server_name("latest"), true);
        assert_eq!(gateway.list(&["accept"]), (Some(0), "accepted\n".to_owned()));
        gateway.wait_routed(&server_name("s07"), false);
        assert_eq!(gateway.list(&[&server_name("s07")]).0, Some(1));
        assert_eq!(gateway.list(&["accept"]), (Some(1), "nothing is held back\n".to_owned()));
    }
    case.must_have_warned(1, "held");
    case.scene.end_traffic();
}

#[test]
fn all_gateways_of_a_datacenter_gone_are_held_until_accepted() {
    let mut case = Case::start();
    let remote = format!("*.dc2.internal.{TRUST_DOMAIN}");
    // As for a token that may not see them.
    case.agent.set(Part::Gateways, &json!({}));
    let held = "held back: gateways: would remove all gateways of dc2";
    for gateway in &case.scene.gateways {
        gateway.wait_routes("it is held", |routes| {
            (routes["source"]["held"] != json!([])).then_some(())
        });
        assert!(gateway.list(&[]).1.contains(held), "{}", gateway.list(&[]).1);
    }
    case.must_route_as_before("while the gateways are held");
    case.must_have_warned(1, "held");
    for gateway in &case.scene.gateways {
        assert!(routed(&gateway.routes(), &remote));
        assert_eq!(gateway.list(&["accept"]), (Some(0), "accepted\n".to_owned()));
        gateway.wait_routed(&remote, false);
    }
    case.scene.end_traffic();
}
