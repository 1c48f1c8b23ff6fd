use super::{Figures, Query, Reset, clusters, clusters_text, json, prometheus, server_info, text};
use crate::admin::exposition::Format;
use crate::admin::exposition::reader::read;
use crate::admin::testing::{node, publish, shared};
use crate::control::shared::{Phase, Shared};
use crate::kernel::Tick;
use crate::limits::EJECTION_FAILURES;
use crate::refusal::Refusal;

const WEB: &str = "web.default.dc1.internal.1111-22.consul";

fn now() -> Tick {
    Tick(crate::sys::process::monotonic_us())
}

/// What `/stats` says of a gateway.
fn stats(shared: &Shared, reset: &Reset, query: &Query) -> String {
    let (published, node) = (shared.published(), node());
    text(&Figures::of_all(shared, &published, &node), reset, query)
}

fn for_prometheus(shared: &Shared, query: &Query, cluster_count_max: usize) -> String {
    let (published, node) = (shared.published(), node());
    shared.set_metrics_cluster_count_max(cluster_count_max);
    let figures = Figures::of_used(shared, &published, &node);
    prometheus(&figures, &Reset::default(), query)
}

/// A gateway of which some cluster, a listener and the inspector have seen something.
fn busy() -> Shared {
    let shared = shared();
    let published = publish(&shared, &[WEB, "idle.example"]);
    let web = published.table.lookup(WEB).unwrap();
    let [first, second] = &*published.loads else { panic!("two workers") };
    first.entered(web);
    first.dialed(web, now());
    second.dialed(web, now());
    second.dial_failed(web);
    second.dial_timed_out(web);
    first.moved(web, 10, 20, now());
    let stats = shared.workers.last().unwrap();
    let listener = stats.listener(1).unwrap();
    listener.accepted.add(5);
    listener.sessions.add(2);
    listener.unmatched.add(1);
    stats.hello_times.record(30);
    stats.refuse(Refusal::NotTls);
    stats.probes.add(4);
    shared
}

