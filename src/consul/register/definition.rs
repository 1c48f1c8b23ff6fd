//! What an agent says of a gateway: its addresses, and where it accepts. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::address::Address;
use super::options::Options;

/// The kind of service that we are.
pub(super) const MESH_GATEWAY: &str = "mesh-gateway";

/// The service meta that tells Consul's servers to federate through this gateway.
pub(crate) const FEDERATION_META: &str = "consul-wan-federation";

/// What is defined of a gateway, by us or by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The id of the service.
    pub id: String,
    /// The name of the service.
    pub service: String,
    /// Its kind; empty for an ordinary service.
    pub kind: String,
    /// Its address. Without a host: the node's.
    pub address: Address,
    /// What Consul calls tagged addresses: `lan`, `wan`, and those that it adds itself.
    pub tagged_addresses: BTreeMap<String, Address>,
    /// Its service meta.
    pub meta: BTreeMap<String, String>,
    /// Its `Proxy.Config`, as far as it concerns us.
    pub options: Options,
}

/// The answer of `/v1/agent/service/ID`, as far as it is needed. Fields may be null.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    kind: Option<String>,
    #[serde(rename = "ID")]
    id: String,
    service: String,
    address: Option<String>,
    port: Option<u16>,
    tagged_addresses: Option<BTreeMap<String, Address>>,
    meta: Option<BTreeMap<String, String>>,
    proxy: Option<WireProxy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireProxy {
    config: Option<Map<String, Value>>,
}

impl Definition {
    /// Reads the answer of `/v1/agent/service/ID`.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let wire: Wire = serde_json::from_slice(body)?;
        let config = wire.proxy.and_then(|proxy| proxy.config).unwrap_or_default();
        Ok(Self {
            id: wire.id,
            service: wire.service,
            kind: wire.kind.unwrap_or_default(),
            address: Address::new(wire.address.unwrap_or_default(), wire.port.unwrap_or_default()),
            tagged_addresses: wire.tagged_addresses.unwrap_or_default(),
            meta: wire.meta.unwrap_or_default(),
            options: Options::read(&config),
        })
    }

    /// Whether it is a mesh gateway.
    #[must_use]
    pub fn is_mesh_gateway(&self) -> bool {
        self.kind == MESH_GATEWAY
    }

    /// Whether it is dialed where another one is: then it is that of the same gateway.
    #[must_use]
    pub fn is_where(&self, other: &Self) -> bool {
        let tagged = |of: &Self, tag| of.tagged_addresses.get(tag).cloned();
        let is_alike = |tag| tagged(self, tag) == tagged(other, tag);
        self.address == other.address && is_alike("lan") && is_alike("wan")
    }

    /// Whether Consul's servers are to be reached through it, those of all datacenters.
    #[must_use]
    pub fn exposes_servers(&self) -> bool {
        self.meta.get(FEDERATION_META).is_some_and(|value| value == "1")
    }

    /// The addresses to accept on, each once: as Consul has Envoy's listeners.
    #[must_use]
    pub fn binds(&self) -> Vec<SocketAddr> {
        let mut binds = Vec::new();
        for (_, address) in self.bind_candidates() {
            if let Some(bind) = bindable(&address)
                && !binds.contains(&bind)
            {
                binds.push(bind);
            }
        }
        binds
    }

    /// Those addresses to accept on that are none, such as host names, each with the name it is
    /// defined under; for people.
    #[must_use]
    pub fn not_bindable(&self) -> Vec<(String, Address)> {
        self.bind_candidates().filter(|(_, address)| bindable(address).is_none()).collect()
    }

    fn bind_candidates(&self) -> impl Iterator<Item = (String, Address)> {
        let options = &self.options;
        let own = ("default".to_owned(), self.address.clone());
        let own = (!options.no_default_bind).then_some(own);
        let tagged = options.bind_tagged_addresses.then_some(&self.tagged_addresses);
        let named = tagged.into_iter().chain([&options.bind_addresses]).flatten();
        own.into_iter().chain(named.map(|(name, address)| (name.clone(), address.clone())))
    }
}

/// Where to listen for an address, whose host may be missing: then everywhere.
fn bindable(address: &Address) -> Option<SocketAddr> {
    let ip = match address.host.as_str() {
        "" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        _ => address.ip(),
    };
    ip.filter(|_| address.port > 0).map(|ip| SocketAddr::new(ip, address.port))
}
