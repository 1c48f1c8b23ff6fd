//! The routes that somebody looks for.

use serde_json::{Value, json};

use crate::admin::clusters::{Counted, Known, endpoints};
use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::{DASHBOARD_ENDPOINTS_MAX, DASHBOARD_ROUTES_MAX};
use crate::route::table::Rule;
use crate::sys::process;

/// Those whose name, or whose cluster's name, contains a part: how many, and the first of them.
pub(super) fn search(published: &Published, part: &str) -> Value {
    let table = &published.table;
    let (mut total, mut matches, mut found) = (0_u64, 0_u64, Vec::new());
    // Those that lead somewhere first: who looks for a service does not look for what is refused.
    let leading = table.rules().filter(|rule| rule.target.is_ok());
    for rule in leading.chain(table.rules().filter(|rule| rule.target.is_err())) {
        total = total.saturating_add(1);
        let counted = rule.target.ok().and_then(|id| Counted::of(published, id));
        let is_of_cluster = counted.is_some_and(|counted| counted.view.name().contains(part));
        if !is_of_cluster && !rule.to_string().contains(part) {
            continue;
        }
        matches = matches.saturating_add(1);
        if found.len() < DASHBOARD_ROUTES_MAX {
            found.push(route(published, rule, counted));
        }
    }
    json!({ "total": total, "matches": matches, "routes": found })
}

fn route(published: &Published, rule: Rule<'_>, counted: Option<Counted<'_>>) -> Value {
    let now = Tick(process::monotonic_us());
    let figures = counted.map(|counted| counted.figures).unwrap_or_default();
    let all = counted.into_iter().flat_map(|counted| endpoints(published, &counted.view, now));
    let shown: Vec<Value> = all.take(DASHBOARD_ENDPOINTS_MAX).map(member).collect();
    let sentence = match (rule.target, counted.map(|counted| counted.view.endpoint_count())) {
        (Err(why), _) => Some(why.sentence()),
        (Ok(_), None | Some(0)) => Some(crate::refusal::Refusal::NoEndpoints.sentence()),
        (Ok(_), Some(_)) => None,
    };
    json!({
        "route": rule.to_string(),
        "cluster": counted.map(|counted| counted.view.name()),
        "sentence": sentence,
        "endpoints": shown,
        "endpoint_count": counted.map_or(0, |counted| counted.view.endpoint_count()),
        "sessions": figures.sessions,
        "bytes_up": figures.bytes_up,
        "bytes_down": figures.bytes_down,
    })
}

/// An endpoint, as the page shows it.
pub(super) fn member(endpoint: Known<'_>) -> Value {
    json!({
        "address": endpoint.view.address(),
        "healthy": endpoint.view.is_healthy(),
        "ejected": endpoint.is_ejected,
        "active": endpoint.active,
    })
}
