//! Following several datacenters of a fake agent, on a clock that jumps.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::consul::agent::fake::{Asked, Fake, Reply, held, reply, run};
use crate::consul::agent::{Address, AgentSettings};

const THERE: &str = "GET /v1/health/service/mesh-gateway?dc=dc2";

fn gateway(id: &str, index: u64) -> Value {
    json!({ "Service": {
        "Kind": "mesh-gateway", "Service": "mesh-gateway", "ID": id, "ModifyIndex": index,
    }})
}

/// Follows everything of an agent whose federation states have one gateway of dc2, and which
/// answers thus for those that dc2 itself has. Returns what was asked, and the gateways offered.
fn follow_for(
    time: Duration,
    there: impl Fn(&Asked) -> Reply + 'static,
) -> (Vec<String>, Vec<String>) {
    run(true, async move {
        let states = json!({ "dc1": [gateway("own", 1)], "dc2": [gateway("old", 5)] }).to_string();
        let (fake, address) = Fake::start(move |asked| {
            let path = asked.line.split(['?', ' ']).nth(1).unwrap();
            let body = match path {
                "/v1/internal/federation-states/mesh-gateways" => states.as_str(),
                "/v1/catalog/datacenters" => r#"["dc1","dc2"]"#,
                "/v1/health/service/consul" => r#"[{"Node":{"Datacenter":"dc1"}}]"#,
                "/v1/health/service/mesh-gateway" => return there(asked),
                _ => "[]",
            };
            held(asked, "7", body)
        })
        .await;
        let url = format!("http://{address}");
        let client = Client::new(&AgentSettings::at(Address::Url(url.parse().unwrap()))).unwrap();
        let offers = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&offers);
        let offer = async move |part, body: Bytes, _| {
            if part == Part::Gateways {
                let body: Value = serde_json::from_slice(&body).unwrap();
                seen.borrow_mut().push(body["dc2"][0]["Service"]["ID"].as_str().unwrap().into());
            }
            Verdict::Taken
        };
        let followed = Elsewhere::new(client, Arc::new(Status::new(url)), offer);
        for part in Part::ALL {
            spawn_local(Rc::clone(&followed).follow(part));
        }
        tokio::time::sleep(time).await;
        (fake.lines(), offers.take())
    })
}

#[test]
fn another_datacenter_is_asked_itself_and_the_own_is_not() {
    let new = json!([gateway("new", 9)]).to_string();
    let (lines, offers) = follow_for(Duration::from_secs(20), move |asked| held(asked, "9", &new));
    let asked: Vec<_> = lines.iter().filter(|line| line.contains("/mesh-gateway?")).collect();
    let expected = [THERE.to_owned(), format!("{THERE}&index=9&wait=30000ms")];
    assert_eq!(asked, expected.iter().collect::<Vec<_>>());
    assert_eq!(offers, ["old", "new"]);
}

#[test]
fn one_that_cannot_be_asked_is_asked_ever_more_seldom_and_changes_nothing() {
    let failure = "rpc error getting client: failed to get conn";
    let (lines, offers) = follow_for(Duration::from_secs(300), move |_| {
        Reply::Raw(reply("500 Internal Server Error", "", failure))
    });
    let count = lines.iter().filter(|line| line.as_str() == THERE).count();
    assert!((10..40).contains(&count), "{count} questions in 300 s");
    assert_eq!(offers, ["old"]);
}

#[test]
fn a_list_without_gateways_may_be_one_that_is_hidden() {
    let (_, offers) = follow_for(Duration::from_secs(20), |asked| held(asked, "9", "[]"));
    assert!(offers.iter().all(|id| id == "old"), "{offers:?}");
}
