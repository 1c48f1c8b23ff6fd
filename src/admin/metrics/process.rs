//! The process, its workers and its threads.

use std::time::UNIX_EPOCH;

use crate::admin::exposition::{Kind, Page};
use crate::control::shared::{Phase, Shared};
use crate::dataplane::stats::{Count, Stats};
use crate::sys::process;

pub(super) fn write(page: &mut Page, shared: &Shared) {
    page.family("sluice_build_info", Kind::Gauge, "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    page.family("sluice_engine_info", Kind::Gauge, "What forwards: io_uring or epoll.")
        .sample(&[("engine", shared.engine.name)], 1_u64);
    page.gauge(
        "sluice_engine_fallback",
        "Whether io_uring was wanted and refused.",
        shared.engine.fallback.is_some(),
    );
    page.gauge("sluice_uptime_seconds", "Time since the start.", shared.started.elapsed());
    page.gauge("sluice_ready", "Whether connections are welcome.", shared.is_ready());
    page.gauge(
        "sluice_draining",
        "Whether it was told to end, or to close its listeners.",
        shared.phase() >= Phase::Leaving,
    );
    page.gauge("sluice_workers", "Workers.", shared.workers.len());
    workers(page, shared);
    of_process(page, shared);
}

/// A family of one series for each worker.
type OfWorker = (&'static str, Kind, &'static str, fn(&Stats) -> &Count);

const OF_WORKERS: [OfWorker; 6] = [
    (
        "sluice_worker_turns_total",
        Kind::Counter,
        "Turns of the worker's loop; growing means that it lives.",
        |stats| &stats.turns,
    ),
    (
        "sluice_worker_completions_total",
        Kind::Counter,
        "Completions taken from the kernel.",
        |stats| &stats.completions,
    ),
    (
        "sluice_worker_completions_stale_total",
        Kind::Counter,
        "Completions whose session was gone.",
        |stats| &stats.completions_stale,
    ),
    (
        "sluice_worker_completion_overflows_total",
        Kind::Counter,
        "Times that completions did not fit into the queue of the ring; none is lost.",
        |stats| &stats.completions_overflowed,
    ),
    ("sluice_worker_sessions", Kind::Gauge, "Sessions of the worker.", |stats| &stats.sessions),
    ("sluice_worker_table_version", Kind::Gauge, "The table that the worker routes by.", |stats| {
        &stats.table_version
    }),
];

fn workers(page: &mut Page, shared: &Shared) {
    for (name, kind, help, count) in OF_WORKERS {
        let mut family = page.family(name, kind, help);
        for (id, stats) in shared.workers.iter().enumerate() {
            family.sample(&[("worker", &id.to_string())], count(stats).get());
        }
    }
}

fn of_process(page: &mut Page, shared: &Shared) {
    page.counter("process_cpu_seconds_total", "CPU time.", process::cpu_time());
    let mut family = page.family(
        "sluice_thread_cpu_seconds_total",
        Kind::Counter,
        "CPU time by thread: sluice-0 and so on are the workers.",
    );
    // Others come and go, and their counts with them.
    let threads = process::thread_cpu_times();
    for (thread, time) in threads.iter().filter(|(name, _)| name.starts_with("sluice")) {
        family.sample(&[("thread", thread)], *time);
    }
    let memory = process::memory();
    page.gauge(
        "process_resident_memory_bytes",
        "What of the process is in memory.",
        memory.resident_bytes,
    );
    page.gauge("process_virtual_memory_bytes", "Its address space.", memory.virtual_bytes);
    let (open, most) = process::descriptors();
    page.gauge("process_open_fds", "File descriptors that are open.", open);
    page.gauge("process_max_fds", "File descriptors that may be.", most);
    page.gauge(
        "process_start_time_seconds",
        "When the process began to serve, since 1970.",
        shared.started_at.duration_since(UNIX_EPOCH).unwrap_or_default(),
    );
}
