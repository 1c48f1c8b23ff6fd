//! What the network namespace gives. Pure.

use crate::doctor::Check;
use crate::limits::LISTEN_BACKLOG;

const BACKLOG: &str = "net.core.somaxconn";
const PORTS: &str = "net.ipv4.ip_local_port_range";
const MIGRATION: &str = "net.ipv4.tcp_migrate_req";
const CONGESTION_CONTROL: &str = "net.ipv4.tcp_congestion_control";

/// Ports between 32768 and 60999, Linux's default: fewer were taken away by someone.
const PORT_COUNT_USUAL: u64 = 28_232;

/// Whether as many connections may wait at a listener as are asked for.
pub(super) fn backlog(connections_max: Option<u64>) -> Check {
    let wanted = u64::from(LISTEN_BACKLOG.unsigned_abs());
    match connections_max {
        Some(most) if most >= wanted => Check::pass(BACKLOG, most.to_string()),
        Some(most) => Check::warn(
            BACKLOG,
            format!("{most}: of a burst of connections, those beyond it are dropped and come late"),
            set(BACKLOG, &wanted.to_string()),
        ),
        None => unread(BACKLOG),
    }
}

/// Whether there are ports to dial from. Each endpoint can have so many sessions.
pub(super) fn ports(range: Option<&str>, session_count: u64) -> Check {
    let parsed = range.and_then(|range| {
        let mut ends = range.split_whitespace().map(str::parse::<u64>);
        let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    let Some(count) = parsed else { return unread(PORTS) };
    let told = format!("{count} ports, and so many sessions with each endpoint");
    if count >= session_count.min(PORT_COUNT_USUAL) {
        return Check::pass(PORTS, told);
    }
    Check::warn(
        PORTS,
        format!("{told}; the gateway has room for {session_count}"),
        set(PORTS, "10240 65535"),
    )
}

/// Whether connections that wait at a listener outlive it.
pub(super) fn migration(value: Option<&str>) -> Check {
    match value {
        Some("0") | None => Check::warn(
            MIGRATION,
            "0: connections that wait at a listener when it closes are reset, also where another \
             one serves the same port",
            set(MIGRATION, "1"),
        ),
        Some(value) => Check::pass(MIGRATION, format!("{value}: they go to another listener")),
    }
}

/// Whether congestion control suits a relay.
pub(super) fn congestion_control(name: Option<&str>) -> Check {
    match name {
        Some(name @ ("bbr" | "bbr2" | "bbr3")) => Check::warn(
            CONGESTION_CONTROL,
            format!(
                "{name} paces every connection: about twice the CPU for bulk to local services"
            ),
            set(CONGESTION_CONTROL, "cubic"),
        ),
        Some("dctcp") => Check::warn(
            CONGESTION_CONTROL,
            "dctcp needs switches that mark, on every path: other datacenters have none",
            set(CONGESTION_CONTROL, "cubic"),
        ),
        Some(name) => Check::pass(CONGESTION_CONTROL, name),
        None => unread(CONGESTION_CONTROL),
    }
}

fn set(name: &str, value: &str) -> String {
    let value = if value.contains(' ') { format!("'{value}'") } else { value.to_owned() };
    format!("`sysctl -w {name}={value}`, and in /etc/sysctl.d/ for good")
}

fn unread(name: &'static str) -> Check {
    Check::warn(name, "cannot be read here", "run this where /proc/sys is to be seen")
}
