//! The options of a mesh gateway in `Proxy.Config` (Consul's `agent/xds/config.go`). Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::address::Address;
use super::weak;
use crate::limits::CONNECT_TIMEOUT;

/// Options of a mesh gateway in `Proxy.Config`, merged by Consul with those of proxy-defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time for a connection to an endpoint whose resolver says nothing else.
    pub connect_timeout: Duration,
    /// Accept on the tagged addresses, too.
    pub bind_tagged_addresses: bool,
    /// Accept on these, too.
    pub bind_addresses: BTreeMap<String, Address>,
    /// Do not accept on the service's own address.
    pub no_default_bind: bool,
    /// How host names of other datacenters' gateways are taken, where that is said.
    pub dns_discovery: Option<DnsDiscovery>,
    /// Keepalive of connections to other datacenters' gateways, if it is on.
    pub remote_keepalive: Option<RemoteKeepalive>,
    /// Where metrics are asked for, beside the admin server.
    pub prometheus_bind: Option<SocketAddr>,
    /// Sentences on options that cannot be read, and count as absent; for people.
    pub problems: Vec<String>,
}

/// How the host name of a gateway is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsDiscovery {
    /// One of its addresses at a time: `LOGICAL_DNS`.
    OneAddress,
    /// All of its addresses: `STRICT_DNS`.
    AllAddresses,
}

/// Keepalive; what is not said is as Linux has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteKeepalive {
    /// Idle time before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Probes without an answer.
    pub probe_count: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            bind_tagged_addresses: false,
            bind_addresses: BTreeMap::new(),
            no_default_bind: false,
            dns_discovery: None,
            remote_keepalive: None,
            prometheus_bind: None,
            problems: Vec::new(),
        }
    }
}

impl Options {
    /// Reads a `Proxy.Config`. What cannot be read is as if it were not there: Consul does so,
    /// and one mistyped option must not stop a gateway.
    pub(super) fn read(config: &Map<String, Value>) -> Self {
        let mut reader = Reader { config, problems: Vec::new() };
        let timeout = reader.integer("connect_timeout_ms", "milliseconds, such as 5000", i64::MAX);
        Self {
            // Less than 1 is the default, as in Consul.
            connect_timeout: timeout.map_or(CONNECT_TIMEOUT, Duration::from_millis),
            bind_tagged_addresses: reader.boolean(&[
                "envoy_gateway_bind_tagged_addresses",
                "envoy_mesh_gateway_bind_tagged_addresses",
            ]),
            bind_addresses: reader.bind_addresses(),
            no_default_bind: reader
                .boolean(&["envoy_gateway_no_default_bind", "envoy_mesh_gateway_no_default_bind"]),
            dns_discovery: reader.dns_discovery(),
            remote_keepalive: reader.remote_keepalive(),
            prometheus_bind: reader.read(
                &["envoy_prometheus_bind_addr"],
                "an IP address and a port, such as 0.0.0.0:9102",
                |value| value.as_str()?.parse().ok(),
            ),
            problems: reader.problems,
        }
    }
}

/// Reads options, and says which of them cannot be read.
struct Reader<'a> {
    config: &'a Map<String, Value>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn read<T>(
        &mut self,
        names: &[&str],
        expected: &str,
        how: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let (name, value) = weak::find(self.config, names)?;
        let read = how(value);
        if read.is_none() {
            self.complain(name, value, expected);
        }
        read
    }

    fn complain(&mut self, name: &str, value: &Value, expected: &str) {
        self.problems.push(format!(
            "Proxy.Config: {name} is {value}: expected {expected}; it counts as absent"
        ));
    }

    fn boolean(&mut self, names: &[&str]) -> bool {
        self.read(names, "true or false", weak::boolean).unwrap_or_default()
    }

    /// A number above 0; Consul takes others for none.
    fn integer(&mut self, name: &str, expected: &str, most: i64) -> Option<u64> {
        let in_bounds = |value| weak::integer(value).filter(|number| *number <= most);
        let number = self.read(&[name], expected, in_bounds)?;
        u64::try_from(number).ok().filter(|number| *number > 0)
    }

    fn bind_addresses(&mut self) -> BTreeMap<String, Address> {
        let names = ["envoy_gateway_bind_addresses", "envoy_mesh_gateway_bind_addresses"];
        let expected = "a map of names to {\"address\": IP, \"port\": PORT}";
        let mut addresses = BTreeMap::new();
        for (key, value) in self.read(&names, expected, Value::as_object).into_iter().flatten() {
            match weak::address(value) {
                Some(address) => {
                    addresses.insert(key.clone(), address);
                }
                None => {
                    let name = format!("envoy_gateway_bind_addresses.{key}");
                    self.complain(&name, value, "{\"address\": IP, \"port\": PORT}");
                }
            }
        }
        addresses
    }

    fn dns_discovery(&mut self) -> Option<DnsDiscovery> {
        self.read(&["envoy_dns_discovery_type"], "LOGICAL_DNS or STRICT_DNS", |value| {
            match value.as_str()?.to_ascii_uppercase().as_str() {
                "" => Some(None),
                "LOGICAL_DNS" => Some(Some(DnsDiscovery::OneAddress)),
                "STRICT_DNS" => Some(Some(DnsDiscovery::AllAddresses)),
                _ => None,
            }
        })
        .flatten()
    }

    /// Bounds are those of tcp(7).
    fn remote_keepalive(&mut self) -> Option<RemoteKeepalive> {
        let prefix = "envoy_gateway_remote_tcp";
        let is_on = self.boolean(&[&format!("{prefix}_enable_keepalive")]);
        let mut seconds = |what: &str| {
            let name = format!("{prefix}_keepalive_{what}");
            self.integer(&name, "seconds, at most 32767", 32_767).map(Duration::from_secs)
        };
        let (idle, interval) = (seconds("time"), seconds("interval"));
        let name = format!("{prefix}_keepalive_probes");
        let probe_count = self.integer(&name, "a count, at most 127", 127);
        let probe_count = probe_count.and_then(|count| u32::try_from(count).ok());
        is_on.then_some(RemoteKeepalive { idle, interval, probe_count })
    }
}
