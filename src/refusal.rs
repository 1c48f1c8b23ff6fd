//! Why a connection was refused: one list for the table, the data path, logs and metrics.

use crate::tls::alert::AlertDescription;

/// Why a downstream connection was not forwarded, or ended before it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The first byte is not that of a TLS handshake record.
    NotTls,
    /// It is TLS, and the ClientHello breaks a rule.
    MalformedHello,
    /// The ClientHello has no server name, or an IP address for one.
    NoServerName,
    /// The client did not complete its hello in time.
    HelloTimeout,
    /// The client closed in the middle of its hello.
    HelloTruncated,
    /// All buffers for hellos in several records are in use.
    ReassemblyExhausted,
    /// No route has this name.
    UnknownName,
    /// The name is of a datacenter that nothing is known of.
    UnknownDatacenter,
    /// The name is of a known datacenter, which has no gateways.
    NoGateways,
    /// The name is under a trust domain that is not ours.
    OtherTrustDomain,
    /// The name is of a service that speaks HTTP and is exported to a peer.
    HttpOverPeering,
    /// The route has no endpoint, or none that may be dialed.
    NoEndpoints,
    /// Every endpoint tried refused, failed or did not answer in time.
    ConnectFailed,
    /// No local port, descriptor or memory was left to dial with.
    OutOfResources,
    /// A trusted proxy's connection begins with no header of the PROXY protocol.
    ProxyHeader,
    /// The client's address is not in the allow-list.
    NotAllowed,
    /// The source has as many connections with incomplete hellos as one may have.
    TooManyHellos,
}

impl Refusal {
    /// All of them, in order.
    pub const ALL: [Self; 17] = [
        Self::NotTls,
        Self::MalformedHello,
        Self::NoServerName,
        Self::HelloTimeout,
        Self::HelloTruncated,
        Self::ReassemblyExhausted,
        Self::UnknownName,
        Self::UnknownDatacenter,
        Self::NoGateways,
        Self::OtherTrustDomain,
        Self::HttpOverPeering,
        Self::NoEndpoints,
        Self::ConnectFailed,
        Self::OutOfResources,
        Self::ProxyHeader,
        Self::NotAllowed,
        Self::TooManyHellos,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::MalformedHello => "malformed_hello",
            Self::NoServerName => "no_server_name",
            Self::HelloTimeout => "hello_timeout",
            Self::HelloTruncated => "hello_truncated",
            Self::ReassemblyExhausted => "reassembly_exhausted",
            Self::UnknownName => "unknown_name",
            Self::UnknownDatacenter => "unknown_datacenter",
            Self::NoGateways => "no_gateways",
            Self::OtherTrustDomain => "other_trust_domain",
            Self::HttpOverPeering => "http_over_peering",
            Self::NoEndpoints => "no_endpoints",
            Self::ConnectFailed => "connect_failed",
            Self::OutOfResources => "out_of_resources",
            Self::ProxyHeader => "proxy_header",
            Self::NotAllowed => "not_allowed",
            Self::TooManyHellos => "too_many_hellos",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotTls => "the connection does not begin with a TLS handshake",
            Self::MalformedHello => "the TLS ClientHello is malformed",
            Self::NoServerName => "the TLS ClientHello names no server (SNI)",
            Self::HelloTimeout => "the TLS ClientHello was not complete in time",
            Self::HelloTruncated => "the client closed in the middle of its TLS ClientHello",
            Self::ReassemblyExhausted => {
                "too many ClientHellos in several TLS records are under way"
            }
            Self::UnknownName => "no route has this server name",
            Self::UnknownDatacenter => "the server name is of an unknown datacenter",
            Self::NoGateways => "the datacenter of this server name has no mesh gateways",
            Self::OtherTrustDomain => "the server name is of another trust domain",
            Self::HttpOverPeering => {
                "the service speaks HTTP, which cluster peering ends TLS for at the gateway: this \
                 one never does"
            }
            Self::NoEndpoints => "the route has no endpoint that may be dialed",
            Self::ConnectFailed => "no endpoint of the route could be reached",
            Self::OutOfResources => "no local port, descriptor or memory was left to dial with",
            Self::ProxyHeader => {
                "a trusted proxy's connection begins with no PROXY protocol header"
            }
            Self::NotAllowed => "the client's address is not in the allow-list",
            Self::TooManyHellos => {
                "the source has too many connections whose TLS ClientHello is incomplete"
            }
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotTls => "something else than TLS was sent to this port: look who it is",
            Self::MalformedHello => "the detail names the rule of TLS that the client broke",
            Self::NoServerName => "the client must send a name (SNI), and no IP address",
            Self::HelloTimeout | Self::HelloTruncated => {
                "the client or its network gave up: look there"
            }
            Self::ReassemblyExhausted => "look who sends so many hellos in several records",
            Self::UnknownName => "`sluice routes NAME` says which rules were looked at",
            Self::UnknownDatacenter => {
                "Consul lists no such datacenter: is it WAN joined? `sluice doctor consul`"
            }
            Self::NoGateways => {
                "that datacenter has no mesh gateway, or the federation states lack it: \
                 `sluice doctor consul`"
            }
            Self::OtherTrustDomain => "the client is of another federation",
            Self::HttpOverPeering => "export the service as `tcp`, or keep Envoy for peers",
            Self::NoEndpoints | Self::ConnectFailed => {
                "`sluice doctor connectivity` dials every endpoint and says why it fails"
            }
            Self::OutOfResources => "`sluice doctor host` says what this host is short of",
            Self::ProxyHeader => {
                "have the proxy send it, or take its network out of `--proxy-protocol-from`"
            }
            Self::NotAllowed => "`--allow` names who may connect",
            Self::TooManyHellos => {
                "look who it is; `--hellos-per-source-max` says how many one may have"
            }
        }
    }

    /// The alert that tells a TLS client, if it gets one (RFC 8446 §6.2, RFC 6066 §3).
    #[must_use]
    pub const fn alert(self) -> Option<AlertDescription> {
        match self {
            Self::NotTls
            | Self::HelloTimeout
            | Self::HelloTruncated
            | Self::ProxyHeader
            | Self::TooManyHellos => None,
            Self::NotAllowed => Some(AlertDescription::AccessDenied),
            Self::MalformedHello => Some(AlertDescription::DecodeError),
            Self::NoServerName
            | Self::UnknownName
            | Self::UnknownDatacenter
            | Self::NoGateways
            | Self::OtherTrustDomain
            | Self::HttpOverPeering => Some(AlertDescription::UnrecognizedName),
            Self::ReassemblyExhausted
            | Self::NoEndpoints
            | Self::ConnectFailed
            | Self::OutOfResources => Some(AlertDescription::InternalError),
        }
    }
}
