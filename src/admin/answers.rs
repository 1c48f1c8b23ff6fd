//! What the admin HTTP server answers, as data.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::context::Context;
use super::times::AllTimes;
use crate::control::access_log::Timestamp;
use crate::control::events;
use crate::control::shared::{Phase, Shared};
use crate::dataplane::stats::Stats;
use crate::dataplane::times::Times;
use crate::kernel::Tick;
use crate::route::RoutingTable;
use crate::route::explain::Explanation;
use crate::route::table::ClusterView;
use crate::sys::process;

/// Every number there is.
pub(super) fn stats(shared: &Shared) -> Value {
    let workers: Vec<Value> = (0_u16..)
        .zip(&shared.workers)
        .map(|(id, stats)| {
            let mut worker = Map::new();
            worker.insert("id".into(), id.into());
            add(&mut worker, stats);
            Value::Object(worker)
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "phase": match shared.phase() {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Leaving => "draining",
            Phase::Ended => "ended",
        },
        "uptime_s": shared.started.elapsed().as_secs(),
        "resident_bytes": process::resident_bytes(),
        "engine": shared.engine.name,
        "engine_fallback": shared.engine.fallback,
        "addresses": shared.addresses,
        "accepting": shared.is_accepting(),
        "session_count_max": shared.session_count_max,
        "source": shared.provenance.describe(),
        "times_us": {
            "hello": times(shared, |stats| &stats.hello_times),
            "dial": times(shared, |stats| &stats.dial_times),
            "session": times(shared, |stats| &stats.session_times),
        },
        "totals": totals(&workers),
        "workers": workers,
    })
}

/// How many there were, and quantiles.
pub(super) fn times(shared: &Shared, kind: fn(&Stats) -> &Times) -> Value {
    let times = AllTimes::of(shared, kind);
    let mut told = Map::new();
    told.insert("count".into(), times.count().into());
    told.extend(times.quantiles_us().into_iter().map(|(name, us)| (name.to_owned(), us.into())));
    Value::Object(told)
}

fn add(to: &mut Map<String, Value>, stats: &Stats) {
    to.extend(stats.each().map(|(name, count)| (name.to_owned(), count.into())));
    let refused = stats.refusals().map(|(why, count)| (why.name().to_owned(), count.into()));
    to.insert("refused".into(), Value::Object(refused.collect()));
}

/// Sums over the workers, of all that can be summed.
fn totals(workers: &[Value]) -> Value {
    let mut totals = Map::new();
    for worker in workers.iter().filter_map(Value::as_object) {
        for (name, value) in worker.iter().filter(|(name, _)| !NOT_SUMMED.contains(&&***name)) {
            match value {
                Value::Object(inner) => {
                    let place = totals.entry(name.clone()).or_insert_with(|| json!({}));
                    if let Some(place) = place.as_object_mut() {
                        inner.iter().for_each(|(name, value)| sum(place, name, value));
                    }
                }
                _ => sum(&mut totals, name, value),
            }
        }
    }
    Value::Object(totals)
}

const NOT_SUMMED: [&str; 2] = ["id", "table_version"];

fn sum(to: &mut Map<String, Value>, name: &str, value: &Value) {
    let before = to.get(name).and_then(Value::as_u64).unwrap_or(0);
    let sum = before.saturating_add(value.as_u64().unwrap_or(0));
    to.insert(name.to_owned(), sum.into());
}

/// The table in force: where it comes from, and every route of it.
pub(super) fn routes(shared: &Shared) -> Value {
    let table = shared.table();
    let routes: Vec<Value> = table
        .rules()
        .map(|rule| match rule.target {
            Ok(id) => {
                let cluster = table.cluster(id);
                json!({
                    "route": rule.to_string(),
                    "cluster": cluster.map(|cluster| cluster.name()),
                    "connect_timeout_us": cluster
                        .map(|cluster| u64::try_from(cluster.connect_timeout().as_micros()).ok()),
                    "policy": cluster.map(|cluster| cluster.policy().name()),
                    "panic_threshold_percent": cluster
                        .map(|cluster| cluster.panic_threshold_percent()),
                    "endpoints": endpoints(cluster),
                })
            }
            Err(why) => json!({"route": rule.to_string(), "refused": why.name()}),
        })
        .collect();
    json!({
        "table_version": table.version(),
        "source": shared.provenance.describe(),
        "routes": routes,
    })
}

/// Where a name leads, or why it leads nowhere.
pub(super) fn route(table: &RoutingTable, name: &str) -> Value {
    let explanation = Explanation::of(table, name);
    json!({
        "sni": explanation.name,
        "table_version": table.version(),
        "route": explanation.rule.map(|rule| rule.to_string()),
        "cluster": explanation.cluster.map(|cluster| cluster.name()),
        "endpoints": endpoints(explanation.cluster),
        "refused": explanation.refused.map(crate::refusal::Refusal::name),
        "because": explanation.because,
    })
}

/// The last refusals, the latest first, each with what to do about it.
pub(super) fn refusals(context: &Context) -> Value {
    let now = Tick(process::monotonic_us());
    let told = context.insight.refusals.latest().into_iter().map(|example| {
        json!({
            "reason": example.why.name(),
            "sentence": example.why.sentence(),
            "remedy": example.why.remedy(),
            "detail": example.detail,
            "age_s": now.since_us(example.at) / 1_000_000,
            "sni": (!example.server_name.is_empty()).then_some(example.server_name),
            "source": example.peer,
            "endpoint": example.upstream,
            "worker": example.worker,
        })
    });
    json!({ "refusals": told.collect::<Vec<_>>() })
}

/// The last lines of the log, oldest first.
pub(super) fn events() -> Value {
    let told = events::latest().into_iter().map(|event| {
        let at = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(u64::try_from(at.as_micros()).unwrap_or(u64::MAX));
        json!({
            "at": at.to_string(),
            "level": event.level.as_str().to_ascii_lowercase(),
            "text": event.text,
        })
    });
    json!({ "events": told.collect::<Vec<_>>() })
}

fn endpoints(cluster: Option<ClusterView<'_>>) -> Vec<Value> {
    let of = cluster.iter().flat_map(ClusterView::endpoints);
    of.map(|endpoint| {
        json!({
            "address": endpoint.address(),
            "weight": endpoint.weight(),
            "healthy": endpoint.is_healthy(),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::shared;
    use crate::refusal::Refusal;

    #[test]
    fn counters_are_told_by_worker_and_in_all() {
        let shared = shared();
        let [first, second] = shared.workers.as_slice() else { panic!("two workers") };
        first.accepted.add(3);
        second.accepted.add(4);
        second.refuse(Refusal::NotTls);
        first.table_version.set(9);
        second.dial_times.record(1000);
        let stats = stats(&shared);
        assert_eq!(stats["workers"][0]["accepted"], 3);
        assert_eq!(stats["workers"][1]["refused"]["not_tls"], 1);
        assert_eq!(stats["totals"]["accepted"], 7);
        assert_eq!(stats["totals"]["refused"]["not_tls"], 1);
        assert_eq!(stats["totals"]["refused"]["unknown_name"], 0);
        assert_eq!(stats["totals"]["table_version"], Value::Null);
        assert_eq!(stats["times_us"]["dial"]["count"], 1);
        assert!(stats["times_us"]["dial"]["p99"].as_u64().unwrap() >= 1000);
        assert_eq!(stats["times_us"]["hello"], json!({"count": 0}));
        assert_eq!(stats["engine"], "epoll");
        assert!(stats["resident_bytes"].as_u64().unwrap() > 0);
    }
}
