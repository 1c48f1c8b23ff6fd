//! Who may connect, and who speaks for others.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// Networks, few enough to be looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[IpNet] {
        &self.0
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The federation's gateways.
    pub federation: bool,
    /// These, too.
    pub networks: Networks,
}

/// What is asked of a connection because of where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Proxies: they say whose connection they pass on, before anything else.
    pub proxies: Networks,
    /// Who may connect; `None`: everyone.
    pub allowed: Option<Allowed>,
    /// Connections of one source at once whose hello is not complete, in this worker; 0: without
    /// a limit.
    pub hellos_per_source_max: u32,
    /// The addresses of the federation's gateways.
    pub federation: Arc<HashSet<IpAddr>>,
}

/// What becomes of a connection before its first byte is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Nothing in particular.
    #[default]
    Granted,
    /// It begins with the header of a proxy.
    Announced,
    /// It is refused, with its first byte: health probes send none.
    Denied,
}

impl Access {
    /// Whether anything is asked at all: if not, nobody's address is looked up for it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.proxies.is_empty() || self.allowed.is_some() || self.hellos_per_source_max > 0
    }

    /// What becomes of a connection from there.
    pub(crate) fn of_peer(&self, ip: Option<IpAddr>) -> Admission {
        match ip {
            Some(ip) if self.proxies.contains(ip) => Admission::Announced,
            ip => self.of_source(ip),
        }
    }

    /// What becomes of one of which it is known whose it is. Where that cannot be known, only an
    /// allow-list asks for it.
    pub(crate) fn of_source(&self, ip: Option<IpAddr>) -> Admission {
        let Some(allowed) = &self.allowed else { return Admission::Granted };
        let is_allowed = |ip| {
            allowed.networks.contains(ip) || allowed.federation && self.federation.contains(&ip)
        };
        if ip.is_some_and(is_allowed) { Admission::Granted } else { Admission::Denied }
    }

    /// Whether incomplete hellos of this source are limited: those of the federation never are.
    pub(crate) fn limits_hellos_of(&self, ip: IpAddr) -> bool {
        self.hellos_per_source_max > 0 && !self.federation.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn without_options_everyone_is_admitted_unasked() {
        let access = Access::default();
        assert!(!access.is_used());
        assert_eq!(access.of_peer(ip("10.0.0.1")), Admission::Granted);
        assert_eq!(access.of_peer(None), Admission::Granted);
    }

    #[test]
    fn proxies_announce_and_others_are_judged_themselves() {
        let access = Access {
            proxies: networks(&["10.1.0.0/16", "2001:db8::/32"]),
            allowed: Some(Allowed { federation: false, networks: networks(&["192.0.2.0/24"]) }),
            ..Access::default()
        };
        assert_eq!(access.of_peer(ip("10.1.2.3")), Admission::Announced);
        assert_eq!(access.of_peer(ip("2001:db8::7")), Admission::Announced);
        assert_eq!(access.of_peer(ip("192.0.2.9")), Admission::Granted);
        assert_eq!(access.of_peer(ip("10.2.2.3")), Admission::Denied);
        assert_eq!(access.of_peer(None), Admission::Denied, "unknown is not allowed");
        // Being a proxy does not make it allowed for itself.
        assert_eq!(access.of_source(ip("10.1.2.3")), Admission::Denied);
    }

    #[test]
    fn the_federation_is_allowed_where_that_was_said_and_never_limited() {
        let federation: HashSet<IpAddr> = ip("198.51.100.7").into_iter().collect();
        let mut access = Access {
            allowed: Some(Allowed { federation: true, networks: Networks::default() }),
            hellos_per_source_max: 3,
            federation: Arc::new(federation),
            ..Access::default()
        };
        assert_eq!(access.of_peer(ip("198.51.100.7")), Admission::Granted);
        assert_eq!(access.of_peer(ip("198.51.100.8")), Admission::Denied);
        assert!(!access.limits_hellos_of(ip("198.51.100.7").unwrap()));
        assert!(access.limits_hellos_of(ip("198.51.100.8").unwrap()));
        access.allowed = Some(Allowed::default());
        assert_eq!(access.of_peer(ip("198.51.100.7")), Admission::Denied);
    }
}
