//! `sluice doctor host`: whether this host lets a gateway do what it can.
//!
//! Limits, filters, groups and CPUs are those of the process that asks: it is run as the gateway
//! is, by the same user and in the same unit or container. What start-up knows is not judged a
//! second time: rings are made, workers placed and descriptors shared out by its own code.

mod network;
mod rings;
#[cfg(test)]
mod tests;
mod workers;

use super::{Check, Report};
use crate::cli::WorkerArgs;
use crate::config::{EngineChoice, WorkerPlan};
use crate::control::plan::Placement;
use crate::error::StartError;
use crate::kernel::uring::{self, Release};
use crate::sys::process::{self, CAP_IPC_LOCK, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, is_capable};
use crate::sys::{affinity, cgroup};

/// Examines this host for a gateway with these flags.
///
/// # Errors
/// A flag has a wrong value.
pub(super) fn examine(args: &WorkerArgs) -> Result<Report, StartError> {
    let (engine, plan) = (EngineChoice::from_args(args)?, WorkerPlan::from_args(args)?);
    Ok(Report::new("host", checks(engine, &plan)))
}

/// Examines this host for a gateway without flags.
pub(crate) fn examine_defaults() -> Report {
    Report::new("host", checks(EngineChoice::default(), &WorkerPlan::default()))
}

/// Judges this host for a gateway with these workers that accepts on one address.
fn checks(engine: EngineChoice, plan: &WorkerPlan) -> Vec<Check> {
    let allowed = affinity::allowed().unwrap_or_default();
    let placed = Placement::new(&allowed, cgroup::cpu_quota(), plan);
    let worker_count = placed.as_ref().map_or(1, Placement::worker_count);
    let status = process::status();
    let mut checks = of_rings(engine, worker_count, &status);
    checks.push(workers::cpus(&allowed, placed.as_ref(), plan));
    checks.push(workers::quota(cgroup::cpu_quota_thousandths(), worker_count));
    checks.extend(of_descriptors(worker_count, plan, &status));
    checks.extend(of_network(worker_count, plan));
    checks
}

fn of_rings(engine: EngineChoice, worker_count: u16, status: &str) -> Vec<Check> {
    let mut checks = vec![rings::kernel(Release::here())];
    if engine == EngineChoice::Epoll {
        checks.push(Check::not_applicable(rings::IO_URING, "--engine epoll does without"));
        return checks;
    }
    let found = rings::Found {
        trial: uring::try_rings(worker_count),
        wanted: worker_count,
        is_demanded: engine == EngineChoice::Uring,
    };
    let limit = process::locked_bytes_max().filter(|_| !is_capable(status, CAP_IPC_LOCK));
    checks.push(rings::io_uring(&found));
    checks.push(rings::switch(sysctl("kernel.io_uring_disabled").as_deref(), &found));
    checks.push(rings::seccomp(process::seccomp_mode(status), &found));
    checks.push(rings::locked_memory(limit, &found));
    checks
}

fn of_descriptors(worker_count: u16, plan: &WorkerPlan, status: &str) -> Vec<Check> {
    let is_bounded = ![CAP_SYS_ADMIN, CAP_SYS_RESOURCE].iter().any(|&c| is_capable(status, c));
    let nofile = process::raise_nofile().unwrap_or(0);
    let pages_max = sysctl("fs.pipe-user-pages-soft").filter(|_| is_bounded);
    vec![
        workers::descriptors(nofile, worker_count, plan),
        workers::pipe_size(workers::granted_bytes()),
        workers::pipe_pages(number(pages_max.as_deref()), nofile, worker_count, plan),
    ]
}

fn of_network(worker_count: u16, plan: &WorkerPlan) -> Vec<Check> {
    let nofile = process::raise_nofile().unwrap_or(0);
    vec![
        network::backlog(number(sysctl("net.core.somaxconn").as_deref())),
        network::ports(
            sysctl("net.ipv4.ip_local_port_range").as_deref(),
            workers::session_count(nofile, worker_count, plan),
        ),
        network::migration(sysctl("net.ipv4.tcp_migrate_req").as_deref()),
        network::congestion_control(sysctl("net.ipv4.tcp_congestion_control").as_deref()),
    ]
}

/// The value of a setting of the kernel's (sysctl(8)); `None` where it has no such setting.
fn sysctl(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}
