//! Connections, sessions, dials, bytes and times.

use std::time::Duration;

use crate::admin::exposition::{Kind, Page};
use crate::admin::times::AllTimes;
use crate::control::shared::Shared;
use crate::dataplane::stats::{Count, Stats};
use crate::dataplane::times::Times;

/// A family whose one series is a sum over the workers.
type Summed = (&'static str, Kind, &'static str, fn(&Stats) -> &Count);

const SUMMED: [Summed; 25] = [
    ("sluice_connections_accepted_total", Kind::Counter, "Connections accepted.", |s| &s.accepted),
    (
        "sluice_connection_probes_total",
        Kind::Counter,
        "Connections that ended without a byte: health probes.",
        |s| &s.probes,
    ),
    (
        "sluice_accept_pauses_total",
        Kind::Counter,
        "Pauses of accepting for want of descriptors, sessions or memory.",
        |s| &s.accept_paused,
    ),
    ("sluice_accept_failures_total", Kind::Counter, "Other failures of accepting.", |s| {
        &s.accept_failed
    }),
    ("sluice_sessions", Kind::Gauge, "Sessions that there are, refused ones included.", |s| {
        &s.sessions
    }),
    ("sluice_sessions_routed_total", Kind::Counter, "Sessions that reached an endpoint.", |s| {
        &s.routed
    }),
    ("sluice_sessions_closed_total", Kind::Counter, "Sessions that ended, however.", |s| &s.closed),
    ("sluice_sessions_reset_total", Kind::Counter, "Sessions of which one side broke.", |s| {
        &s.reset
    }),
    (
        "sluice_sessions_idle_closed_total",
        Kind::Counter,
        "Sessions closed for want of traffic.",
        |s| &s.idle_closed,
    ),
    (
        "sluice_sessions_drain_closed_total",
        Kind::Counter,
        "Sessions closed because the drain timeout had come.",
        |s| &s.drain_closed,
    ),
    ("sluice_hellos_split_total", Kind::Counter, "Hellos that came in several reads.", |s| {
        &s.hellos_split
    }),
    (
        "sluice_hellos_ech_total",
        Kind::Counter,
        "Hellos with an encrypted_client_hello extension.",
        |s| &s.hellos_ech,
    ),
    (
        "sluice_hellos_too_long_total",
        Kind::Counter,
        "Hellos refused because they are longer than any may be.",
        |s| &s.hellos_too_long,
    ),
    ("sluice_hello_buffers", Kind::Gauge, "Hello buffers in use.", |s| &s.buffers_lent),
    ("sluice_dials_total", Kind::Counter, "Dials of endpoints.", |s| &s.dials),
    ("sluice_dial_failures_total", Kind::Counter, "Dials that failed or took too long.", |s| {
        &s.dials_failed
    }),
    ("sluice_dial_timeouts_total", Kind::Counter, "Dials that took too long.", |s| {
        &s.dials_timed_out
    }),
    (
        "sluice_dial_retries_total",
        Kind::Counter,
        "Sessions that went on to another endpoint after one failed.",
        |s| &s.dials_retried,
    ),
    (
        "sluice_ejections_total",
        Kind::Counter,
        "Times that a worker left an endpoint aside after failures in a row.",
        |s| &s.ejections,
    ),
    ("sluice_watches_total", Kind::Counter, "Watches of sockets asked for.", |s| &s.watches),
    ("sluice_watches_rearmed_total", Kind::Counter, "Watches that had to be asked again.", |s| {
        &s.watches_rearmed
    }),
    ("sluice_pipes_refused_total", Kind::Counter, "Times that no pipe was to be had.", |s| {
        &s.pipes_refused
    }),
    ("sluice_pipes_dirty_total", Kind::Counter, "Pipes destroyed with bytes in them.", |s| {
        &s.pipes_dirty
    }),
    ("sluice_tables_adopted_total", Kind::Counter, "Tables that workers took over.", |s| {
        &s.tables_adopted
    }),
    (
        "sluice_access_log_dropped_total",
        Kind::Counter,
        "Lines of the access log that were dropped because nobody reads it.",
        |s| &s.access_log_dropped,
    ),
];

/// Families of which one label says which counter it is.
type Labelled = (
    &'static str,
    Kind,
    &'static str,
    &'static str,
    &'static [(&'static str, fn(&Stats) -> &Count)],
);

const LABELLED: [Labelled; 3] = [
    (
        "sluice_relayed_bytes_total",
        Kind::Counter,
        "Bytes relayed: up is from client to endpoint.",
        "direction",
        &[("up", |s| &s.bytes_up), ("down", |s| &s.bytes_down)],
    ),
    (
        "sluice_moved_bytes_total",
        Kind::Counter,
        "The same bytes by how they were moved; peeked, where there was no pipe.",
        "by",
        &[
            ("copy", |s| &s.bytes_copied),
            ("splice", |s| &s.bytes_spliced),
            ("peek", |s| &s.bytes_peeked),
        ],
    ),
    (
        "sluice_pipes",
        Kind::Gauge,
        "Pipes: lent to sessions, or kept for the next.",
        "state",
        &[("lent", |s| &s.pipes_lent), ("idle", |s| &s.pipes_idle)],
    ),
];

pub(super) fn write(page: &mut Page, shared: &Shared) {
    let total = |count: fn(&Stats) -> &Count| shared.total(|stats| count(stats).get());
    for (name, kind, help, count) in SUMMED {
        page.family(name, kind, help).sample(&[], total(count));
    }
    page.gauge("sluice_sessions_max", "Sessions that there may be.", shared.capacity());
    for (name, kind, help, label, counts) in LABELLED {
        let mut family = page.family(name, kind, help);
        for (value, count) in counts {
            family.sample(&[(label, value)], total(*count));
        }
    }
    refusals(page, shared);
    times(page, shared);
}

fn refusals(page: &mut Page, shared: &Shared) {
    let mut family = page.family(
        "sluice_refusals_total",
        Kind::Counter,
        "Connections refused, by reason; the README says what to do about each.",
    );
    for why in crate::refusal::Refusal::ALL {
        family.sample(&[("reason", why.name())], shared.refused(why));
    }
}

/// A histogram: bounds are powers of two of microseconds, from the first to the last, each so
/// many powers above the one before.
type Histogram = (&'static str, &'static str, fn(&Stats) -> &Times, [u32; 3]);

const HISTOGRAMS: [Histogram; 3] = [
    (
        "sluice_hello_seconds",
        "From accept to the complete hello.",
        |stats| &stats.hello_times,
        [5, 24, 1],
    ),
    (
        "sluice_dial_seconds",
        "From the complete hello to a connection with an endpoint, retries included.",
        |stats| &stats.dial_times,
        [5, 24, 1],
    ),
    (
        "sluice_session_seconds",
        "From accept to the end, of sessions that reached an endpoint.",
        |stats| &stats.session_times,
        [10, 36, 2],
    ),
];

fn times(page: &mut Page, shared: &Shared) {
    for (name, help, kind, [first, last, step]) in HISTOGRAMS {
        let times = AllTimes::of(shared, kind);
        let bounds = (first..=last).step_by(step as usize).map(|power| 1_u64 << power);
        let up_to: Vec<(Duration, u64)> =
            bounds.map(Duration::from_micros).map(|bound| (bound, times.up_to(bound))).collect();
        page.family(name, Kind::Histogram, help).histogram(&up_to, times.count(), times.sum());
    }
}
