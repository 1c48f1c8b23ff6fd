//! The names that connections between datacenters carry (SNI), built out of what the catalog
//! has. None is ever taken apart: names of services may have dots.
//!
//! Sources: Consul's `agent/connect/sni.go` (`ServiceSNI`, `DatacenterSNI`, later `GatewaySNI`)
//! and `tlsutil/config.go` (`ServerSNI`). All are lower-cased: what is looked up is, too.

use crate::route::Name;
use crate::route::model::NameError;

/// The namespace of everything where there are no namespaces.
pub const DEFAULT_NAMESPACE: &str = "default";

/// `<service>.<namespace>.<datacenter>.internal.<trust domain>`: a service.
///
/// # Errors
/// See [`NameError`].
pub fn service(
    service: &str,
    namespace: &str,
    datacenter: &str,
    trust_domain: &str,
) -> Result<Name, NameError> {
    Name::parse(&format!("{service}.{namespace}.{datacenter}.internal.{trust_domain}"))
}

/// `<subset>.<service>.<namespace>.<datacenter>.internal.<trust domain>`: those instances of a
/// service that its resolver calls so.
///
/// # Errors
/// See [`NameError`].
pub fn subset(
    subset: &str,
    service: &str,
    namespace: &str,
    datacenter: &str,
    trust_domain: &str,
) -> Result<Name, NameError> {
    Name::parse(&format!("{subset}.{service}.{namespace}.{datacenter}.internal.{trust_domain}"))
}

/// `<datacenter>.internal.<trust domain>`: the gateways of a datacenter. As a suffix: everything
/// in it.
///
/// # Errors
/// See [`NameError`].
pub fn datacenter(datacenter: &str, trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("{datacenter}.internal.{trust_domain}"))
}

/// `internal.<trust domain>`. As a suffix: everything in any datacenter.
///
/// # Errors
/// See [`NameError`].
pub fn internal(trust_domain: &str) -> Result<Name, NameError> {
    Name::parse(&format!("internal.{trust_domain}"))
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
        let name = text(service("Web", "default", "dc1", TRUST_DOMAIN));
        assert_eq!(name, "web.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul");
        let name = text(subset("v1", "web", "default", "dc1", TRUST_DOMAIN));
        assert!(name.starts_with("v1.web.default.dc1.internal.1111"), "{name}");
        assert!(text(datacenter("dc2", TRUST_DOMAIN)).starts_with("dc2.internal.1111"));
        assert!(text(internal(TRUST_DOMAIN)).starts_with("internal.1111"));
        assert_eq!(text(server("Node-1", "dc1", "consul")), "node-1.server.dc1.consul");
        // The agent's `domain` ends with a dot unless it was cut off.
        assert_eq!(text(servers("dc1", "consul.")), "server.dc1.consul");
        assert_eq!(text(above(TRUST_DOMAIN)), "consul");
        assert!(above("alone").is_err());
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        assert!(service("a*b", "default", "dc1", TRUST_DOMAIN).is_err());
        assert!(service("", "default", "dc1", TRUST_DOMAIN).is_err());
        assert!(service("a..b", "default", "dc1", TRUST_DOMAIN).is_err());
        assert!(service("a b", "default", "dc1", TRUST_DOMAIN).is_err());
        assert!(service(&"a".repeat(300), "default", "dc1", TRUST_DOMAIN).is_err());
        assert_eq!(
            text(service("a.b", "default", "dc1", "td.consul")),
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
