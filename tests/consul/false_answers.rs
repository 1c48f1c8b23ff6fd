//! An agent that answers what no agent should: routes stay, nothing spins, and a line is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice::consul::watch::Part;

use crate::support::fake_agent::{FakeAgent, Index, Manner};
use crate::support::fake_answers::{TRUST_DOMAIN, answers, catalog, roots};
use crate::support::program::{ENGINES, Launch, Program, routed};
use crate::support::scene::{Scene, failing};
use crate::support::steady_traffic::Echo;
use crate::support::until;

mod held;

/// Enough for a removal of most of them to be held.
const SERVICES: [&str; 14] = [
    "web", "s01", "s02", "s03", "s04", "s05", "s06", "s07", "s08", "s09", "s10", "s11", "s12",
    "s13",
];
/// What an answer may cost in memory beside the 64 MiB that it may be long: it is read into a
/// buffer that doubles.
const MEMORY_MORE_BYTES_MAX: u64 = 192 << 20;

/// An agent that answers well so far, gateways that route by it, and traffic.
struct Case {
    agent: FakeAgent,
    scene: Scene,
    tables: Vec<Value>,
}

impl Case {
    fn start() -> Self {
        Self::start_at(FakeAgent::url)
    }

    fn start_at(url: impl Fn(&FakeAgent) -> String) -> Self {
        let echo = Arc::new(Echo::start(&server_name("web")));
        let agent = FakeAgent::start(&answers(&SERVICES, echo.address));
        let mut scene = Scene::before(echo, &url(&agent), |launch| launch);
        scene.wait_well("all is answered");
        scene.forget_lines();
        let tables = scene.gateways.iter().map(|gateway| gateway.table()).collect();
        Self { agent, scene, tables }
    }

    /// A catalog with these services.
    fn catalog(&self, services: &[&str]) -> Value {
        catalog(services, self.scene.echo.address)
    }

    /// Waits until each gateway says of a part that it fails, for this reason.
    fn wait_failing(&self, reason: &str) {
        self.scene
            .wait_routes(reason, |routes| failing(routes).iter().any(|told| told.contains(reason)));
    }

    /// The table is what it was, and traffic flows.
    fn must_route_as_before(&self, when: &str) {
        for (gateway, table) in self.scene.gateways.iter().zip(&self.tables) {
            assert_eq!(&gateway.table(), table, "{when}");
        }
        self.scene.must_flow(when);
    }

    /// Each gateway logged so many warnings, all of them of different things.
    fn must_have_warned(&self, count: usize, when: &str) {
        for lines in self.scene.lines() {
            let warnings = lines.iter().filter(|line| line.level == "WARN").count();
            assert_eq!(warnings, count, "{when}: {lines:#?}");
        }
    }

    /// A new service is routed to, because what Consul says is followed again.
    fn must_follow(&self) {
        let mut services = SERVICES.to_vec();
        services.push("later");
        self.agent.set(Part::Catalog, &self.catalog(&services));
        let later = server_name("later");
        self.scene.gateways.iter().for_each(|gateway| gateway.wait_routed(&later, true));
    }

    /// Has everything asked again now, also what is asked for now and then.
    fn ask_anew(&self) {
        self.scene.gateways.iter().for_each(|gateway| drop(gateway.page("POST", "/reload")));
    }

    /// Waits until each gateway has asked so many times on average, and returns the time that
    /// took.
    fn time_of_questions(&self, part: Part, count: u64) -> Duration {
        let (begin, asked) = (Instant::now(), self.agent.asked(part));
        let enough = asked + count * self.scene.gateways.len() as u64;
        until(&format!("{count} more questions for {}", part.name()), || {
            (self.agent.asked(part) >= enough).then(|| begin.elapsed())
        })
    }
}

/// Each case with an agent of its own: they wait for much longer than they work.
fn at_the_same_time<T: Send>(cases: impl IntoIterator<Item = T>, test: fn(T)) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

fn server_name(service: &str) -> String {
    format!("{service}.default.dc1.internal.{TRUST_DOMAIN}")
}

#[test]
fn empty_answers_change_nothing() {
    let mut case = Case::start();
    case.agent.set(Part::Catalog, &json!([]));
    case.wait_failing("the catalog came without a node");
    case.agent.set(Part::Roots, &json!({}));
    case.ask_anew();
    case.wait_failing("names no trust domain");
    case.must_route_as_before("after empty answers");
    case.must_have_warned(2, "one of each part");
    case.agent.set(Part::Roots, &roots(TRUST_DOMAIN));
    case.must_follow();
    case.scene.wait_well("all is answered again");
    case.scene.end_traffic();
}

