//! How following Consul goes, and the registration. Nothing without Consul.

use std::time::{Duration, Instant};

use crate::admin::exposition::{Kind, Number, Page};
use crate::consul::register::{Health, RegistrationStatus, State};
use crate::consul::watch::{PartStatus, Status};
use crate::control::shared::Shared;

/// A family of one series for each part; a part may have no value.
type OfPart = (&'static str, Kind, &'static str, fn(&PartStatus) -> Option<Number>);

const OF_PARTS: [OfPart; 7] = [
    (
        "sluice_consul_part_age_seconds",
        Kind::Gauge,
        "Since the last good answer; one comes twice a minute when nothing changes.",
        |part| part.last_good.map(|at| at.elapsed().into()),
    ),
    (
        "sluice_consul_part_failing_seconds",
        Kind::Gauge,
        "Since when it fails; 0 when all is well.",
        |part| Some(part.failing_since.map_or(Duration::ZERO, |at| at.elapsed()).into()),
    ),
    ("sluice_consul_part_failures", Kind::Gauge, "Failures in a row.", |part| {
        Some(u64::from(part.failures).into())
    }),
    ("sluice_consul_part_answers_total", Kind::Counter, "Good answers.", |part| {
        Some(part.answer_count.into())
    }),
    (
        "sluice_consul_part_answer_bytes",
        Kind::Gauge,
        "How long the last good answer was.",
        |part| Some(part.bytes_count.into()),
    ),
    (
        "sluice_consul_part_held",
        Kind::Gauge,
        "Whether the last answer is held back because it would remove very much.",
        |part| Some(part.held.into()),
    ),
    (
        "sluice_consul_part_filtered",
        Kind::Gauge,
        "Whether the agent said that the token may not see all of it.",
        |part| Some(part.filtered_by_acls.into()),
    ),
];

pub(super) fn write(page: &mut Page, shared: &Shared) {
    let Some((status, registered)) = shared.provenance.consul() else { return };
    page.gauge(
        "sluice_consul_behind_seconds",
        "Age of the oldest answer that cannot be renewed; 0 when all is well.",
        status.behind(Instant::now()).unwrap_or_default(),
    );
    parts(page, status);
    registration(page, registered);
}

fn parts(page: &mut Page, status: &Status) {
    let parts = status.parts();
    for (name, kind, help, value) in OF_PARTS {
        let mut family = page.family(name, kind, help);
        for part in &parts {
            if let Some(value) = value(part) {
                family.sample(&[("part", part.part.name())], value);
            }
        }
    }
    let mut family = page.family(
        "sluice_consul_part_failing_info",
        Kind::Gauge,
        "Why a part fails; no series when all is well.",
    );
    for part in &parts {
        if let Some(reason) = &part.reason {
            family.sample(&[("part", part.part.name()), ("reason", reason)], 1_u64);
        }
    }
}

fn registration(page: &mut Page, registered: &RegistrationStatus) {
    let state = registered.state();
    page.gauge(
        "sluice_consul_registered",
        "Whether the agent knows this gateway.",
        matches!(state, State::Told(_)),
    );
    page.gauge(
        "sluice_consul_passing",
        "Whether the agent was told that it serves.",
        state == State::Told(Health::Passing),
    );
    page.counter(
        "sluice_consul_registrations_total",
        "Times that the agent was told who this is; it may forget.",
        registered.registration_count(),
    );
    let mut family = page.family(
        "sluice_consul_registration_failing_info",
        Kind::Gauge,
        "Why the agent cannot be told; no series when all is well.",
    );
    if let State::Failing { reason, .. } = &state {
        family.sample(&[("reason", reason)], 1_u64);
    }
}
