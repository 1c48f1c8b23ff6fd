//! What producers hand over: routes, clusters and endpoints, with every host name resolved.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use crate::kernel::Keepalive;
use crate::limits::{CONNECT_TIMEOUT, SERVER_NAME_BYTES_MAX};
use crate::refusal::Refusal;

/// Everything that can be routed, at one time. No order among the routes has a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Where names lead.
    pub routes: Vec<Route>,
    /// The clusters that [`Target::Cluster`] names, by index.
    pub clusters: Vec<Cluster>,
    /// Where names lead that no route has, and hellos without a name, by index.
    pub default_cluster: Option<usize>,
    /// The addresses of the federation's gateways.
    pub gateways: BTreeSet<IpAddr>,
}

impl Routes {
    /// Adds a cluster and returns the target that leads to it.
    pub fn add_cluster(&mut self, cluster: Cluster) -> Target {
        let target = Target::Cluster(self.clusters.len());
        self.clusters.push(cluster);
        target
    }

    /// Has names that no route has lead to the cluster of this key. Says whether there is one.
    pub fn set_default(&mut self, key: &str) -> bool {
        self.default_cluster = self.clusters.iter().position(|cluster| cluster.key == key);
        self.default_cluster.is_some()
    }

    /// Adds a route.
    pub fn add_route(&mut self, pattern: Pattern, target: Target) {
        self.routes.push(Route { pattern, target });
    }
}

/// A rule: names of this pattern lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which names.
    pub pattern: Pattern,
    /// Where they lead.
    pub target: Target,
}

/// Which server names a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// This name.
    Exact(Name),
    /// Every name with at least one more label in front of this one: `*.name`.
    Suffix(Name),
}

impl Pattern {
    /// Reads `name` or `*.name`.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("*.") {
            Some(suffix) => Name::parse(suffix).map(Self::Suffix),
            None => Name::parse(text).map(Self::Exact),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Suffix(name) => write!(f, "*.{name}"),
        }
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the cluster of this index in [`Routes::clusters`].
    Cluster(usize),
    /// Nowhere, for this reason.
    Refuse(Refusal),
}

/// A canonical server name: lower case, no trailing dot, no empty label.
///
/// Any visible ASCII but `*` is allowed within labels: Consul makes names of whatever services
/// are called, and a name is only ever compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Brings a name into canonical form: lower-cased, without one trailing dot.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > SERVER_NAME_BYTES_MAX {
            return Err(NameError::TooLong { length_bytes: text.len() });
        }
        if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '*') {
            return Err(NameError::Character { character });
        }
        if text.split('.').any(str::is_empty) {
            return Err(NameError::EmptyLabel);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no server name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing there.
    #[error("a server name cannot be empty")]
    Empty,
    /// Longer than a server name can be (RFC 1035 §2.3.4).
    #[error("a server name has at most {SERVER_NAME_BYTES_MAX} bytes, this one has {length_bytes}")]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// Not visible ASCII, or a `*` elsewhere than in front.
    #[error("{character:?} cannot be part of a server name")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Two dots in a row, or one in front.
    #[error("a server name cannot have an empty label (a dot in front, or two in a row)")]
    EmptyLabel,
}

/// A set of endpoints that serve the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its identity and its name in logs and metrics: the same key means the same cluster, and
    /// so the same id, in any later table.
    pub key: String,
    /// A connection to an endpoint must stand within this time; zero: no such limit.
    pub connect_timeout: Duration,
    /// How an endpoint is chosen.
    pub policy: Policy,
    /// When less than this share of the endpoints is healthy and not ejected, all of them are
    /// dialed alike. Zero: only when none is.
    pub panic_threshold_percent: u8,
    /// Whether its endpoints are told whose connection they get, by a header of the PROXY protocol.
    pub is_announced: bool,
    /// Keepalive of its connections, where it is another than that of all. In whole seconds.
    pub keepalive: Option<Keepalive>,
    /// Where to connect to. An address that comes twice counts once.
    pub endpoints: Vec<Endpoint>,
}

impl Cluster {
    /// A cluster with defaults for everything but its key and endpoints.
    #[must_use]
    pub fn new(key: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            key: key.into(),
            connect_timeout: CONNECT_TIMEOUT,
            policy: Policy::default(),
            panic_threshold_percent: 0,
            is_announced: false,
            keepalive: None,
            endpoints,
        }
    }
}

/// How an endpoint is chosen among those that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Of two drawn at random by weight, the one with fewer connections for its weight.
    #[default]
    LeastConnections = 0,
    /// One after the other, each as often as its weight says.
    RoundRobin = 1,
    /// At random, by weight.
    Random = 2,
}

impl Policy {
    /// Its name where a table is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeastConnections => "least_connections",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
        }
    }
}

/// One place to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Its share of connections: 1 to [`WEIGHT_MAX`]; anything else is brought within.
    pub weight: u8,
    /// Whether whoever checks it says that it works.
    pub healthy: bool,
}

impl Endpoint {
    /// A healthy endpoint of weight 1.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, weight: 1, healthy: true }
    }
}

/// The largest weight (Consul's, `calculateEndpointHealthAndWeight`).
pub const WEIGHT_MAX: u8 = 128;

/// An address as a person writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `1.2.3.4:443`, `[2001:db8::1]:443`.
    Socket(SocketAddr),
    /// `host.example:443`, to be resolved.
    Host {
        /// The host's name, lower-cased.
        name: String,
        /// The TCP port.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}
