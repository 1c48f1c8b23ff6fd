//! Following a fake agent, on a clock that jumps to where something happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_local;

use super::status::{Failure, Good, News};
use super::*;
use crate::consul::agent::fake::{Asked, Fake, Reply, good, held, reply, run};
use crate::consul::agent::{Address, AgentSettings, Client};

type Offers = Rc<RefCell<Vec<(String, Reading)>>>;

/// Follows a part of an agent that answers thus, for a time, and has every offer judged.
fn follow_for(
    part: Part,
    time: Duration,
    answer: impl Fn(usize, &Asked) -> Reply + 'static,
    judge: impl Fn(&str, Reading) -> Verdict + 'static,
) -> (Vec<String>, Vec<(String, Reading)>, PartStatus) {
    run(true, async {
        let count = Cell::new(0);
        let (fake, address) = Fake::start(move |asked| {
            count.set(count.get() + 1);
            answer(count.get(), asked)
        })
        .await;
        let url = format!("http://{address}").parse().unwrap();
        let settings = AgentSettings::at(Address::Url(url));
        let client = Client::new(&settings).unwrap();
        let status = Arc::new(Status::new(format!("http://{address}")));
        let offers = Offers::default();
        let (own, seen) = (Arc::clone(&status), Rc::clone(&offers));
        spawn_local(follow(client, part, own, async move |_, body: bytes::Bytes, reading| {
            let body = String::from_utf8(body.to_vec()).unwrap();
            let verdict = judge(&body, reading);
            seen.borrow_mut().push((body, reading));
            verdict
        }));
        tokio::time::sleep(time).await;
        (fake.lines(), offers.borrow().clone(), status.part(part))
    })
}

fn take(_: &str, _: Reading) -> Verdict {
    Verdict::Taken
}

#[test]
fn the_catalog_is_waited_for() {
    let (lines, offers, status) = follow_for(
        Part::Catalog,
        Duration::from_secs(100),
        |_, asked| held(asked, "7", "[]"),
        take,
    );
    assert_eq!(lines[0], "GET /v1/internal/ui/nodes?stale=");
    assert_eq!(lines[1], "GET /v1/internal/ui/nodes?index=7&wait=30000ms&stale=");
    assert_eq!((lines.len(), offers.len()), (5, 1));
    assert_eq!((status.index, status.answer_count, status.reason), (Some(7), 4, None));
}

#[test]
fn datacenters_are_polled() {
    let (lines, offers, _) = follow_for(
        Part::Datacenters,
        Duration::from_secs(100),
        |_, _| Reply::Raw(reply("200 OK", "", "[]")),
        take,
    );
    assert_eq!(lines, vec!["GET /v1/catalog/datacenters"; 4]);
    assert_eq!(offers.len(), 1);
}

#[test]
fn what_is_held_is_confirmed_by_the_leader() {
    let judge = |body: &str, reading| match (body, reading) {
        ("[]", Reading::Ordinary) => Verdict::Held(Duration::from_secs(20)),
        _ => Verdict::Taken,
    };
    let (lines, offers, _) = follow_for(
        Part::Catalog,
        Duration::from_secs(100),
        |count, asked| held(asked, "7", if count == 1 { "[1]" } else { "[]" }),
        judge,
    );
    let expected = [
        ("[1]".to_owned(), Reading::Ordinary),
        ("[]".to_owned(), Reading::Ordinary),
        ("[]".to_owned(), Reading::Confirmed),
    ];
    assert_eq!(offers, expected);
    assert_eq!(lines.iter().filter(|line| line.ends_with("?consistent=")).count(), 1);
}

#[test]
fn failures_leave_what_is_in_force_and_are_known() {
    let (lines, offers, status) = follow_for(
        Part::Catalog,
        Duration::from_secs(3600),
        |count, _| match count {
            1 => good("7", "[]"),
            _ => Reply::Raw(reply("500 Internal Server Error", "", "No cluster leader")),
        },
        take,
    );
    assert!((130..260).contains(&lines.len()), "{} attempts", lines.len());
    assert_eq!(offers.len(), 1);
    assert_eq!((status.index, status.failures as usize), (Some(7), lines.len() - 1));
    assert!(status.reason.unwrap().contains("No cluster leader"));
}

#[test]
fn a_rejected_answer_is_a_failure() {
    let (_, offers, status) = follow_for(
        Part::Roots,
        Duration::from_secs(1),
        |_, _| good("7", "garbage"),
        |_, _| Verdict::Rejected("it is no JSON".to_owned()),
    );
    assert!(offers.len() > 1 && offers.len() < 10, "{}", offers.len());
    let reason = status.reason.unwrap();
    assert!(
        reason.ends_with("answered /v1/connect/ca/roots with what Consul does not: it is no JSON"),
        "{reason}"
    );
}

#[test]
fn a_server_without_a_leader_is_doubted_once_there_is_something_better() {
    let lost = "X-Consul-Index: 7\r\nX-Consul-Knownleader: false\r\n";
    let (lines, offers, status) = follow_for(
        Part::Catalog,
        Duration::from_secs(2),
        move |count, asked| match (count, asked.line.contains("stale")) {
            (1, _) => Reply::Raw(reply("200 OK", lost, "[1]")),
            (_, true) => Reply::Raw(reply("200 OK", lost, "[]")),
            (_, false) => Reply::Raw(reply("500 No", "", "No cluster leader")),
        },
        take,
    );
    assert_eq!(offers, [("[1]".to_owned(), Reading::Ordinary)]);
    assert!(lines[2..].iter().all(|line| !line.contains("stale")), "{lines:?}");
    assert!(status.reason.unwrap().contains("No cluster leader"));
}

