use serde_json::Value;

use super::*;
use crate::tls::client_hello::HelloError;

const CLOCK: WallClock = WallClock { monotonic_us: 5_000_000, unix_us: 1_460_751_605_000_000 };

fn record(end: End) -> SessionRecord {
    let mut record = SessionRecord::new(end, Tick(0), Tick(4_321_999), 3);
    record.set_server_name("web.default.dc1.internal.example.consul");
    record.bytes_up = 11;
    record.bytes_down = 22;
    record.attempt_count = 1;
    record.downstream_peer = Some("10.0.0.1:40000".parse().unwrap());
    record.upstream_peer = Some("[2001:db8::1]:20000".parse().unwrap());
    record.cluster = Some(ClusterId(7));
    record
}

fn line(format: LogFormat, record: &SessionRecord) -> String {
    let mut line = Vec::new();
    let name = |id: ClusterId| (id.0 == 7).then(|| Arc::from("web"));
    format_line(format, record, CLOCK, name, &mut line);
    String::from_utf8(line).unwrap()
}

fn json(record: &SessionRecord) -> Value {
    serde_json::from_str(&line(LogFormat::Json, record)).unwrap()
}

#[test]
fn has_the_default_keys_of_consul_and_ours() {
    let entry = json(&record(End::Finished));
    let keys: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "authority",
        "bytes_received",
        "bytes_sent",
        "connection_termination_details",
        "downstream_local_address",
        "downstream_remote_address",
        "duration",
        "method",
        "path",
        "protocol",
        "request_id",
        "requested_server_name",
        "response_code",
        "response_code_details",
        "response_flags",
        "route_name",
        "start_time",
        "upstream_cluster",
        "upstream_host",
        "upstream_local_address",
        "upstream_service_time",
        "upstream_transport_failure_reason",
        "user_agent",
        "x_forwarded_for",
    ] {
        assert!(keys.contains(&key), "{key}");
    }
    assert_eq!(keys.len(), 24 + 6);
}

#[test]
fn says_what_happened() {
    let entry = json(&record(End::Finished));
    assert_eq!(entry["start_time"], "2016-04-15T20:20:00.000Z");
    assert_eq!(entry["duration"], 4321);
    assert_eq!((&entry["bytes_received"], &entry["bytes_sent"]), (&11.into(), &22.into()));
    assert_eq!(entry["upstream_cluster"], "web");
    assert_eq!(entry["upstream_host"], "[2001:db8::1]:20000");
    assert_eq!(entry["downstream_remote_address"], "10.0.0.1:40000");
    assert_eq!(entry["requested_server_name"], "web.default.dc1.internal.example.consul");
    assert_eq!((&entry["response_flags"], &entry["reason"]), (&"-".into(), &"finished".into()));
    assert_eq!(entry["downstream_local_address"], Value::Null);
    assert_eq!((&entry["worker"], &entry["response_code"]), (&3.into(), &0.into()));
}

#[test]
fn refusals_have_their_flag_and_reason() {
    for (why, flag) in [
        (Refusal::UnknownName, "NR"),
        (Refusal::NoEndpoints, "UH"),
        (Refusal::ConnectFailed, "UF"),
        (Refusal::MalformedHello, "DPE"),
    ] {
        let entry = json(&record(End::Refused(why)));
        assert_eq!(entry["response_flags"], flag);
        assert_eq!(entry["reason"], why.name());
        assert_eq!(entry["connection_termination_details"], why.sentence());
    }
    let mut retried = record(End::Refused(Refusal::ConnectFailed));
    retried.attempt_count = 3;
    assert_eq!(json(&retried)["response_flags"], "UF,URX");
}

#[test]
fn a_malformed_hello_is_told_with_the_rule_that_it_broke() {
    let mut malformed = record(End::Refused(Refusal::MalformedHello));
    assert_eq!(json(&malformed)["reason_detail"], Value::Null);
    assert!(!line(LogFormat::Text, &malformed).contains("detail="));
    malformed.hello_error = Some(HelloError::RecordTooLong);
    assert_eq!(json(&malformed)["reason_detail"], "a record is longer than 16384 bytes");
    let text = line(LogFormat::Text, &malformed);
    assert!(text.ends_with(" detail=\"a record is longer than 16384 bytes\"\n"), "{text}");
}

#[test]
fn a_hostile_name_cannot_forge_a_line() {
    let mut forged = record(End::Refused(Refusal::UnknownName));
    forged.set_server_name("a\"}\n{\"reason\":\"finished\u{1b}[2J");
    for format in [LogFormat::Json, LogFormat::Text] {
        let line = line(format, &forged);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.trim_end().chars().all(|c| !c.is_control()), "{line}");
    }
    assert_eq!(json(&forged)["requested_server_name"], forged.server_name());
    assert_eq!(json(&forged)["reason"], "unknown_name");
}

#[test]
fn a_cluster_that_is_gone_leaves_a_null() {
    let mut orphan = record(End::Finished);
    orphan.cluster = Some(ClusterId(8));
    assert_eq!(json(&orphan)["upstream_cluster"], Value::Null);
    let nameless = SessionRecord::new(End::Refused(Refusal::NotTls), Tick(0), Tick(1), 0);
    assert_eq!(json(&nameless)["requested_server_name"], Value::Null);
    assert!(line(LogFormat::Text, &nameless).contains("\"-\" - -> \"-\" - NR not_tls up=0"));
}
