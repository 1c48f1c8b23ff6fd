use std::net::SocketAddr;

use serde_json::Value;

use super::*;
use crate::admin::testing::{context, publish, shared};
use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::{DASHBOARD_ENDPOINTS_MAX, DASHBOARD_ROUTES_MAX};
use crate::refusal::Refusal;
use crate::route::{Cluster, Endpoint, Pattern, Route, Routes, RoutingTable, Target};

const WEB: &str = "web.default.dc1.internal.1111-22.consul";
const CANARY: &str = "canary.web.default.dc1.internal.1111-22.consul";
const DC2: &str = "*.dc2.internal.1111-22.consul";

#[test]
fn the_page_is_whole_and_needs_nothing_from_elsewhere() {
    let page = whole("c0ffee");
    assert_eq!(page.matches("nonce=\"c0ffee\"").count(), 2);
    for part in ["{nonce}", "{style}", "{script}", "innerHTML", "eval(", " style=", " onclick="] {
        assert!(!page.contains(part), "{part}");
    }
    // The one address is the name of a namespace.
    let addresses: Vec<_> = page.match_indices("//www.").collect();
    assert_eq!(addresses.len(), 1);
    assert!(page.contains("\"http://www.w3.org/2000/svg\""));
    assert!(!page.contains("https:") && !page.contains("url(") && !page.contains("@import"));
}

#[tokio::test]
async fn it_comes_with_a_policy_that_allows_its_own_style_and_script_alone() {
    let policy = || async {
        let page = page().await.unwrap();
        page.headers().get(CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap().to_owned()
    };
    let (first, second) = (policy().await, policy().await);
    assert_ne!(first, second, "a nonce is used once");
    assert!(first.starts_with("default-src 'none'; style-src 'nonce-"), "{first}");
    assert!(!first.contains("unsafe"), "{first}");
}

#[test]
fn places_are_the_datacenters_that_names_tell_of() {
    let shared = shared();
    let published = publish(&shared, &[WEB, CANARY, DC2, "plain.example"]);
    let web = published.table.lookup(WEB).unwrap();
    let loads = published.loads.first().unwrap();
    loads.entered(web);
    loads.moved(web, 10, 20, Tick(1));
    let told = places::places(&published);
    let names: Vec<_> = told.iter().map(|place| place["name"].as_str()).collect();
    assert_eq!(names, [Some("dc1"), Some("dc2"), None]);
    let [here, elsewhere, other] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&here["is_here"], &here["services"]), (&true.into(), &2.into()));
    assert_eq!((&here["bytes_up"], &here["bytes_down"]), (&10.into(), &20.into()));
    assert_eq!(here["endpoints"]["healthy"], 2);
    assert_eq!(here["endpoints"]["critical"], 2);
    assert_eq!(here["busiest"], serde_json::json!([{"name": "web", "sessions": 1}]));
    let ailing = |name| serde_json::json!({"name": name, "healthy": 1, "endpoints": 2});
    assert_eq!(here["ailing"], serde_json::json!([ailing("canary.web"), ailing("web")]));
    assert_eq!(here["gateways"], serde_json::Value::Null);
    assert_eq!(elsewhere["gateways"].as_array().unwrap().len(), 2);
    assert_eq!(elsewhere["gateways"][1]["healthy"], false);
    assert_eq!(elsewhere["ailing_count"], 0, "its gateways are all shown");
    assert_eq!(other["services"], 1);
}

