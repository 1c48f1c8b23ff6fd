//! CPUs, descriptors and pipes, against what the workers would have. Pure, but for a pipe.

use crate::config::{FlagError, WorkerPlan, cpu_list};
use crate::control::plan::{Budget, Placement};
use crate::doctor::Check;
use crate::limits::{LISTEN_BACKLOG, PIPE_BYTES, PIPE_BYTES_LEAST};
use crate::sys::pipe::Pipe;
use crate::sys::process::page_bytes;

const CPUS: &str = "CPUs";
const QUOTA: &str = "CPU quota";
const DESCRIPTORS: &str = "file descriptors";
const PIPE_SIZE: &str = "pipe size";
const PIPE_PAGES: &str = "fs.pipe-user-pages-soft";

/// Addresses accepted on: what one more costs is a descriptor for each worker.
const BIND_COUNT: usize = 1;

/// Whether each worker has a CPU.
pub(super) fn cpus(
    allowed: &[usize],
    placed: Result<&Placement, &FlagError>,
    plan: &WorkerPlan,
) -> Check {
    let mask = cpu_list::format(allowed);
    let placement = match placed {
        Ok(placement) => placement,
        Err(error) => {
            let remedy = format!(
                "choose among --cpus {mask}, or give the process more (AllowedCPUs= in the unit, \
                 `--cpuset-cpus` in Docker, `taskset`)"
            );
            return Check::fail(CPUS, error.to_string(), remedy);
        }
    };
    let worker_count = placement.worker_count();
    let cpu_count = plan.cpus.as_deref().unwrap_or(allowed).len();
    if usize::from(worker_count) > cpu_count {
        return Check::warn(
            CPUS,
            format!("{worker_count} workers take turns on {cpu_count} CPUs"),
            format!("--workers {cpu_count}, or none and it follows from the CPUs"),
        );
    }
    let place = match placement.pinned() {
        Some(pinned) => format!("pinned to {}", cpu_list::format(&pinned)),
        None => format!("on any of {mask}"),
    };
    Check::pass(CPUS, format!("{worker_count} workers, {place}"))
}

/// Whether the control group lets all workers run at once.
pub(super) fn quota(thousandths: Option<u64>, worker_count: u16) -> Check {
    let Some(thousandths) = thousandths else {
        return Check::pass(QUOTA, "none");
    };
    let quota = format!("{}.{:03} CPUs", thousandths / 1000, thousandths % 1000);
    if thousandths >= 1000 * u64::from(worker_count) {
        return Check::pass(QUOTA, format!("{quota} for {worker_count} workers"));
    }
    let whole = (thousandths / 1000).max(1);
    let fewer = if whole < u64::from(worker_count) {
        format!("--workers {whole}, or ")
    } else {
        String::new()
    };
    Check::warn(
        QUOTA,
        format!(
            "{quota} for {worker_count} workers: when all are busy, each stands still for a part \
             of every period"
        ),
        format!(
            "{fewer}a CPU for each: CPUQuota={}% in the unit, `--cpus {worker_count}` (Docker), \
             `limits.cpu: {worker_count}` (Kubernetes)",
            100 * u64::from(worker_count)
        ),
    )
}

/// The sessions that a gateway would have; 0 if it would not start.
pub(super) fn session_count(nofile: u64, worker_count: u16, plan: &WorkerPlan) -> u64 {
    let budget = Budget::new(nofile, worker_count, BIND_COUNT, plan);
    budget.map_or(0, |budget| u64::from(budget.session_count_max) * u64::from(worker_count))
}

/// Whether descriptors are enough for the sessions wanted.
pub(super) fn descriptors(nofile: u64, worker_count: u16, plan: &WorkerPlan) -> Check {
    if let Err(error) = Budget::new(nofile, worker_count, BIND_COUNT, plan) {
        return Check::fail(DESCRIPTORS, error.to_string(), more_descriptors(1 << 16));
    }
    let fitting = session_count(nofile, worker_count, plan);
    let wanted = plan.session_count_max.map_or(fewest_sessions(), u64::from);
    let told = format!("{nofile}: {fitting} sessions on {worker_count} workers");
    if fitting >= wanted {
        return Check::pass(DESCRIPTORS, told);
    }
    // Two each, and a sixteenth for pipes.
    let needed = (wanted * 2 * 16 / 15 + 1024).next_multiple_of(1024);
    let why = if plan.session_count_max.is_some() {
        format!("{told}, and --sessions-max wants {wanted}")
    } else {
        format!("{told}, fewer than may wait at one listener ({wanted})")
    };
    Check::warn(DESCRIPTORS, why, more_descriptors(needed))
}

fn fewest_sessions() -> u64 {
    u64::from(LISTEN_BACKLOG.unsigned_abs())
}

fn more_descriptors(count: u64) -> String {
    format!(
        "LimitNOFILE={count} in the unit, `ulimit -Hn {count}` as root, or `--ulimit \
         nofile={count}` (Docker)"
    )
}

/// What a worker's pipe gets here; `None`: no pipe that would be of use.
pub(super) fn granted_bytes() -> Option<usize> {
    Pipe::new(PIPE_BYTES, PIPE_BYTES_LEAST).ok().map(|pipe| pipe.capacity_bytes())
}

/// Whether pipes get the size that they are measured with.
pub(super) fn pipe_size(granted_bytes: Option<usize>) -> Check {
    let wanted_kib = PIPE_BYTES / 1024;
    let remedy = format!("`sysctl -w fs.pipe-max-size={PIPE_BYTES}`, and see {PIPE_PAGES}");
    match granted_bytes {
        Some(bytes) if bytes >= PIPE_BYTES => {
            Check::pass(PIPE_SIZE, format!("{} KiB", bytes / 1024))
        }
        Some(bytes) => Check::warn(
            PIPE_SIZE,
            format!("{} KiB instead of {wanted_kib}: bulk costs more CPU", bytes / 1024),
            remedy,
        ),
        None => Check::warn(
            PIPE_SIZE,
            "no pipe large enough is to be had: all bytes are copied, none spliced",
            remedy,
        ),
    }
}

/// Whether this user's pipes are all of that size at once. `pages_max`: `None` where the limit
/// is lifted, 0 where there is none.
pub(super) fn pipe_pages(
    pages_max: Option<u64>,
    nofile: u64,
    worker_count: u16,
    plan: &WorkerPlan,
) -> Check {
    let Some(pages_max) = pages_max.filter(|&pages| pages > 0) else {
        return Check::pass(PIPE_PAGES, "does not bound this user");
    };
    let Ok(budget) = Budget::new(nofile, worker_count, BIND_COUNT, plan) else {
        return Check::pass(PIPE_PAGES, format!("{pages_max}: too few descriptors for any pipe"));
    };
    let pages_each = (PIPE_BYTES as u64).div_ceil(page_bytes());
    let wanted = budget.pipe_count_max as u64 * u64::from(worker_count);
    let fitting = pages_max / pages_each;
    let told = format!("{pages_max}: room for {fitting} pipes of {} KiB", PIPE_BYTES / 1024);
    if fitting >= wanted {
        return Check::pass(PIPE_PAGES, told);
    }
    Check::warn(
        PIPE_PAGES,
        format!("{told}, and {worker_count} workers may lend {wanted}: beyond it bytes are copied"),
        format!(
            "`sysctl -w fs.pipe-user-pages-soft={}`, or --pipes {}",
            wanted * pages_each,
            fitting / u64::from(worker_count).max(1)
        ),
    )
}
