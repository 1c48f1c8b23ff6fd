use std::collections::BTreeMap;

use super::page;
use crate::admin::exposition::Format;
use crate::admin::exposition::reader::{Read, read};
use crate::admin::testing::{publish, shared};
use crate::kernel::Tick;
use crate::refusal::Refusal;

fn value(families: &BTreeMap<String, Read>, series: &str) -> Option<f64> {
    families.values().find_map(|family| family.samples.get(series).copied())
}

#[test]
fn a_page_is_right_in_both_formats_before_and_after_there_is_anything_to_say() {
    let shared = shared();
    for _ in 0..2 {
        let text = read(&page(&shared, Format::Text), Format::Text);
        let open = read(&page(&shared, Format::OpenMetrics), Format::OpenMetrics);
        assert_eq!(text.len(), open.len());
        for (name, family) in &text {
            let is_ours = name.starts_with("sluice_") || name.starts_with("process_");
            assert!(is_ours, "{name}");
            let name = match &*family.kind {
                "counter" => name.strip_suffix("_total").expect("a counter without _total"),
                _ => name,
            };
            assert!(open.contains_key(name), "{name}");
        }
        let published = publish(&shared, &["a.example", "b.example"]);
        let now = Tick(crate::sys::process::monotonic_us());
        published.loads.first().unwrap().dialed(published.table.lookup("a.example").unwrap(), now);
    }
}

#[test]
fn every_number_that_workers_count_is_told() {
    let shared = shared();
    let before = page(&shared, Format::Text);
    let families = before.matches("# TYPE").count();
    let stats = shared.workers.first().unwrap();
    // As each counter is another number, each must be found.
    let names: Vec<&str> = stats.each().map(|(name, _)| name).collect();
    for (number, name) in (7_000_001..).step_by(1013).zip(&names) {
        // What nobody writes but this test.
        stats.set_by_name(name, number);
    }
    let after = page(&shared, Format::Text);
    let told = read(&after, Format::Text);
    let values: Vec<f64> =
        told.values().flat_map(|family| family.samples.values().copied()).collect();
    for (number, name) in (7_000_001_u32..).step_by(1013).zip(&names) {
        // Sessions that leave for another worker do so in no gateway yet.
        let is_told = values.contains(&f64::from(number)) || *name == "detached";
        assert!(is_told, "{name} is not told");
    }
    assert_eq!(after.matches("# TYPE").count(), families);
}

#[test]
fn workers_are_told_apart_only_where_it_is_about_them() {
    let shared = shared();
    let [first, second] = shared.workers.as_slice() else { panic!("two workers") };
    first.turns.add(3);
    second.turns.add(4);
    first.accepted.add(5);
    second.accepted.add(6);
    second.refuse(Refusal::NotTls);
    let told = read(&page(&shared, Format::Text), Format::Text);
    assert_eq!(value(&told, "sluice_worker_turns_total{worker=\"1\"}"), Some(4.0));
    assert_eq!(value(&told, "sluice_connections_accepted_total"), Some(11.0));
    assert_eq!(value(&told, "sluice_refusals_total{reason=\"not_tls\"}"), Some(1.0));
    for (name, family) in &told {
        let by_worker = family.samples.keys().any(|series| series.contains("worker="));
        assert_eq!(by_worker, name.starts_with("sluice_worker_"), "{name}");
    }
}

#[test]
fn times_are_counted_up_to_their_bounds() {
    let shared = shared();
    let stats = shared.workers.first().unwrap();
    stats.dial_times.record(64);
    stats.dial_times.record(65);
    stats.dial_times.record(40_000_000);
    let told = read(&page(&shared, Format::Text), Format::Text);
    let bucket = |le| value(&told, &format!("sluice_dial_seconds_bucket{{le=\"{le}\"}}")).unwrap();
    assert_eq!([bucket("3.2e-05"), bucket("6.4e-05"), bucket("0.000128")], [0.0, 1.0, 2.0]);
    assert_eq!([bucket("16.777216"), bucket("+Inf")], [2.0, 3.0]);
    assert_eq!(value(&told, "sluice_dial_seconds_sum"), Some(40.000_129));
}

#[test]
fn clusters_have_series_while_they_are_used_and_not_too_many() {
    let shared = shared();
    let published = publish(&shared, &["a.example", "b.example", "c.example"]);
    let now = Tick(crate::sys::process::monotonic_us());
    for name in ["a.example", "c.example"] {
        let id = published.table.lookup(name).unwrap();
        published.loads.first().unwrap().moved(id, 3, 4, now);
    }
    let told = |count_max| {
        shared.set_metrics_cluster_count_max(count_max);
        read(&page(&shared, Format::Text), Format::Text)
    };
    let bytes = |told: &BTreeMap<String, Read>, name: &str, direction: &str| {
        let labels = format!("{{cluster=\"{name}\",direction=\"{direction}\"}}");
        value(told, &format!("sluice_cluster_relayed_bytes_total{labels}"))
    };
    let all = told(10);
    assert_eq!(bytes(&all, "a.example", "up"), Some(3.0));
    assert_eq!(bytes(&all, "c.example", "down"), Some(4.0));
    assert_eq!(bytes(&all, "b.example", "up"), None);
    assert_eq!(value(&all, "sluice_clusters_left_out"), Some(0.0));
    let one = told(1);
    assert_eq!(one["sluice_cluster_dials_total"].samples.len(), 1);
    assert_eq!(value(&one, "sluice_clusters_left_out"), Some(1.0));
    assert_eq!(value(&one, "sluice_table_endpoints{state=\"critical\"}"), Some(3.0));
    assert_eq!(value(&one, "sluice_table_workers_behind"), Some(2.0), "nobody took it yet");
}
