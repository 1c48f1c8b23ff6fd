//! The names that connections between datacenters carry (SNI), built out of what the catalog
//! has. None is ever taken apart: names of services may have dots.
//!
//! Sources: Consul's `agent/connect/sni.go` (`ServiceSNI`, `DatacenterSNI`, later `GatewaySNI`)
//! and `tlsutil/config.go` (`ServerSNI`). All are lower-cased: what is looked up is, too.

use crate::route::Name;
use crate::route::model::NameError;

/// The namespace of everything where there are no namespaces.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The domain of agents whose configuration names none (`agent/config/default.go`).
pub const SERVER_DOMAIN: &str = "consul";

/// The partition of everything where there are no partitions.
pub const DEFAULT_PARTITION: &str = "default";

/// A partition of a datacenter, as names have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realm {
    datacenter: String,
    /// [`DEFAULT_PARTITION`] where there are none.
    partition: String,
}

impl Realm {
    /// `partition`: empty for the default one.
    #[must_use]
    pub fn new(datacenter: &str, partition: &str) -> Self {
        let partition = if partition.is_empty() { DEFAULT_PARTITION } else { partition };
        Self {
            datacenter: datacenter.to_ascii_lowercase(),
            partition: partition.to_ascii_lowercase(),
        }
    }

    /// The datacenter, lower-cased.
    #[must_use]
    pub fn datacenter(&self) -> &str {
        &self.datacenter
    }

    /// The partition, lower-cased; never empty.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Whether it is the default partition, which names leave out.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.partition == DEFAULT_PARTITION
    }

    /// What names within it end with.
    fn suffix(&self, trust_domain: &str) -> String {
        let Self { datacenter, partition } = self;
        if self.is_default() {
            return format!("{datacenter}.internal.{trust_domain}");
        }
        format!("{partition}.{datacenter}.{PARTITIONED}.{trust_domain}")
    }
}

/// What takes the place of `internal` where a partition is named.
const PARTITIONED: &str = "internal-v1";

/// `<service>.<namespace>.<datacenter>.internal.<trust domain>`, or, in another than the default
/// partition, `<service>.<namespace>.<partition>.<datacenter>.internal-v1.<trust domain>`: a
/// service.
///
/// # Errors
/// See [`NameError`].
pub fn service(
    service: &str,
    namespace: &str,
    realm: &Realm,
    trust_domain: &str,
) -> Result<Name, NameError> {
    Name::parse(&format!("{service}.{namespace}.{}", realm.suffix(trust_domain)))
}

/// `<subset>.` and the name of a service: those instances of it that its resolver calls so.
///
/// # Errors
/// See [`NameError`].
pub fn subset(
    subset: &str,
    service: &str,
    namespace: &str,
    realm: &Realm,
    trust_domain: &str,
) -> Result<Name, NameError> {
    Name::parse(&format!("{subset}.{service}.{namespace}.{}", realm.suffix(trust_domain)))
}

/// `<datacenter>.internal.<trust domain>`, or, of another than the default partition,
/// `<partition>.<datacenter>.internal-v1.<trust domain>`: its gateways. As a suffix: everything in
/// it.
///
/// # Errors
/// See [`NameError`].
pub fn gateways(realm: &Realm, trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(&realm.suffix(trust_domain))
}

/// `<datacenter>.internal-v1.<trust domain>`. As a suffix: everything in other than the default
/// partitions of a datacenter.
///
/// # Errors
/// See [`NameError`].
pub fn partitions(datacenter: &str, trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("{datacenter}.{PARTITIONED}.{trust_domain}"))
}

/// `internal.<trust domain>` and `internal-v1.<trust domain>`. As suffixes: everything in any
/// datacenter.
///
/// # Errors
/// See [`NameError`].
pub fn internal(trust_domain: &str) -> Result<[Name; 2], NameError> {
    let name = |label: &str| Name::parse(&format!("{label}.{trust_domain}"));
    Ok([name("internal")?, name(PARTITIONED)?])
}

/// `<service>.<namespace>.<partition>.<peer>.external.<trust domain>`: a service that is exported
/// to a peer, by the name that the peer has where it is exported.
///
/// # Errors
/// See [`NameError`].
pub fn exported(
    service: &str,
    namespace: &str,
    partition: &str,
    peer: &str,
    trust_domain: &str,
) -> Result<Name, NameError> {
    Name::parse(&format!("{service}.{namespace}.{partition}.{peer}.external.{trust_domain}"))
}

