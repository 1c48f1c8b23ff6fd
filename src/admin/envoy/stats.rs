//! `/stats` as Envoy writes it: text, JSON, and for Prometheus.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json as value};

use super::figures::{Cluster, Figure, Figures, Listener, OF_CLUSTERS, OF_LISTENERS};
use super::labels::labels;
use super::query::Query;
use crate::admin::exposition::{Format, Kind, Label, Page};
use crate::control::shared::lock;

/// What counters stood at when they were last reset. Those of the workers go on: a count that is
/// somebody else's to write cannot be set to 0.
#[derive(Debug, Default)]
pub(in crate::admin) struct Reset(Mutex<Arc<HashMap<String, u64>>>);

impl Reset {
    /// From now on counters begin at 0.
    pub(in crate::admin) fn reset(&self, figures: &Figures<'_>) {
        let mut stand = HashMap::new();
        each(figures, |name, kind, value| {
            if kind == Kind::Counter && value > 0 {
                stand.insert(name.to_owned(), value);
            }
        });
        *lock(&self.0) = Arc::new(stand);
    }

    fn stand(&self) -> Stand {
        Stand(Arc::clone(&lock(&self.0)))
    }
}

/// What counters are counted from.
struct Stand(Arc<HashMap<String, u64>>);

impl Stand {
    fn since(&self, name: &str, kind: Kind, value: u64) -> u64 {
        match self.0.get(name) {
            // What is below it was begun anew: a cluster went and came back.
            Some(stand) if kind == Kind::Counter => value.checked_sub(*stand).unwrap_or(value),
            _ => value,
        }
    }
}

/// `name: value`, a line each.
pub(in crate::admin) fn text(figures: &Figures<'_>, reset: &Reset, query: &Query) -> String {
    let (stand, mut text) = (reset.stand(), String::new());
    each(figures, |name, kind, value| {
        let value = stand.since(name, kind, value);
        if query.wants(name, value) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}: {value}");
        }
    });
    text
}

/// `{"stats": [{"name": …, "value": …}]}`.
pub(in crate::admin) fn json(figures: &Figures<'_>, reset: &Reset, query: &Query) -> Value {
    let (stand, mut stats) = (reset.stand(), Vec::new());
    each(figures, |name, kind, value| {
        let value = stand.since(name, kind, value);
        if query.wants(name, value) {
            stats.push(value!({ "name": name, "value": value }));
        }
    });
    value!({ "stats": stats })
}

/// For Prometheus, with the labels that Envoy and Consul's bootstrap give.
pub(in crate::admin) fn prometheus(figures: &Figures<'_>, reset: &Reset, query: &Query) -> String {
    let mut writer = Writer { page: Page::new(Format::Text), stand: reset.stand(), query };
    let local = ("local_cluster", figures.service);
    for (metric, kind, value) in OF_CLUSTERS {
        writer.family(
            "cluster",
            metric,
            kind,
            figures.clusters.iter().map(|cluster| {
                let mut all = vec![("envoy_cluster_name", cluster.name()), local];
                all.extend(labels(cluster.name()));
                (cluster_prefix(cluster), all, value(cluster))
            }),
        );
    }
    for (metric, kind, value) in OF_LISTENERS {
        writer.family(
            "listener",
            metric,
            kind,
            figures.listeners.iter().map(|listener| {
                let all = vec![("envoy_listener_address", &*listener.address), local];
                (listener_prefix(listener), all, value(listener))
            }),
        );
    }
    for (scope, figures) in scopes(figures) {
        for (metric, kind, value) in figures {
            let one = std::iter::once((scope.to_owned(), vec![local], *value));
            writer.family(scope, metric, *kind, one);
        }
    }
    writer.page.finish()
}

struct Writer<'a> {
    page: Page,
    stand: Stand,
    query: &'a Query,
}

impl Writer<'_> {
    /// A family with those of its samples that are wanted: what their name begins with, their
    /// labels and what they stand at.
    fn family<'a>(
        &mut self,
        scope: &str,
        metric: &str,
        kind: Kind,
        samples: impl Iterator<Item = (String, Vec<Label<'a>>, u64)>,
    ) {
        let wanted: Vec<_> = samples
            .filter_map(|(prefix, labels, value)| {
                let full = format!("{prefix}.{metric}");
                let value = self.stand.since(&full, kind, value);
                self.query.wants(&full, value).then_some((labels, value))
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let name = format!("envoy_{scope}_{}", metric.replace('.', "_"));
        let mut family = self.page.family(&name, kind, "");
        for (labels, value) in wanted {
            family.sample(&labels, value);
        }
    }
}

/// Every figure by its full name.
fn each(figures: &Figures<'_>, mut take: impl FnMut(&str, Kind, u64)) {
    for cluster in &figures.clusters {
        let prefix = cluster_prefix(cluster);
        for (metric, kind, value) in OF_CLUSTERS {
            take(&format!("{prefix}.{metric}"), kind, value(cluster));
        }
    }
    for listener in &figures.listeners {
        let prefix = listener_prefix(listener);
        for (metric, kind, value) in OF_LISTENERS {
            take(&format!("{prefix}.{metric}"), kind, value(listener));
        }
    }
    for (scope, figures) in scopes(figures) {
        for (metric, kind, value) in figures {
            take(&format!("{scope}.{metric}"), *kind, *value);
        }
    }
}

fn cluster_prefix(cluster: &Cluster<'_>) -> String {
    format!("cluster.{}", cluster.name())
}

fn listener_prefix(listener: &Listener) -> String {
    format!("listener.{}", listener.address)
}

fn scopes<'a>(figures: &'a Figures<'_>) -> [(&'static str, &'a [Figure]); 2] {
    [("server", &figures.server), ("tls_inspector", &figures.tls_inspector)]
}
