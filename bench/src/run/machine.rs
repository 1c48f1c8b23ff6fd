//! What a reader must know about the machine.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::affinity::Places;
use super::limits;
use crate::results::Machine;

/// Describes this machine.
pub(super) fn describe(places: &Places) -> Machine {
    let cpus = read("/proc/cpuinfo");
    let memory = read("/proc/meminfo");
    let total_kib = value(&memory, "MemTotal:").split(' ').next().and_then(|kib| kib.parse().ok());
    let release = read("/etc/os-release");
    Machine {
        cpu: value(&cpus, "model name").trim_start_matches([' ', '\t', ':']).to_owned(),
        cpu_count: cpus.lines().filter(|line| line.starts_with("processor")).count(),
        memory_mib: total_kib.unwrap_or(0_u64) / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        system: value(&release, "PRETTY_NAME=").trim_matches('"').to_owned(),
        congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
        proxy_cpus: places.proxy.clone(),
        load_cpu: places.load,
        descriptor_limit: limits::descriptors(),
        is_root: nix::unistd::geteuid().is_root(),
    }
}

/// Today, as 2026-01-31 (UTC).
pub(super) fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(now.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The date of a day since 1970: counts whole years, then months.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        let divides = |by| year.is_multiple_of(by);
        divides(4) && (!divides(100) || divides(400))
    };
    let (mut year, mut left) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if left < length {
            return (year, month, left + 1);
        }
        left -= length;
    }
    (year, 12, 31)
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(20_453), (2025, 12, 31));
    }
}
