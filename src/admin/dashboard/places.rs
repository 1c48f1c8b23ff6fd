//! Where connections go, by datacenter. Read out of names, for people alone: nothing is routed by
//! it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::routes::member;
use crate::admin::clusters::{Counted, endpoints};
use crate::control::shared::Published;
use crate::kernel::Tick;
use crate::limits::{DASHBOARD_AILING_MAX, DASHBOARD_BUSIEST_MAX, DASHBOARD_GATEWAYS_MAX};
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
    /// Services of which something is not healthy: what is, and all.
    ailing: Vec<(&'a str, u64, u64)>,
    refused: Option<Refusal>,
}

/// The datacenters: services here first, then others by name, then what is of none.
pub(super) fn places(published: &Published) -> Vec<Value> {
    let mut places: BTreeMap<Key<'_>, Place<'_>> = BTreeMap::new();
    let mut seen: HashSet<ClusterId> = HashSet::new();
    let now = Tick(process::monotonic_us());
    for (key, rule) in by_place(published) {
        match rule.target {
            Err(why) => refuse(&mut places, key, rule, why),
            Ok(id) if !seen.insert(id) => {}
            Ok(id) => {
                if let Some(counted) = Counted::of(published, id) {
                    let place = places.entry(key).or_default();
                    place.add(published, &counted, key.0 == ELSEWHERE, now);
                }
            }
        }
    }
    // Of the own datacenter all but what is here is refused.
    let own: Vec<&str> =
        places.keys().filter(|(kind, _)| *kind == HERE).map(|(_, name)| *name).collect();
    places.retain(|(kind, name), place| {
        *kind != ELSEWHERE || place.gateways.is_some() || !own.contains(name)
    });
    places.into_iter().map(|((kind, name), place)| place.describe(kind, name)).collect()
}

/// What a refusal of a whole datacenter says of it. Others are no place.
fn refuse<'a>(
    places: &mut BTreeMap<Key<'a>, Place<'a>>,
    key: Key<'a>,
    rule: Rule<'_>,
    why: Refusal,
) {
    match (why, key) {
        _ if !rule.is_suffix() => {}
        // Nothing of it is anywhere else: it is the own one.
        (Refusal::UnknownName, (ELSEWHERE, name)) => drop(places.entry((HERE, name)).or_default()),
        (_, (ELSEWHERE, _)) => places.entry(key).or_default().refused = Some(why),
        _ => {}
    }
}

/// Which place something is of: the kind, and the datacenter's name.
type Key<'a> = (u8, &'a str);

/// The rules, those of other datacenters first: several names lead to the gateways of one, and the
/// first that does says whose they are.
fn by_place(published: &Published) -> Vec<(Key<'_>, Rule<'_>)> {
    let mut rules: Vec<_> = published.table.rules().map(|rule| (key(rule), rule)).collect();
    rules.sort_by_key(|((kind, _), _)| (*kind == NOWHERE, *kind != ELSEWHERE));
    rules
}

const HERE: u8 = 0;
const ELSEWHERE: u8 = 1;
const NOWHERE: u8 = 2;

/// Which place a route is of. A datacenter's services are routed by their names here, and all
/// together by a suffix elsewhere.
fn key(rule: Rule<'_>) -> Key<'_> {
    let Some((target, label_count)) = target(rule.name()) else { return (NOWHERE, "") };
    let datacenter = target.rsplit('.').next().unwrap_or_default();
    let is_whole = rule.is_suffix() || target.split('.').count() <= label_count;
    (if is_whole { ELSEWHERE } else { HERE }, datacenter)
}

/// What of a name is before the trust domain and its mark: the service and where it is. Besides,
/// how many labels the name of a whole datacenter has there: its own, and of late the partition's.
fn target(name: &str) -> Option<(&str, usize)> {
    let marks = [(".internal.", 1), (".internal-v1.", 2)];
    marks.into_iter().find_map(|(mark, label_count)| Some((name.rsplit_once(mark)?.0, label_count)))
}

/// What tells services of a datacenter apart.
fn short(name: &str) -> &str {
    let Some((target, label_count)) = target(name) else { return name };
    let Some((service, _)) = target.rsplit_once('.') else { return name };
    (0..label_count).fold(service, |rest, _| rest.strip_suffix(".default").unwrap_or(rest))
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
        let before = (self.healthy, self.endpoint_count());
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
            return;
        }
        let name = short(counted.view.name());
        if counted.figures.sessions > 0 {
            self.busiest.push((name, counted.figures.sessions));
        }
        let healthy = self.healthy.saturating_sub(before.0);
        let all = self.endpoint_count().saturating_sub(before.1);
        if healthy < all {
            self.ailing.push((name, healthy, all));
        }
    }

    const fn endpoint_count(&self) -> u64 {
        self.healthy.saturating_add(self.critical).saturating_add(self.ejected)
    }

    fn describe(mut self, kind: u8, name: &str) -> Value {
        self.busiest.sort_by_key(|(_, sessions)| Reverse(*sessions));
        self.busiest.truncate(DASHBOARD_BUSIEST_MAX);
        let busiest = self
            .busiest
            .iter()
            .map(|(name, sessions)| json!({ "name": name, "sessions": sessions }));
        // Those first of which nothing is left.
        self.ailing.sort_by_key(|(name, healthy, _)| (*healthy > 0, *name));
        let ailing = self.ailing.iter().take(DASHBOARD_AILING_MAX).map(
            |(name, healthy, all)| json!({ "name": name, "healthy": healthy, "endpoints": all }),
        );
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
            "ailing": ailing.collect::<Vec<_>>(),
            "ailing_count": self.ailing.len(),
            "refused": self.refused.filter(|_| self.services == 0).map(Refusal::sentence),
            "sessions": self.figures.sessions,
            "bytes_up": self.figures.bytes_up,
            "bytes_down": self.figures.bytes_down,
        })
    }
}