#[test]
fn broken_answers_change_nothing() {
    let mut case = Case::start();
    let whole = case.catalog(&SERVICES).to_string();
    let cut = whole.as_bytes()[..whole.len() / 2].to_vec();
    case.agent.set_bytes(Part::Catalog, cut);
    case.wait_failing("is not what Consul sends");
    case.must_route_as_before("after truncated JSON");
    case.must_have_warned(1, "truncated JSON");
    // Within seconds the state is not told again, however it changes.
    case.agent.behave(Part::Catalog, Manner::CutOff);
    case.wait_failing("closed the connection after");
    case.agent.behave(Part::Catalog, Manner::Usual);
    case.agent.set_bytes(Part::Catalog, vec![0xff; 4096]);
    case.wait_failing("is not what Consul sends");
    case.agent.set_bytes(Part::Catalog, b"{\"Nodes\": {}}".to_vec());
    case.time_of_questions(Part::Catalog, 1);
    case.must_route_as_before("after garbage");
    for lines in case.scene.lines() {
        let of_part = lines.iter().filter(|line| line.text.contains("its last answer stays"));
        assert_eq!(of_part.count(), 1, "{lines:#?}");
        assert!(lines.len() <= 3, "{lines:#?}");
    }
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn huge_answers_cost_bounded_memory() {
    at_the_same_time([Manner::Huge(1 << 30), Manner::Packed(1 << 28)], answer_hugely);
}

fn answer_hugely(manner: Manner) {
    // From beside it nobody takes what is packed.
    let mut case = match manner {
        Manner::Packed(_) => Case::start_at(FakeAgent::url_from_afar),
        _ => Case::start(),
    };
    let peaks: Vec<u64> = case.scene.gateways.iter().map(Program::memory_peak_bytes).collect();
    case.agent.behave(Part::Catalog, manner.clone());
    case.wait_failing("answered /v1/internal/ui/nodes with more than");
    case.must_route_as_before("after a huge answer");
    for (gateway, before) in case.scene.gateways.iter().zip(peaks) {
        let more = gateway.memory_peak_bytes() - before;
        println!("figure: {} MiB more for {manner:?}", more >> 20);
        assert!(more < MEMORY_MORE_BYTES_MAX, "{more} bytes more for {manner:?}");
    }
    case.must_have_warned(1, "a huge answer");
    case.agent.behave(Part::Catalog, Manner::Usual);
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn without_the_critical_checks_the_catalog_decides() {
    let mut case = Case::start();
    let critical = |id: &str| {
        let status = "critical";
        json!([{ "Node": "n1", "ServiceID": "web-proxy", "CheckID": id, "Status": status }])
    };
    let is_healthy = |healthy: bool| {
        let name = server_name("web");
        for gateway in &case.scene.gateways {
            until("the health of web", || {
                let page = gateway.page("GET", &format!("/routes?sni={name}"));
                let routes: Value = serde_json::from_str(&page).unwrap();
                (routes["endpoints"][0]["healthy"] == healthy).then_some(())
            });
        }
    };
    case.agent.set(Part::Critical, &critical("first"));
    is_healthy(false);
    for manner in [Manner::Status(500, "no"), Manner::Status(404, ""), Manner::CutOff] {
        case.agent.behave(Part::Critical, manner);
        // Another answer, of the same.
        let mut catalog = case.catalog(&SERVICES);
        catalog[1]["Meta"] = json!({ "asked": case.agent.asked(Part::Critical).to_string() });
        case.agent.set(Part::Catalog, &catalog);
        is_healthy(true);
        case.agent.behave(Part::Critical, Manner::Usual);
        // What is not there is asked for now and then.
        case.ask_anew();
        is_healthy(false);
        // And held again from then on.
        case.agent.set(Part::Critical, &json!([]));
        is_healthy(true);
        case.agent.set(Part::Critical, &critical("again"));
        is_healthy(false);
    }
    case.agent.set(Part::Critical, &json!([]));
    is_healthy(true);
    case.scene.end_traffic();
}

#[test]
fn an_answer_of_a_byte_per_second_is_given_up() {
    let mut case = Case::start();
    // After a failure the question is not held, so that its time is 17 s.
    case.agent.behave(Part::Catalog, Manner::Status(500, "soon"));
    case.wait_failing("500 (soon)");
    let asked = case.agent.asked(Part::Catalog);
    case.agent.behave(Part::Catalog, Manner::Trickle);
    case.wait_failing("bytes of its answer to /v1/internal/ui/nodes within");
    case.must_route_as_before("during a slow answer");
    let questions = case.agent.asked(Part::Catalog) - asked;
    assert!(questions <= 3 * case.scene.gateways.len() as u64, "{questions}");
    case.agent.behave(Part::Catalog, Manner::Usual);
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn an_index_that_is_none_makes_no_hot_loop_and_hides_no_change() {
    at_the_same_time([Index::Backwards, Index::Zero, Index::Missing, Index::Garbage], ask_at_once);
}

#[test]
fn answers_at_once_for_ever_make_no_hot_loop_and_hide_no_change() {
    at_the_same_time([Index::Right, Index::Rising], ask_at_once);
}

fn ask_at_once(index: Index) {
    let mut case = Case::start();
    for part in [Part::Catalog, Part::Critical, Part::Gateways, Part::Resolvers] {
        case.agent.behave(part, Manner::AtOnce(index));
    }
    // The first ones may come quickly; then there are 800 ms from one to the next.
    case.time_of_questions(Part::Critical, 4);
    let time = case.time_of_questions(Part::Critical, 3);
    println!("figure: 3 questions in {} ms with {index:?}", time.as_millis());
    assert!(time > Duration::from_millis(1500), "{index:?}: {time:?}");
    case.must_route_as_before("while answers come at once");
    case.must_have_warned(0, "nothing is wrong with the answers");
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn names_that_no_server_can_have_are_left_out_and_told() {
    let mut case = Case::start();
    let long = "x".repeat(300);
    let mut services = SERVICES.to_vec();
    services.extend([
        "",
        " ",
        "a b",
        "nul\0",
        "\u{fc}ml\u{e4}ut",
        "a..b",
        "*",
        "\u{1b}[31m",
        &long,
    ]);
    services.extend(["web", "WEB", "later"]);
    case.agent.set(Part::Catalog, &case.catalog(&services));
    for gateway in &case.scene.gateways {
        gateway.wait_routed(&server_name("later"), true);
        let routes = gateway.routes();
        for service in SERVICES {
            assert!(routed(&routes, &server_name(service)), "{service}");
        }
        let notes = routes["source"]["notes"].as_array().unwrap().len();
        assert!(notes >= 5, "{routes:#}");
        let (_, listing) = gateway.list(&[]);
        assert!(listing.contains("left out: "), "{listing}");
        assert!(!listing.contains('\u{1b}') && !listing.contains('\0'), "{listing:?}");
        assert!(!gateway.text().contains('\u{1b}'));
    }
    case.scene.must_flow("with garbage beside");
    case.scene.end_traffic();
}

#[test]
fn errors_for_a_long_time_are_asked_for_ever_more_seldom() {
    let mut case = Case::start();
    for part in Part::ALL {
        case.agent.behave(part, Manner::Status(500, "rpc error: no such luck"));
    }
    case.wait_failing("500 (rpc error: no such luck)");
    let first = case.time_of_questions(Part::Catalog, 3);
    let then = case.time_of_questions(Part::Catalog, 2);
    println!("figure: 3 questions in {} ms, 2 more in {}", first.as_millis(), then.as_millis());
    assert!(then > Duration::from_millis(1200), "{then:?}");
    case.must_route_as_before("while all fails");
    for lines in case.scene.lines() {
        // What fails in the same way everywhere is told of the first, and then of the agent.
        assert_eq!(lines.len(), 2, "{lines:#?}");
    }
    for part in Part::ALL {
        case.agent.behave(part, Manner::Usual);
    }
    case.scene.wait_well("all is answered again");
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn redirects_are_not_followed_and_told() {
    let mut case = Case::start();
    let elsewhere = FakeAgent::start(&BTreeMap::from([(Part::Catalog, case.catalog(&["x"]))]));
    let to = elsewhere.url().trim_start_matches("http://").parse().unwrap();
    case.agent.behave(Part::Catalog, Manner::Redirect(to));
    case.wait_failing(&format!("it redirects to {}/v1/internal/ui/nodes", elsewhere.url()));
    case.time_of_questions(Part::Catalog, 3);
    assert_eq!(elsewhere.asked(Part::Catalog), 0);
    case.must_route_as_before("while it redirects");
    case.must_have_warned(1, "a redirect");
    case.agent.behave(Part::Catalog, Manner::Usual);
    case.must_follow();
    case.scene.end_traffic();
}

#[test]
fn until_every_answer_was_once_good_it_says_what_lacks_and_is_not_ready() {
    let echo = Echo::start(&server_name("web"));
    for (part, empty, reason) in [
        (Part::Catalog, json!([]), "the catalog came without a node"),
        (Part::Servers, json!([]), "does not show this token even the servers"),
        (Part::Datacenters, json!([]), "Consul names no datacenter"),
        (Part::Roots, json!({}), "Consul names no trust domain"),
    ] {
        let good = answers(&SERVICES, echo.address);
        let mut lacking = good.clone();
        lacking.insert(part, empty);
        let agent = FakeAgent::start(&lacking);
        let mut gateway = Launch::registered(ENGINES[0], &agent.url(), "gateway").start();
        gateway.wait_line(reason);
        assert_eq!(gateway.readiness(), Some(503), "{}", part.name());
        echo.visit(gateway.address()).expect_err("it routes by a part of what there is");
        agent.set(part, &good[&part]);
        gateway.wait_ready();
        echo.visit(gateway.address()).unwrap();
    }
}
