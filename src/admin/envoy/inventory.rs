//! What there is, in Envoy's shapes: the server, its listeners, its clusters, its memory.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::State;
use crate::admin::clusters::{Known, all, endpoints};
use crate::config::Node;
use crate::control::shared::{Published, Shared};
use crate::kernel::Tick;
use crate::sys::process;

/// `/server_info`.
pub(in crate::admin) fn server_info(shared: &Shared, node: &Node) -> Value {
    let uptime = format!("{}s", shared.started.elapsed().as_secs());
    json!({
        "version": concat!("sluice/", env!("CARGO_PKG_VERSION")),
        "state": State::of(shared).name(),
        "hot_restart_version": "disabled",
        "command_line_options": { "concurrency": shared.workers.len() },
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "node": { "id": node.id, "cluster": node.service },
    })
}

/// `/listeners?format=json`.
pub(in crate::admin) fn listeners(shared: &Shared) -> Value {
    let listener = |address: &SocketAddr| {
        let local_address = socket_address(*address);
        json!({ "name": address.to_string(), "local_address": local_address })
    };
    json!({ "listener_statuses": shared.addresses.iter().map(listener).collect::<Vec<_>>() })
}

/// `/listeners`: `name::address`, a line each.
pub(in crate::admin) fn listeners_text(shared: &Shared) -> String {
    shared.addresses.iter().map(|address| format!("{address}::{address}\n")).collect()
}

/// `/memory`. Envoy's numbers are those of its allocator; these are Linux's.
pub(in crate::admin) fn memory() -> Value {
    let memory = process::memory();
    json!({
        "allocated": memory.anonymous_bytes.to_string(),
        "heap_size": memory.data_bytes.to_string(),
        "total_physical_bytes": memory.resident_bytes.to_string(),
    })
}

/// `/clusters?format=json`.
pub(in crate::admin) fn clusters(published: &Published) -> Value {
    let now = Tick(process::monotonic_us());
    let status = |cluster: crate::admin::clusters::Counted<'_>| {
        let hosts: Vec<Value> = endpoints(published, &cluster.view, now).map(host).collect();
        json!({
            "name": cluster.view.name(),
            "added_via_api": true,
            "host_statuses": hosts,
        })
    };
    json!({ "cluster_statuses": all(published).into_iter().map(status).collect::<Vec<_>>() })
}

fn host(endpoint: Known<'_>) -> Value {
    let mut health = json!({
        "eds_health_status": if endpoint.view.is_healthy() { "HEALTHY" } else { "UNHEALTHY" },
    });
    // Left out when false, as protobuf's JSON has it.
    if let (true, Some(health)) = (endpoint.is_ejected, health.as_object_mut()) {
        health.insert("failed_outlier_check".to_owned(), true.into());
    }
    json!({
        "address": socket_address(endpoint.view.address()),
        "stats": [
            { "name": "cx_connect_fail", "value": endpoint.failed.to_string() },
            { "name": "cx_total", "value": endpoint.opened.to_string() },
            { "type": "GAUGE", "name": "cx_active", "value": endpoint.active.to_string() },
        ],
        "health_status": health,
        "weight": endpoint.view.weight(),
    })
}

/// `/clusters`: `name::address::what::value`, a line each.
pub(in crate::admin) fn clusters_text(published: &Published) -> String {
    let now = Tick(process::monotonic_us());
    let mut text = String::new();
    for cluster in all(published) {
        let name = cluster.view.name();
        // Writing to a string does not fail; and so below.
        let _ = writeln!(text, "{name}::added_via_api::true");
        for endpoint in endpoints(published, &cluster.view, now) {
            let at = format!("{name}::{}", endpoint.view.address());
            let _ = writeln!(text, "{at}::cx_active::{}", endpoint.active);
            let _ = writeln!(text, "{at}::cx_connect_fail::{}", endpoint.failed);
            let _ = writeln!(text, "{at}::cx_total::{}", endpoint.opened);
            let _ = writeln!(text, "{at}::health_flags::{}", health_flags(&endpoint));
            let _ = writeln!(text, "{at}::weight::{}", endpoint.view.weight());
        }
    }
    text
}

fn health_flags(endpoint: &Known<'_>) -> &'static str {
    match (endpoint.view.is_healthy(), endpoint.is_ejected) {
        (true, false) => "healthy",
        (true, true) => "/failed_outlier_check",
        (false, false) => "/failed_eds_health",
        (false, true) => "/failed_eds_health/failed_outlier_check",
    }
}

pub(super) fn socket_address(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({ "socket_address": { "address": ip, "port_value": port } })
}
