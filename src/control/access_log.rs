//! The access log: one line per session, or several, from what its worker recorded.
//!
//! The JSON has Consul's default access-log keys (its `DefaultJSONFormat`), with what Envoy
//! writes into them for TCP: the keys of HTTP are null, `response_code` is 0. Then come our own.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::config::LogFormat;
use crate::dataplane::record::{End, SessionRecord};
use crate::kernel::Tick;
use crate::refusal::Refusal;
use crate::route::ClusterId;

mod timestamp;

pub use timestamp::Timestamp;

/// Turns the worker's clock into wall-clock time, as both stand now.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    monotonic_us: u64,
    unix_us: u64,
}

impl WallClock {
    /// Both clocks, read now.
    #[must_use]
    pub fn now() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let unix_us = unix.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        Self { monotonic_us: crate::sys::process::monotonic_us(), unix_us }
    }

    fn at(self, tick: Tick) -> Timestamp {
        Timestamp(self.unix_us.saturating_sub(Tick(self.monotonic_us).since_us(tick)))
    }
}

/// Appends the line of a session to `line`, newline included.
pub fn format_line(
    format: LogFormat,
    record: &SessionRecord,
    clock: WallClock,
    cluster_name: impl Fn(ClusterId) -> Option<Arc<str>>,
    line: &mut Vec<u8>,
) {
    let cluster = record.cluster.and_then(cluster_name);
    let entry = Entry::new(record, clock, cluster.as_deref());
    let written = match format {
        LogFormat::Json => serde_json::to_writer(&mut *line, &entry).map_err(Into::into),
        LogFormat::Text => entry.write_text(line),
    };
    // Writing to memory does not fail, and neither does serializing numbers and text.
    debug_assert!(written.is_ok());
    line.push(b'\n');
}

/// A line. The order of the fields is the order of the keys.
#[derive(Serialize)]
struct Entry<'a> {
    start_time: Timestamp,
    route_name: Null,
    method: Null,
    path: Null,
    protocol: Null,
    response_code: u16,
    response_flags: &'static str,
    response_code_details: Null,
    connection_termination_details: Option<&'static str>,
    bytes_received: u64,
    bytes_sent: u64,
    /// Milliseconds.
    duration: u64,
    upstream_service_time: Null,
    x_forwarded_for: Null,
    user_agent: Null,
    request_id: Null,
    authority: Null,
    upstream_host: Option<SocketAddr>,
    upstream_cluster: Option<&'a str>,
    upstream_local_address: Option<SocketAddr>,
    downstream_local_address: Option<SocketAddr>,
    downstream_remote_address: Option<SocketAddr>,
    requested_server_name: Option<&'a str>,
    upstream_transport_failure_reason: Null,
    // Ours.
    reason: &'static str,
    reason_detail: Option<String>,
    connection_attempts: u8,
    hello_us: Option<u32>,
    connect_us: Option<u32>,
    worker: u16,
}

impl<'a> Entry<'a> {
    fn new(record: &'a SessionRecord, clock: WallClock, cluster: Option<&'a str>) -> Self {
        let name = record.server_name();
        Self {
            start_time: clock.at(record.accepted_at),
            route_name: Null,
            method: Null,
            path: Null,
            protocol: Null,
            response_code: 0,
            response_flags: response_flags(record),
            response_code_details: Null,
            connection_termination_details: details(record.end),
            bytes_received: record.bytes_up,
            bytes_sent: record.bytes_down,
            duration: record.ended_at.since_us(record.accepted_at) / 1000,
            upstream_service_time: Null,
            x_forwarded_for: Null,
            user_agent: Null,
            request_id: Null,
            authority: Null,
            upstream_host: record.upstream_peer,
            upstream_cluster: cluster,
            upstream_local_address: record.upstream_local,
            downstream_local_address: record.downstream_local,
            downstream_remote_address: record.downstream_peer,
            requested_server_name: (!name.is_empty()).then_some(name),
            upstream_transport_failure_reason: Null,
            reason: reason(record.end),
            reason_detail: record.hello_error.map(|broken| broken.to_string()),
            connection_attempts: record.attempt_count,
            hello_us: record.hello_us,
            connect_us: record.connect_us,
            worker: record.worker,
        }
    }

    fn write_text(&self, line: &mut Vec<u8>) -> std::io::Result<()> {
        let address = |address: Option<SocketAddr>| match address {
            Some(address) => address.to_string(),
            None => "-".to_owned(),
        };
        // A name and a cluster are quoted and escaped: whoever sent or wrote them may have
        // wished to forge a line.
        write!(
            line,
            "[{}] {:?} {} -> {:?} {} {} {} up={} down={} duration_ms={} attempts={}",
            self.start_time,
            self.requested_server_name.unwrap_or("-"),
            address(self.downstream_remote_address),
            self.upstream_cluster.unwrap_or("-"),
            address(self.upstream_host),
            self.response_flags,
            self.reason,
            self.bytes_received,
            self.bytes_sent,
            self.duration,
            self.connection_attempts,
        )?;
        match &self.reason_detail {
            Some(detail) => write!(line, " detail={detail:?}"),
            None => Ok(()),
        }
    }
}

/// What Envoy writes for a key that TCP has not.
struct Null;

impl Serialize for Null {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

/// Envoy's `%RESPONSE_FLAGS%` (its documentation of access logging), where one fits.
fn response_flags(record: &SessionRecord) -> &'static str {
    match record.end {
        End::Finished | End::Begun | End::Ongoing => "-",
        End::Refused(why) => match why {
            Refusal::NotTls
            | Refusal::NoServerName
            | Refusal::UnknownName
            | Refusal::UnknownDatacenter
            | Refusal::OtherTrustDomain
            | Refusal::HttpOverPeering => "NR",
            Refusal::ProxyHeader => "DPE",
            Refusal::NotAllowed => "UAEX",
            Refusal::TooManyHellos => "RL",
            Refusal::MalformedHello => "DPE",
            Refusal::HelloTimeout => "DT",
            Refusal::HelloTruncated => "DC",
            Refusal::ReassemblyExhausted => "OM",
            Refusal::NoGateways | Refusal::NoEndpoints => "UH",
            Refusal::ConnectFailed if record.attempt_count > 1 => "UF,URX",
            Refusal::ConnectFailed | Refusal::OutOfResources => "UF",
        },
        End::DownstreamReset => "DC",
        End::UpstreamReset => "UC",
        End::Idle | End::HalfCloseIdle => "SI",
        End::Drained => "LR",
    }
}

/// Why the session ended, in a word; or that it has not.
fn reason(end: End) -> &'static str {
    match end {
        End::Finished => "finished",
        End::Refused(why) => why.name(),
        End::DownstreamReset => "downstream_reset",
        End::UpstreamReset => "upstream_reset",
        End::Idle => "idle",
        End::HalfCloseIdle => "half_close_idle",
        End::Drained => "drained",
        End::Begun => "begun",
        End::Ongoing => "ongoing",
    }
}

fn details(end: End) -> Option<&'static str> {
    match end {
        End::Refused(why) => Some(why.sentence()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
