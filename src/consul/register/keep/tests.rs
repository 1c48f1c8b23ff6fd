//! Keeping a registration with a fake agent, on a clock that jumps to where something happens.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::*;
use crate::consul::agent::fake::{Asked, Fake, Reply, reply, run};
use crate::consul::agent::{Address, AgentSettings};
use crate::consul::register::{Owned, State, Wanted};
use crate::control::shared::lock;

const HOUR: Duration = Duration::from_secs(3600);

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(lock(&self.0).clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Keeps a registration for a time with an agent that answers thus, by the time since the
/// start. Returns what the agent was asked, what was logged, and how it stands.
fn keep_for(
    time: Duration,
    health: Health,
    answer: impl Fn(Duration, &Asked) -> Reply + 'static,
) -> (Vec<String>, Vec<String>, State) {
    let owned = Owned::new(Wanted::of_service("gw")).unwrap();
    keep_as(Registration::Owned(Box::new(owned)), time, health, None, answer)
}

/// The same for another registration, with another health from some time on.
fn keep_as(
    registration: Registration,
    time: Duration,
    health: Health,
    then: Option<(Duration, Health)>,
    answer: impl Fn(Duration, &Asked) -> Reply + 'static,
) -> (Vec<String>, Vec<String>, State) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let (asked, state) = run(true, async {
        let start = Instant::now();
        let (fake, address) = Fake::start(move |asked| answer(start.elapsed(), asked)).await;
        let url = format!("http://{address}").parse().unwrap();
        let client = Client::new(&AgentSettings::at(Address::Url(url))).unwrap();
        let status = Arc::new(RegistrationStatus::default());
        let (tell, told) = watch::channel(health);
        spawn_local(keep(client, registration, told, Arc::clone(&status)));
        if let Some((after, health)) = then {
            sleep(after).await;
            tell.send_replace(health);
        }
        sleep(time.saturating_sub(start.elapsed())).await;
        (fake.lines(), status.state())
    });
    (asked, log.lines(), state)
}

fn well(asked: &Asked) -> Reply {
    let body = match asked.line.as_str() {
        "GET /v1/agent/service/gw" => {
            return Reply::Raw(reply("404 Not Found", "", "unknown service ID: gw"));
        }
        "GET /v1/catalog/service/gw?stale=" => "[]",
        "GET /v1/agent/checks" => "{}",
        _ => "",
    };
    Reply::Raw(reply("200 OK", "", body))
}

#[test]
fn one_registration_then_a_beat_every_five_seconds() {
    let (asked, log, state) =
        keep_for(Duration::from_secs(61), Health::Passing, |_, asked| well(asked));
    let beat = "PUT /v1/agent/check/update/sluice%3Agw";
    let (beats, others): (Vec<_>, Vec<_>) = asked.iter().partition(|line| *line == beat);
    assert_eq!(beats.len(), 13, "{asked:?}");
    let expected = [
        "GET /v1/agent/service/gw",
        "GET /v1/catalog/service/gw?stale=",
        "PUT /v1/agent/service/register",
        "GET /v1/agent/checks",
    ];
    assert_eq!(others, expected);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(state, State::Told(Health::Passing));
}

#[test]
fn an_hour_of_failures_is_two_lines_and_no_hot_loop() {
    let (asked, log, state) = keep_for(HOUR * 2, Health::Passing, |elapsed, asked| {
        if (HOUR / 2..HOUR * 3 / 2).contains(&elapsed) {
            return Reply::Raw(reply("500 Internal Server Error", "", "out of order"));
        }
        well(asked)
    });
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains("INFO") && log[0].contains("knows this gateway"), "{log:?}");
    assert!(log[1].contains("WARN") && log[1].contains("500 (out of order)"), "{log:?}");
    assert!(log[2].contains("INFO") && log[2].contains("knows this gateway again"), "{log:?}");
    let looked = asked.iter().filter(|line| *line == "GET /v1/agent/service/gw").count();
    // One attempt in two and a half to five seconds of that hour.
    assert!((720..1500).contains(&looked), "{looked} attempts");
    assert_eq!(state, State::Told(Health::Passing));
}

