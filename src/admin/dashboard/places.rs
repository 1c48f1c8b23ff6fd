//! Where connections go, by datacenter. Read out of names, for people alone: nothing is routed by
//! it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::routes::member;
use crate::admin::clusters::{Counted, endpoints};
use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::{DASHBOARD_BUSIEST_MAX, DASHBOARD_GATEWAYS_MAX};
use crate::refusal::Refusal;
use crate::route::table::Rule;
use crate::route::{ClusterFigures, ClusterId};
use crate::sys::process;

/// What is told of a datacenter, or of all routes that are of none.
#[derive(Default)]
struct Place<'a> {
    services: u64,
    healthy: u64,
    critical: u64,
    ejected: u64,
    figures: ClusterFigures,
    /// Of another datacenter: where its gateways are.
    gateways: Option<Vec<Value>>,
    /// Services, with their sessions.
    busiest: Vec<(&'a str, u64)>,
    refused: Option<Refusal>,
}

/// The datacenters: services here first, then others by name, then what is of none.
pub(super) fn places(published: &Published) -> Vec<Value> {
    let mut places: BTreeMap<(u8, &str), Place<'_>> = BTreeMap::new();
    let mut seen: HashSet<ClusterId> = HashSet::new();
    let now = Tick(process::monotonic_us());
    for rule in published.table.rules() {
        let key = key(rule);
        match rule.target {
            // Of a refusal only that of a whole datacenter is a place.
            Err(why) if key.0 == ELSEWHERE => places.entry(key).or_default().refused = Some(why),
            Err(_) => {}
            Ok(id) if !seen.insert(id) => {}
            Ok(id) => {
                if let Some(counted) = Counted::of(published, id) {
                    let place = places.entry(key).or_default();
                    place.add(published, &counted, key.0 == ELSEWHERE, now);
                }
            }
        }
    }
    places.into_iter().map(|((kind, name), place)| place.describe(kind, name)).collect()
}

const HERE: u8 = 0;
const ELSEWHERE: u8 = 1;
const NOWHERE: u8 = 2;

/// Which place a route is of. A datacenter's services are routed by their names here, and all
/// together by a suffix elsewhere.
fn key(rule: Rule<'_>) -> (u8, &str) {
    let name = rule.name();
    let target = [".internal.", ".internal-v1."].iter().find_map(|mark| name.rsplit_once(mark));
    let datacenter = target.and_then(|(target, _)| target.rsplit('.').next());
    match datacenter {
        Some(datacenter) if rule.is_suffix() => (ELSEWHERE, datacenter),
        Some(datacenter) => (HERE, datacenter),
        None => (NOWHERE, ""),
    }
}

impl<'a> Place<'a> {
    fn add(
        &mut self,
        published: &'a Published,
        counted: &Counted<'a>,
        is_elsewhere: bool,
        now: Tick,
    ) {
        self.services = self.services.saturating_add(1);
        self.figures = self.figures.and(counted.figures);
        for endpoint in endpoints(published, &counted.view, now) {
            let place = match (endpoint.view.is_healthy(), endpoint.is_ejected) {
                (false, _) => &mut self.critical,
                (true, true) => &mut self.ejected,
                (true, false) => &mut self.healthy,
            };
            *place = place.saturating_add(1);
        }
        if is_elsewhere {
            let gateways = self.gateways.get_or_insert_default();
            let all = endpoints(published, &counted.view, now);
            let room = DASHBOARD_GATEWAYS_MAX.saturating_sub(gateways.len());
            gateways.extend(all.take(room).map(member));
        } else if counted.figures.sessions > 0 {
            self.busiest.push((counted.view.name(), counted.figures.sessions));
        }
    }

    fn describe(mut self, kind: u8, name: &str) -> Value {
        self.busiest.sort_by_key(|(_, sessions)| Reverse(*sessions));
        self.busiest.truncate(DASHBOARD_BUSIEST_MAX);
        let busiest = self.busiest.iter().map(|(name, sessions)| {
            // The rest of a name is the same for all here.
            let short = if kind == HERE { name.split('.').next() } else { None };
            json!({ "name": short.unwrap_or(name), "sessions": sessions })
        });
        json!({
            "name": (kind != NOWHERE).then_some(name),
            "is_here": kind == HERE,
            "services": self.services,
            "endpoints": {
                "healthy": self.healthy,
                "critical": self.critical,
                "ejected": self.ejected,
            },
            "gateways": self.gateways,
            "busiest": busiest.collect::<Vec<_>>(),
            "refused": self.refused.map(Refusal::sentence),
            "sessions": self.figures.sessions,
            "bytes_up": self.figures.bytes_up,
            "bytes_down": self.figures.bytes_down,
        })
    }
}
