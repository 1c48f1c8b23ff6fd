//! A registration of our own: what the agent is told of this gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::address::Address;
use super::definition::{Definition, FEDERATION_META, MESH_GATEWAY};
use super::options::Options;
use crate::limits::{BEAT_TTL, DEREGISTER_AFTER_CRITICAL, LISTENING_CHECK_INTERVAL};

/// What an operator says of a gateway that we register (the flags of
/// `consul connect envoy -gateway=mesh -register`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the service.
    pub service: String,
    /// The id of the service; that of `consul connect envoy` is the name.
    pub id: String,
    /// What sidecars of this datacenter dial. Without a host: the address of the node.
    pub lan: Address,
    /// What gateways of other datacenters dial, if that is another address.
    pub wan: Option<Address>,
    /// Addresses to accept on, by name, in place of those that follow from the others.
    pub binds: BTreeMap<String, SocketAddr>,
    /// Whether servers are reached through this gateway.
    pub expose_servers: bool,
    /// Consul removes the registration when it was critical for this long.
    pub deregister_after_critical: Duration,
}

impl Wanted {
    /// A gateway of a service, at the address of its node, as `consul connect envoy
    /// -gateway=mesh -register` has it when nothing else is said.
    #[must_use]
    pub fn of_service(service: impl Into<String>) -> Self {
        let service = service.into();
        Self {
            id: service.clone(),
            service,
            lan: Address::of_node(),
            wan: None,
            binds: BTreeMap::new(),
            expose_servers: false,
            deregister_after_critical: DEREGISTER_AFTER_CRITICAL,
        }
    }
}

/// What an operator says cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// Nobody can dial it.
    #[error(
        "{flag} {address}: the other side cannot dial an address that stands for all of this \
         host's; name one, or leave it out ({flag} :{}) for the node's", address.port
    )]
    Unspecified {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: Address,
    },
    /// This host does not have it.
    #[error(
        "--address {0} cannot be bound on this host: name an address that `ip address` shows, or \
         say with --bind-address NAME=IP:PORT what to accept on instead"
    )]
    NotBindable(Address),
}

/// Which addresses follow for the listener (consul.io: `connect envoy -register`).
#[derive(Clone, Debug, PartialEq, Eq)]
enum BindRule {
    /// The LAN address.
    Default,
    /// Both addresses, since this host has both.
    Tagged,
    /// Those that were named.
    Named(BTreeMap<String, SocketAddr>),
}

/// A registration of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    wanted: Wanted,
    rule: BindRule,
    lan_is_bindable: bool,
}

impl Owned {
    /// Works out what to bind, as `consul connect envoy -register` does.
    ///
    /// # Errors
    /// An address that cannot be dialed, or not be bound.
    pub fn new(wanted: Wanted) -> Result<Self, WantedError> {
        Self::with(wanted, Address::is_bindable)
    }

    pub(super) fn with(
        wanted: Wanted,
        is_bindable: impl Fn(&Address) -> bool,
    ) -> Result<Self, WantedError> {
        let wan = wanted.wan.iter().map(|wan| ("--wan-address", wan));
        for (flag, address) in [("--address", &wanted.lan)].into_iter().chain(wan) {
            if address.is_unspecified() {
                return Err(WantedError::Unspecified { flag, address: address.clone() });
            }
        }
        let lan_is_bindable = is_bindable(&wanted.lan);
        let rule = if !wanted.binds.is_empty() {
            BindRule::Named(wanted.binds.clone())
        } else if lan_is_bindable && wanted.wan.as_ref().is_some_and(is_bindable) {
            BindRule::Tagged
        } else if lan_is_bindable || wanted.lan.host.is_empty() {
            BindRule::Default
        } else {
            return Err(WantedError::NotBindable(wanted.lan));
        };
        Ok(Self { wanted, rule, lan_is_bindable })
    }