/// `server.<datacenter>.peering.<trust domain>`: the servers, for those of peers
/// (`agent/connect/uri_server.go`, `PeeringServerSAN`).
///
/// # Errors
/// See [`NameError`].
pub fn peering_server(datacenter: &str, trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("server.{datacenter}.peering.{trust_domain}"))
}

/// `<node>.server.<datacenter>.<domain>`: one Consul server.
///
/// # Errors
/// See [`NameError`].
pub fn server(node: &str, datacenter: &str, domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("{node}.server.{datacenter}.{domain}"))
}

/// `server.<datacenter>.<domain>`: any Consul server of a datacenter. As a suffix: each of them.
///
/// # Errors
/// See [`NameError`].
pub fn servers(datacenter: &str, domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("server.{datacenter}.{domain}"))
}

/// What a trust domain is under: `consul`, always (`agent/consul/leader_connect.go`). As a
/// suffix: every trust domain.
///
/// # Errors
/// See [`NameError`]: also when the trust domain has only one label.
pub fn above(trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(trust_domain.split_once('.').map_or("", |(_, above)| above))
}

/// Whether this can be the name of a datacenter (Consul's `agent/config/builder.go`: letters,
/// digits, `-` and `_`). One with a dot would be a name within another datacenter.
#[must_use]
pub fn is_datacenter(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

    fn text(name: Result<Name, NameError>) -> String {
        name.unwrap().as_str().to_owned()
    }

    #[test]
    fn names_are_those_that_consul_gives_to_sidecars_and_servers() {
        let realm = Realm::new("DC1", "");
        let name = text(service("Web", "default", &realm, TRUST_DOMAIN));
        assert_eq!(name, "web.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul");
        let name = text(subset("v1", "web", "default", &realm, TRUST_DOMAIN));
        assert!(name.starts_with("v1.web.default.dc1.internal.1111"), "{name}");
        let other = Realm::new("dc2", "Default");
        assert!(text(gateways(&other, TRUST_DOMAIN)).starts_with("dc2.internal.1111"));
        let internal = internal(TRUST_DOMAIN).unwrap().map(|name| name.as_str().to_owned());
        assert!(internal[0].starts_with("internal.1111"), "{internal:?}");
        assert!(internal[1].starts_with("internal-v1.1111"), "{internal:?}");
        assert_eq!(text(server("Node-1", "dc1", "consul")), "node-1.server.dc1.consul");
        // The agent's `domain` ends with a dot unless it was cut off.
        assert_eq!(text(servers("dc1", "consul.")), "server.dc1.consul");
        assert_eq!(text(above(TRUST_DOMAIN)), "consul");
        assert!(above("alone").is_err());
    }

    /// `agent/connect/sni_test.go` of Consul 1.14 (`TestServiceSNI`, `TestGatewaySNI`,
    /// `TestPeeredServiceSNI`) and `uri_server.go` there (`PeeringServerSAN`).
    #[test]
    fn names_with_partitions_and_peers_are_those_of_consul() {
        let (realm, domain) = (Realm::new("foo", "part1"), "domain.consul");
        let name = text(service("api", "neon", &realm, domain));
        assert_eq!(name, "api.neon.part1.foo.internal-v1.domain.consul");
        let name = text(subset("canary", "api", "neon", &realm, domain));
        assert_eq!(name, "canary.api.neon.part1.foo.internal-v1.domain.consul");
        assert_eq!(text(gateways(&realm, domain)), "part1.foo.internal-v1.domain.consul");
        assert_eq!(text(partitions("foo", domain)), "foo.internal-v1.domain.consul");
        let name = text(exported("api", "neon", "default", "us-east", domain));
        assert_eq!(name, "api.neon.default.us-east.external.domain.consul");
        assert_eq!(text(peering_server("dc1", domain)), "server.dc1.peering.domain.consul");
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        let realm = Realm::new("dc1", "default");
        for name in ["a*b", "", "a..b", "a b", &"a".repeat(300)] {
            assert!(service(name, "default", &realm, TRUST_DOMAIN).is_err(), "{name}");
        }
        assert_eq!(
            text(service("a.b", "default", &realm, "td.consul")),
            "a.b.default.dc1.internal.td.consul"
        );
    }

    #[test]
    fn a_datacenter_has_one_label() {
        assert!(is_datacenter("dc-1_a"));
        assert!(is_datacenter("DC1"));
        for name in ["", "a.b", "*", "dc 1", "d\u{e9}"] {
            assert!(!is_datacenter(name), "{name}");
        }
    }
}