/// As they are with Consul: each datacenter has names of several forms, some of which are refused.
#[test]
fn a_datacenter_is_one_place_however_many_names_lead_there_or_are_refused() {
    const TD: &str = "1111-22.consul";
    let mut routes = Routes::default();
    let mut add = |name: String, target| {
        routes.routes.push(Route { pattern: Pattern::parse(&name).unwrap(), target })
    };
    let (web, dc2) = (Target::Cluster(0), Target::Cluster(1));
    let refused = Target::Refuse;
    add(format!("web.default.dc1.internal.{TD}"), web);
    add("server.dc2.consul".into(), dc2);
    add(format!("dc2.internal.{TD}"), dc2);
    add(format!("*.dc2.internal.{TD}"), dc2);
    add(format!("*.dc2.internal-v1.{TD}"), refused(Refusal::NoGateways));
    add(format!("dc1.internal.{TD}"), refused(Refusal::UnknownName));
    add(format!("*.dc1.internal.{TD}"), refused(Refusal::UnknownName));
    add(format!("*.dc1.internal-v1.{TD}"), refused(Refusal::NoGateways));
    add(format!("*.dc3.internal.{TD}"), refused(Refusal::NoGateways));
    add(format!("*.{TD}"), refused(Refusal::UnknownDatacenter));
    let endpoint = |port| Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)));
    routes.clusters = ["web", "dc2"].map(|key| Cluster::new(key, vec![endpoint(80)])).into();
    let table = RoutingTable::from_routes(&routes).unwrap();
    let told = places::places(&Published { table: table.into(), ..Published::default() });
    let shape = |place: &Value| {
        let is = |part: &str| place[part].as_bool().unwrap_or(!place[part].is_null());
        (place["name"].clone(), is("is_here"), is("gateways"), is("refused"))
    };
    let told: Vec<_> = told.iter().map(shape).collect();
    let expected =
        [("dc1", true, false, false), ("dc2", false, true, false), ("dc3", false, false, true)];
    let expected =
        expected.map(|(name, here, gateways, no)| (Value::from(name), here, gateways, no));
    assert_eq!(told, expected);
}

#[test]
fn routes_are_found_by_a_part_of_their_name_and_are_not_too_many() {
    let shared = shared();
    let many: Vec<String> = (0..200).map(|number| format!("s{number}.example")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).chain([WEB]).collect();
    let published = publish(&shared, &names);
    let told = routes::search(&published, "");
    assert_eq!((&told["total"], &told["matches"]), (&201.into(), &201.into()));
    assert_eq!(told["routes"].as_array().unwrap().len(), DASHBOARD_ROUTES_MAX);
    let told = routes::search(&published, "web.default");
    assert_eq!((&told["total"], &told["matches"]), (&201.into(), &1.into()));
    let route = &told["routes"][0];
    assert_eq!((&route["route"], &route["endpoint_count"]), (&WEB.into(), &2.into()));
    assert!(route["endpoints"].as_array().unwrap().len() <= DASHBOARD_ENDPOINTS_MAX);
    assert_eq!(routes::search(&published, "nowhere")["matches"], 0);
}

#[test]
fn the_summary_has_all_that_the_page_reads() {
    let shared = shared();
    publish(&shared, &[WEB]);
    let [first, second] = shared.workers.as_slice() else { panic!("two workers") };
    first.accepted.add(3);
    second.accepted.add(4);
    second.refuse(Refusal::NotTls);
    let told = summary::summary(&context(shared));
    assert_eq!(told["totals"]["accepted"], 7);
    assert_eq!(told["totals"]["refused"], 1);
    assert_eq!(told["reasons"], serde_json::json!([{"reason": "not_tls", "count": 1}]));
    assert_eq!(told["workers"].as_array().unwrap().len(), 2);
    assert_eq!(told["gateway"]["state"], "ready");
    assert_eq!(told["table"]["routes"], 1);
    for (part, names) in [
        ("gateway", &["service", "accepting", "engine", "capacity", "started", "addresses"][..]),
        ("totals", &["sessions", "bytes_up", "bytes_down"]),
        (
            "table",
            &[
                "version",
                "from",
                "behind_s",
                "restored",
                "held",
                "failing",
                "notes",
                "registration",
            ],
        ),
        ("times", &["dial"]),
    ] {
        for name in names {
            assert!(told[part].get(name).is_some(), "{part}.{name} is not in {told}");
        }
    }
    for name in ["now_us", "places", "refusals", "events"] {
        assert!(told.get(name).is_some(), "{name} is not in {told}");
    }
}