    /// The id of the service.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.wanted.id
    }

    /// The name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.wanted.service
    }

    /// What Consul will say of it, but for what proxy-defaults add.
    #[must_use]
    pub fn definition(&self) -> Definition {
        let wanted = &self.wanted;
        let named = |binds: &BTreeMap<String, SocketAddr>| {
            let address = |bind: &SocketAddr| Address::new(bind.ip().to_string(), bind.port());
            binds.iter().map(|(name, bind)| (name.clone(), address(bind))).collect()
        };
        let mut options = Options::default();
        match &self.rule {
            BindRule::Default => {}
            BindRule::Tagged => {
                options.no_default_bind = true;
                options.bind_tagged_addresses = true;
            }
            BindRule::Named(binds) => {
                options.no_default_bind = true;
                options.bind_addresses = named(binds);
            }
        }
        Definition {
            id: wanted.id.clone(),
            service: wanted.service.clone(),
            kind: MESH_GATEWAY.to_owned(),
            address: wanted.lan.clone(),
            tagged_addresses: self.tagged_addresses(),
            meta: self.meta(),
            options,
        }
    }

    /// The body for `/v1/agent/service/register`. Consul refuses fields that it does not know:
    /// these are known since 1.6. The checks begin as `status` says; an agent that has them
    /// already keeps their state.
    pub(super) fn body(&self, status: &str) -> Value {
        let wanted = &self.wanted;
        let tagged: Map<String, Value> =
            self.tagged_addresses().iter().map(|(tag, at)| (tag.clone(), at.to_json())).collect();
        let critical_for = format!("{}s", wanted.deregister_after_critical.as_secs().max(1));
        json!({
            "Kind": MESH_GATEWAY,
            "ID": wanted.id,
            "Name": wanted.service,
            "Address": wanted.lan.host,
            "Port": wanted.lan.port,
            "TaggedAddresses": tagged,
            "Meta": self.meta(),
            "Proxy": { "Config": self.config() },
            "Checks": [
                {
                    "CheckID": beat_id(&wanted.id),
                    "Name": "Sluice ready",
                    "TTL": format!("{}s", BEAT_TTL.as_secs()),
                    "Status": status,
                    "DeregisterCriticalServiceAfter": critical_for,
                },
                {
                    "CheckID": listening_id(&wanted.id),
                    "Name": format!("{MESH_GATEWAY} listening"),
                    "TCP": self.probe().to_string(),
                    "Interval": format!("{}s", LISTENING_CHECK_INTERVAL.as_secs()),
                    // The beat tells whether it listens; this one finds out later that the
                    // agent cannot reach it, and must not hold the first sessions up.
                    "Status": "passing",
                    "DeregisterCriticalServiceAfter": critical_for,
                },
            ],
        })
    }

    fn tagged_addresses(&self) -> BTreeMap<String, Address> {
        let lan = Some(&self.wanted.lan).filter(|lan| !lan.host.is_empty());
        let wan = self.wanted.wan.as_ref().filter(|wan| !wan.host.is_empty());
        let tagged = [("lan", lan), ("wan", wan)];
        tagged.into_iter().filter_map(|(tag, at)| Some((tag.to_owned(), at?.clone()))).collect()
    }

    fn meta(&self) -> BTreeMap<String, String> {
        let federation = (FEDERATION_META.to_owned(), "1".to_owned());
        self.wanted.expose_servers.then_some(federation).into_iter().collect()
    }

    fn config(&self) -> Value {
        match &self.rule {
            BindRule::Default => json!({}),
            BindRule::Tagged => json!({
                "envoy_gateway_no_default_bind": true,
                "envoy_gateway_bind_tagged_addresses": true,
            }),
            BindRule::Named(binds) => {
                let address =
                    |bind: &SocketAddr| Address::new(bind.ip().to_string(), bind.port()).to_json();
                let binds: Map<String, Value> =
                    binds.iter().map(|(name, bind)| (name.clone(), address(bind))).collect();
                json!({
                    "envoy_gateway_no_default_bind": true,
                    "envoy_gateway_bind_addresses": binds,
                })
            }
        }
    }

    /// Where the agent, on the same host, sees whether we listen: the LAN address where this
    /// host has it; a load balancer's would tell of other gateways, or not lead back here.
    fn probe(&self) -> SocketAddr {
        let binds = self.definition().binds();
        let lan = self.wanted.lan.ip().filter(|_| self.lan_is_bindable);
        let lan = lan.map(|ip| SocketAddr::new(ip, self.wanted.lan.port));
        let covers = |bind: &SocketAddr, at: SocketAddr| {
            bind.port() == at.port() && (bind.ip() == at.ip() || bind.ip().is_unspecified())
        };
        if let Some(lan) = lan.filter(|&lan| binds.iter().any(|bind| covers(bind, lan))) {
            return lan;
        }
        let port = self.wanted.lan.port;
        let mut probe = binds.first().copied().unwrap_or_else(|| ([0, 0, 0, 0], port).into());
        if probe.ip().is_unspecified() {
            probe.set_ip(match probe {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        probe
    }
}

/// The check that is beaten: one for each service, ours or others'.
pub(super) fn beat_id(service_id: &str) -> String {
    format!("sluice:{service_id}")
}

fn listening_id(service_id: &str) -> String {
    format!("sluice:{service_id}:listening")
}
