//! What the page shows, as it is now; counters, of which it shows how fast they grow.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::places::places;
use crate::admin::answers;
use crate::admin::context::Context;
use crate::control::shared::{Phase, Shared};
use crate::dataplane::stats::{Count, Stats};
use crate::limits::{DASHBOARD_EVENTS_MAX, DASHBOARD_NOTES_MAX};
use crate::refusal::Refusal;
use crate::sys::process;

/// All that the page shows but the routes.
pub(super) fn summary(context: &Context) -> Value {
    let shared = context.shared();
    let published = shared.published();
    let mut refusals = answers::refusals(context);
    let mut events = answers::events();
    json!({
        "now_us": process::monotonic_us(),
        "gateway": gateway(context),
        "totals": totals(shared),
        "times": { "dial": answers::times(shared, |stats| &stats.dial_times) },
        "workers": workers(shared),
        "table": table(shared, published.table.rules().count()),
        "places": places(&published),
        "reasons": reasons(shared),
        "refusals": taken(&mut refusals, "refusals"),
        "events": latest(taken(&mut events, "events")),
    })
}

fn gateway(context: &Context) -> Value {
    let shared = context.shared();
    let started = shared.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "service": context.node.service,
        "version": env!("CARGO_PKG_VERSION"),
        "state": match shared.phase() {
            Phase::Starting => "starting",
            Phase::Serving if shared.is_ready() => "ready",
            Phase::Serving if shared.is_failed() => "failed",
            Phase::Serving => "no routes",
            Phase::Leaving | Phase::Ended => "draining",
        },
        "accepting": shared.is_accepting(),
        "engine": shared.engine.name,
        "engine_fallback": shared.engine.fallback,
        "workers": shared.workers.len(),
        "addresses": shared.addresses,
        "capacity": shared.capacity(),
        "started": started.as_secs(),
        "uptime_s": shared.started.elapsed().as_secs(),
    })
}

fn totals(shared: &Shared) -> Value {
    let total = |count: fn(&Stats) -> &Count| shared.total(|stats| count(stats).get());
    json!({
        "accepted": total(|stats| &stats.accepted),
        "sessions": total(|stats| &stats.sessions),
        "bytes_up": total(|stats| &stats.bytes_up),
        "bytes_down": total(|stats| &stats.bytes_down),
        "refused": shared.total(|stats| stats.refusals().map(|(_, count)| count).sum()),
    })
}

fn workers(shared: &Shared) -> Vec<Value> {
    let cpu_times = process::thread_cpu_times();
    let worker = |(id, stats): (usize, &std::sync::Arc<Stats>)| {
        let cpu_time = cpu_times.get(&format!("sluice-{id}")).copied().unwrap_or_default();
        json!({
            "id": id,
            "cpu": shared.cpus.get(id),
            "cpu_us": u64::try_from(cpu_time.as_micros()).unwrap_or(u64::MAX),
            "sessions": stats.sessions.get(),
            "accepted": stats.accepted.get(),
            "bytes": stats.bytes_up.get().wrapping_add(stats.bytes_down.get()),
        })
    };
    shared.workers.iter().enumerate().map(worker).collect()
}

fn table(shared: &Shared, route_count: usize) -> Value {
    let source = shared.provenance.describe();
    let part = |name: &str| source.get(name).cloned().unwrap_or_default();
    let notes = part("notes").as_array().cloned().unwrap_or_default();
    let failing = part("parts");
    let failing = failing.as_array().into_iter().flatten().filter_map(|part| {
        let reason = part.get("failing").filter(|reason| !reason.is_null())?;
        Some(json!({ "part": part.get("part"), "reason": reason }))
    });
    json!({
        "version": shared.table().version(),
        "routes": route_count,
        "from": format!("from {}", part("from").as_str().unwrap_or_default()),
        "behind_s": part("behind_s"),
        "restored": part("restored"),
        "held": part("held").as_array().cloned().unwrap_or_default(),
        "notes": notes.iter().take(DASHBOARD_NOTES_MAX).collect::<Vec<_>>(),
        "note_count": notes.len(),
        "registration": part("registration"),
        "failing": failing.collect::<Vec<_>>(),
    })
}

/// How many were refused for which reasons, the most frequent first.
fn reasons(shared: &Shared) -> Vec<Value> {
    let counts = Refusal::ALL.into_iter().map(|why| (shared.refused(why), why));
    let mut reasons: Vec<_> = counts.filter(|(count, _)| *count > 0).collect();
    reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let told = reasons.iter().map(|(count, why)| json!({ "reason": why.name(), "count": count }));
    told.collect()
}

/// The last ones, the latest first. Refusals have a place of their own.
fn latest(events: Vec<Value>) -> Vec<Value> {
    let is_refusal = |event: &Value| {
        event.get("text").and_then(Value::as_str).is_some_and(|text| text.starts_with("refused: "))
    };
    let latest = events.into_iter().rev().filter(|event| !is_refusal(event));
    latest.take(DASHBOARD_EVENTS_MAX).collect()
}

fn taken(from: &mut Value, name: &str) -> Vec<Value> {
    match from.get_mut(name).map(Value::take) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}
