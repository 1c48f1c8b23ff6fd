//! Addresses as a registration has them: a host and a port, where the host may be missing.

use std::fmt;
use std::net::{IpAddr, UdpSocket};

use serde::Deserialize;
use serde_json::{Value, json};

/// The port of an address that is an IP address alone, as `consul connect envoy` has it.
const PORT_DEFAULT: u16 = 443;

/// A host (IP address, name, or nothing: then it is the node's) and a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Address {
    /// An IP address, a host name, or empty.
    #[serde(rename = "Address", default)]
    pub host: String,
    /// The port; 0 where a definition leaves it out.
    #[serde(rename = "Port", default)]
    pub port: u16,
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address: expected IP:PORT, [IPv6]:PORT, an IP address alone (then the \
     port is 443), NAME:PORT, or :PORT for the address of the node"
)]
pub struct AddressError {
    text: String,
}

impl Address {
    /// An address of a host and a port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The node's address, with the port that `consul connect envoy` takes for granted.
    #[must_use]
    pub fn of_node() -> Self {
        Self::new("", PORT_DEFAULT)
    }

    /// Reads an address as `consul connect envoy -address` does: an IP address may stand alone,
    /// a name needs a port, and a port may stand alone.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::new(ip.to_string(), PORT_DEFAULT));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(wrong)?;
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(wrong)?;
            let ip: IpAddr = inner.parse().map_err(|_| wrong())?;
            return Ok(Self::new(ip.to_string(), port));
        }
        let is_name = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        is_name.then(|| Self::new(host, port)).ok_or_else(wrong)
    }

    /// The host, if it is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether it is an address that stands for all of a host's, and leads nowhere from another.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether this host can accept connections there. Asked of Linux, not of the list of
    /// interfaces: all of 127.0.0.0/8 can be bound, and whatever `ip_nonlocal_bind` allows.
    #[must_use]
    pub fn is_bindable(&self) -> bool {
        self.ip().is_some_and(|ip| UdpSocket::bind((ip, 0)).is_ok())
    }

    /// As Consul writes it.
    pub(super) fn to_json(&self) -> Value {
        json!({ "Address": self.host, "Port": self.port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_consul_reads_them() {
        for (text, host, port) in [
            ("10.0.0.1:8443", "10.0.0.1", 8443),
            ("10.0.0.1", "10.0.0.1", 443),
            ("[2001:db8::1]:8443", "2001:db8::1", 8443),
            ("[2001:db8::1]", "2001:db8::1", 443),
            ("2001:db8::1", "2001:db8::1", 443),
            ("lb.example.com:443", "lb.example.com", 443),
            (":8443", "", 8443),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address, Address::new(host, port), "{text}");
            assert_eq!(Address::parse(&address.to_string()).unwrap(), address, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "lb.example.com", "10.0.0.1:0", "10.0.0.1:65536", "[10.0.0.1", "a b:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in ["[lb.example.com]:1", "2001:db8::1:x", "http://lb:1", "{{ GetPrivateIP }}:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_of_another_host_cannot_be_bound() {
        assert!(Address::new("127.0.1.20", 8443).is_bindable());
        assert!(!Address::new("192.0.2.1", 8443).is_bindable());
        assert!(!Address::new("lb.example.com", 8443).is_bindable());
        assert!(!Address::new("", 8443).is_bindable());
    }
}