#[test]
fn names_and_figures_are_those_that_dashboards_ask_for() {
    let shared = busy();
    let told = stats(&shared, &Reset::default(), &Query::default());
    for line in [
        &format!("cluster.{WEB}.upstream_cx_total: 2"),
        &format!("cluster.{WEB}.upstream_cx_active: 1"),
        &format!("cluster.{WEB}.upstream_cx_connect_fail: 1"),
        &format!("cluster.{WEB}.upstream_cx_connect_timeout: 1"),
        &format!("cluster.{WEB}.upstream_cx_tx_bytes_total: 10"),
        &format!("cluster.{WEB}.upstream_cx_rx_bytes_total: 20"),
        &format!("cluster.{WEB}.membership_total: 2"),
        &format!("cluster.{WEB}.membership_healthy: 1"),
        "cluster.idle.example.upstream_cx_total: 0",
        "listener.127.0.0.1_8443.downstream_cx_total: 0",
        "listener.[__1]_8443.downstream_cx_total: 5",
        "listener.[__1]_8443.downstream_cx_active: 2",
        "listener.[__1]_8443.no_filter_chain_match: 1",
        "tls_inspector.tls_found: 1",
        "tls_inspector.tls_not_found: 1",
        "tls_inspector.connection_closed: 4",
        "server.live: 1",
        "server.state: 0",
        "server.concurrency: 2",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
}

#[test]
fn prometheus_has_labels_and_only_clusters_that_are_used() {
    let shared = busy();
    let page = for_prometheus(&shared, &Query::default(), 10);
    let families = read(&page, Format::Text);
    let total = &families["envoy_cluster_upstream_cx_total"];
    assert_eq!((&*total.kind, total.samples.len()), ("counter", 1));
    let (series, value) = total.samples.first_key_value().unwrap();
    assert_eq!(*value, 2.0);
    for label in [
        format!("envoy_cluster_name=\"{WEB}\""),
        "local_cluster=\"mesh-gateway\"".to_owned(),
        "consul_destination_service=\"web\"".to_owned(),
        "consul_destination_datacenter=\"dc1\"".to_owned(),
    ] {
        assert!(series.contains(&label), "{label} is not in {series}");
    }
    assert_eq!(families["envoy_listener_downstream_cx_total"].samples.len(), 2);
    assert_eq!(families["envoy_cluster_outlier_detection_ejections_active"].samples.len(), 1);
    assert_eq!(families["envoy_server_live"].kind, "gauge");
    assert!(!for_prometheus(&shared, &Query::default(), 0).contains("envoy_cluster"));
}

#[test]
fn a_filter_and_usedonly_leave_out_the_rest() {
    let shared = busy();
    let query = |filter, used_only| Query::parse(filter, used_only).unwrap();
    let told = stats(&shared, &Reset::default(), &query(Some("^cluster.*cx_total$"), false));
    assert_eq!(told.lines().count(), 2, "{told}");
    let told = stats(&shared, &Reset::default(), &query(Some("^cluster.*cx_total$"), true));
    assert_eq!(told, format!("cluster.{WEB}.upstream_cx_total: 2\n"));
    let page = for_prometheus(&shared, &query(Some("server\\.live"), true), 10);
    assert_eq!(read(&page, Format::Text).len(), 1);
    let (published, node) = (shared.published(), node());
    let figures = Figures::of_all(&shared, &published, &node);
    let told = json(&figures, &Reset::default(), &query(Some("server.live"), false));
    assert_eq!(told, serde_json::json!({"stats": [{"name": "server.live", "value": 1}]}));
    for (filter, reason) in [("(", "unclosed group"), ("(a{1000}){1000}", "size limit")] {
        let complaint = format!("{:?}", Query::parse(Some(filter), false).unwrap_err());
        assert!(complaint.contains(reason), "{complaint}");
    }
}

#[test]
fn counters_begin_anew_after_a_reset_and_gauges_do_not() {
    let shared = busy();
    let reset = Reset::default();
    let (published, node) = (shared.published(), node());
    reset.reset(&Figures::of_all(&shared, &published, &node));
    let web = published.table.lookup(WEB).unwrap();
    let told = |name: &str| {
        let told = stats(&shared, &reset, &Query::default());
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap().to_owned()
    };
    let total = format!("cluster.{WEB}.upstream_cx_total");
    assert_eq!(told(&total), "0");
    assert_eq!(told("tls_inspector.tls_not_found"), "0");
    assert_eq!(told(&format!("cluster.{WEB}.upstream_cx_active")), "1");
    published.loads.first().unwrap().dialed(web, now());
    assert_eq!(told(&total), "1");
    // The cluster went, and came back with new counters.
    let again = publish(&shared, &[WEB]);
    again.loads.first().unwrap().dialed(again.table.lookup(WEB).unwrap(), now());
    assert_eq!(told(&total), "1");
}

#[test]
fn clusters_have_the_shape_that_tools_read() {
    let shared = busy();
    let published = shared.published();
    let cluster = published.table.cluster(published.table.lookup(WEB).unwrap()).unwrap();
    let healthy = cluster.endpoint(0).unwrap().id();
    let loads = published.loads.first().unwrap();
    loads.opened(healthy);
    (0..EJECTION_FAILURES).for_each(|_| {
        loads.failed(healthy, now());
    });
    let told = clusters(&published);
    let statuses = told["cluster_statuses"].as_array().unwrap();
    assert_eq!(statuses.len(), 2);
    let web = statuses.iter().find(|status| status["name"] == WEB).unwrap();
    let host = &web["host_statuses"][0];
    assert_eq!(host["address"]["socket_address"]["address"], "10.0.0.1");
    assert_eq!(host["address"]["socket_address"]["port_value"], 80);
    assert_eq!(host["health_status"]["eds_health_status"], "HEALTHY");
    assert_eq!(host["health_status"]["failed_outlier_check"], true);
    let expected = serde_json::json!([
        { "name": "cx_connect_fail", "value": EJECTION_FAILURES.to_string() },
        { "name": "cx_total", "value": "1" },
        { "type": "GAUGE", "name": "cx_active", "value": "1" },
    ]);
    assert_eq!(host["stats"], expected);
    let other = &web["host_statuses"][1]["health_status"];
    assert_eq!(*other, serde_json::json!({"eds_health_status": "UNHEALTHY"}));
    let told = clusters_text(&published);
    for line in [
        format!("{WEB}::10.0.0.1:80::cx_active::1"),
        format!("{WEB}::10.0.0.1:80::cx_connect_fail::{EJECTION_FAILURES}"),
        format!("{WEB}::10.0.0.1:80::cx_total::1"),
        format!("{WEB}::10.0.0.1:80::health_flags::/failed_outlier_check"),
        format!("{WEB}::10.0.0.1:81::health_flags::/failed_eds_health"),
        "idle.example::10.0.0.2:80::health_flags::healthy".to_owned(),
        format!("{WEB}::10.0.0.1:80::weight::1"),
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
}

#[test]
fn the_state_of_the_server_is_the_one_that_ready_tells() {
    let shared = shared();
    let state = || server_info(&shared, &node())["state"].as_str().unwrap().to_owned();
    assert_eq!(state(), "INITIALIZING");
    publish(&shared, &["a.example"]);
    assert_eq!(state(), "LIVE");
    shared.fail(true);
    assert_eq!((state().as_str(), shared.is_ready()), ("DRAINING", false));
    shared.fail(false);
    assert_eq!((state().as_str(), shared.is_ready()), ("LIVE", true));
    shared.advance(Phase::Leaving);
    assert_eq!(state(), "DRAINING");
    shared.fail(false);
    assert!(!shared.is_ready(), "who leaves does not come back");
}