#[test]
fn who_leaves_before_the_agent_was_there_is_not_registered() {
    let leaving = Health::Leaving("it was told to end".into());
    let (asked, _, state) = keep_for(Duration::from_secs(60), leaving.clone(), |elapsed, asked| {
        if elapsed < Duration::from_secs(20) {
            return Reply::Last(Vec::new());
        }
        if asked.line.starts_with("PUT /v1/agent/check/update/") {
            let body = "CheckID \"sluice:gw\" does not have associated TTL";
            return Reply::Raw(reply("500 Internal Server Error", "", body));
        }
        well(asked)
    });
    assert!(asked.iter().all(|line| line.starts_with("PUT /v1/agent/check/update/")), "{asked:?}");
    assert_eq!(state, State::Told(leaving));
}

/// The agent has a registration of others and its check, into which another gateway writes, too,
/// when `writes` says so.
fn keep_beside_another(
    time: Duration,
    health: Health,
    writes: impl Fn(Duration) -> bool + 'static,
) -> (Vec<String>, Vec<String>, State) {
    let said = RefCell::new(String::new());
    let another = "Sluice serves. (process 1, 0000abcd)";
    let foreign = Registration::Foreign { proxy_id: "gw".to_owned() };
    keep_as(foreign, time, health, None, move |elapsed, asked| {
        let (line, mut said) = (asked.line.as_str(), said.borrow_mut());
        let body = if line.starts_with("GET /v1/agent/service/") {
            json!({ "Kind": "mesh-gateway", "ID": "gw", "Service": "gw" }).to_string()
        } else if line.starts_with("GET /v1/agent/checks?filter=") {
            json!({ "sluice:gw": { "CheckID": "sluice:gw", "Output": *said } }).to_string()
        } else if line.starts_with("PUT /v1/agent/check/update/") {
            let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            body["Output"].as_str().unwrap().clone_into(&mut said);
            if writes(elapsed) {
                another.clone_into(&mut said);
            }
            String::new()
        } else {
            String::new()
        };
        Reply::Raw(reply("200 OK", "", &body))
    })
}

#[test]
fn who_shares_a_registration_is_told_once_and_when_it_is_over() {
    let second = Duration::from_secs;
    let writes = move |elapsed| (second(20)..second(60)).contains(&elapsed);
    let (asked, log, state) = keep_beside_another(second(120), Health::Passing, writes);
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains("knows this gateway"), "{log:?}");
    let told = "another gateway (process 1, 0000abcd) attaches its health to the service \"gw\"";
    assert!(log[1].contains("WARN") && log[1].contains(told), "{log:?}");
    assert!(log[2].contains("knows this gateway again"), "{log:?}");
    assert_eq!(state, State::Told(Health::Passing));
    let beats = asked.iter().filter(|line| line.starts_with("PUT /v1/agent/check/update/"));
    assert!(beats.count() >= 25, "it goes on beating: {asked:?}");
    let attached = asked.iter().filter(|line| *line == "PUT /v1/agent/check/register");
    assert_eq!(attached.count(), 1, "{asked:?}");
}

#[test]
fn who_leaves_last_to_beat_looks_whether_another_goes_on() {
    let second = Duration::from_secs;
    for other_stays in [true, false] {
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let (told, said) = (Arc::clone(&statuses), RefCell::new(String::new()));
        let another = "Sluice serves. (process 1, 0000abcd)";
        let foreign = Registration::Foreign { proxy_id: "gw".to_owned() };
        let leaving = Health::Leaving("told to end".into());
        let then = Some((second(30), leaving));
        keep_as(foreign, second(45), Health::Passing, then, move |elapsed, asked| {
            let (line, mut said) = (asked.line.as_str(), said.borrow_mut());
            let body = if line.starts_with("GET /v1/agent/service/") {
                json!({ "Kind": "mesh-gateway", "ID": "gw", "Service": "gw" }).to_string()
            } else if line.starts_with("GET /v1/agent/checks?filter=") {
                // It beats after us each time, but for the moment when we are told to end.
                let is_last = elapsed < second(30) || (other_stays && elapsed > second(33));
                let output = if is_last { another } else { said.as_str() };
                json!({ "sluice:gw": { "CheckID": "sluice:gw", "Output": output } }).to_string()
            } else {
                if line.starts_with("PUT /v1/agent/check/update/") {
                    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
                    body["Output"].as_str().unwrap().clone_into(&mut said);
                    lock(&told).push(body["Status"].as_str().unwrap().to_owned());
                }
                String::new()
            };
            Reply::Raw(reply("200 OK", "", &body))
        });
        let statuses = lock(&statuses);
        assert!(statuses.iter().filter(|status| *status == "passing").count() > 4, "{statuses:?}");
        let is_critical = statuses.iter().any(|status| status == "critical");
        assert_eq!(is_critical, !other_stays, "{statuses:?}");
    }
}