fn failure(reason: &str, of_agent: bool) -> Failure {
    Failure { reason: reason.to_owned(), of_agent, answer: None }
}

const GOOD: Good = Good { index: None, bytes_count: 2, filtered_by_acls: false, held: false };

#[test]
fn a_failure_of_the_agent_is_told_once_for_all_parts() {
    let status = Status::new("http://a:1".into());
    let start = Instant::now();
    let mut told = Vec::new();
    for second in 0..3600 {
        for part in Part::ALL {
            let now = start + Duration::from_secs(second);
            told.extend(status.failed(part, failure("refused", true), now));
        }
    }
    let end = start + Duration::from_secs(3600);
    told.extend(Part::ALL.iter().flat_map(|part| status.well(*part, GOOD, end)));
    assert_eq!(
        told,
        [
            News::Fails { part: None, reason: "refused".into() },
            News::Well { part: None, after: Duration::from_secs(3600) },
        ]
    );
    assert_eq!(status.behind(end), None);
}

#[test]
fn a_failure_of_one_part_is_told_as_such() {
    let status = Status::new("http://a:1".into());
    let start = Instant::now();
    let part = Some(Part::Catalog);
    status.well(Part::Catalog, GOOD, start);
    let later = start + Duration::from_secs(20);
    let told = status.failed(Part::Catalog, failure("forbidden", false), later);
    assert_eq!(told, Some(News::Fails { part, reason: "forbidden".into() }));
    assert_eq!(status.well(Part::Roots, GOOD, later), []);
    assert_eq!(status.behind(later), Some(Duration::from_secs(20)));
    let told = status.well(Part::Catalog, GOOD, later);
    assert_eq!(told, [News::Well { part, after: Duration::ZERO }]);
}

#[test]
fn parts_that_fail_with_the_same_answer_fail_together() {
    let status = Status::new("http://a:1".into());
    let start = Instant::now();
    let answered = |part: Part| {
        let answer = Some((500, "no such luck".to_owned()));
        Failure { reason: part.name().to_owned(), of_agent: false, answer }
    };
    let mut told = Vec::new();
    for second in 0..3600 {
        for part in Part::ALL {
            let now = start + Duration::from_secs(second);
            told.extend(status.failed(part, answered(part), now));
        }
    }
    // One part may be the only one; with the second it is the agent.
    let [first, second, ..] = Part::ALL;
    assert_eq!(
        told,
        [
            News::Fails { part: Some(first), reason: first.name().into() },
            News::Fails { part: None, reason: second.name().into() },
        ]
    );
    let end = start + Duration::from_secs(3600);
    let told: Vec<News> = Part::ALL.iter().flat_map(|part| status.well(*part, GOOD, end)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn flapping_does_not_flood_the_log() {
    let status = Status::new("http://a:1".into());
    let start = Instant::now();
    let mut count = 0;
    for step in 0..36_000 {
        let now = start + Duration::from_millis(step * 100);
        count += match step % 2 {
            0 => status.failed(Part::Roots, failure("no", true), now).iter().count(),
            _ => status.well(Part::Roots, GOOD, now).len(),
        };
    }
    // Two lines in ten seconds at the most, for an hour.
    assert!((2..=720).contains(&count), "{count} lines");
}

#[test]
fn an_agent_without_federation_states_is_asked_for_them_now_and_then() {
    let (lines, offers, status) = follow_for(
        Part::Gateways,
        Duration::from_secs(100),
        |_, _| Reply::Raw(reply("404 Not Found", "", "")),
        take,
    );
    assert_eq!(offers, [("{}".to_owned(), Reading::Ordinary)]);
    assert!(lines.len() <= 5, "{lines:?}");
    assert_eq!(status.reason, None);
    // For all else a 404 is a failure.
    let (_, offers, status) = follow_for(
        Part::Catalog,
        Duration::from_secs(10),
        |_, _| Reply::Raw(reply("404 Not Found", "", "")),
        take,
    );
    assert!(offers.is_empty() && status.reason.is_some());
}

#[test]
fn an_agent_without_terminating_gateways_has_none() {
    let said = "Bad request: invalid config entry kind: terminating-gateway";
    let (_, offers, status) = follow_for(
        Part::TerminatingGateways,
        Duration::from_secs(10),
        move |_, _| Reply::Raw(reply("400 Bad Request", "", said)),
        take,
    );
    assert_eq!(offers, [("[]".to_owned(), Reading::Ordinary)]);
    assert_eq!(status.reason, None);
}

/// A gateway serves without them; whoever has peers learns that the token has lost its right.
#[test]
fn exports_that_were_never_seen_are_none_and_those_that_were_are_kept() {
    let denied = "Permission denied: token lacks permission 'mesh:read'";
    let refused = move || Reply::Raw(reply("403 Forbidden", "", denied));
    let time = Duration::from_secs(100);
    let (lines, offers, status) = follow_for(Part::Exports, time, move |_, _| refused(), take);
    assert_eq!(lines, vec!["GET /v1/exported-services"; 4]);
    assert_eq!(offers, [("[]".to_owned(), Reading::Ordinary)]);
    assert_eq!(status.reason, None);
    let seen = r#"[{"Service":"web"}]"#;
    let answer = move |count, _: &Asked| match count {
        1 => Reply::Raw(reply("200 OK", "", seen)),
        _ => refused(),
    };
    let (_, offers, status) = follow_for(Part::Exports, time, answer, take);
    assert_eq!(offers, [(seen.to_owned(), Reading::Ordinary)]);
    assert!(status.reason.is_some_and(|reason| reason.contains("mesh:read")));
}
