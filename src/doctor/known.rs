//! The table as it is known: by a gateway that runs, or by Consul.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Instant;

use serde_json::Value;

use crate::cli::AgentArgs;
use crate::cli::doctor::GatewayArgs;
use crate::config::{self, ConfigError};
use crate::consul::agent::Client;
use crate::consul::register::{DnsDiscovery, definition, server_domain};
use crate::consul::snapshot::{RemoteOptions, Snapshot, TableOptions};
use crate::consul::watch::read_once;
use crate::control::resolver::{Host, resolve};
use crate::control::runtime;
use crate::error::StartError;
use crate::limits::{DOCTOR_HOSTS_TIME, DOCTOR_RESOLVERS};
use crate::listing::gateway::{AskError, ask};
use crate::route::Routes;

/// Where a gateway's admin server is unless its operator says otherwise.
const ADMIN: &str = "127.0.0.1:19000";

/// A table, and who has it.
#[derive(Debug)]
pub(crate) enum Known {
    /// What the gateway at this address answers for `/routes`.
    Gateway {
        /// The address of its admin server.
        admin: String,
        /// The answer.
        answer: Value,
    },
    /// What a gateway would make of what the agent at this address says.
    Agent {
        /// The agent.
        agent: String,
        /// The table.
        routes: Routes,
        /// The host names without an address, and why.
        unresolved: BTreeMap<Host, String>,
    },
}

/// Why there is no table.
#[derive(Debug)]
pub(crate) struct NoTable {
    /// What is wrong.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// Who has it, for a sentence.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway { admin, .. } => write!(f, "the gateway at {admin}"),
            Self::Agent { agent, .. } => write!(f, "the Consul agent at {agent}"),
        }
    }
}

impl Known {
    /// Reads the table of the gateway at `admin`, or of the one of this host; if none runs, or
    /// with `off`, what the agent says of the gateway of that id.
    ///
    /// # Errors
    /// A flag is wrong, or Linux refuses a runtime.
    pub(crate) fn read(
        admin: Option<&str>,
        gateway: &GatewayArgs,
        agent: &AgentArgs,
    ) -> Result<Result<Self, NoTable>, StartError> {
        let address = admin.unwrap_or(ADMIN);
        if address == "off" {
            return Self::of_agent(gateway, agent);
        }
        match ask(address, reqwest::Method::GET, "/routes", None) {
            Ok(answer) => Ok(Ok(Self::Gateway { admin: address.to_owned(), answer })),
            // Envoy's admin server is at the same place by default, and has no such page.
            Err(_) if admin.is_none() => Self::of_agent(gateway, agent),
            Err(AskError::Unwritten(error)) => Err(StartError::system("asking")(error)),
            Err(error) => {
                let remedy = "with --admin off, what the Consul agent knows is taken".to_owned();
                Ok(Err(NoTable { reason: error.to_string(), remedy }))
            }
        }
    }

    fn of_agent(
        gateway: &GatewayArgs,
        agent: &AgentArgs,
    ) -> Result<Result<Self, NoTable>, StartError> {
        let settings = config::consul::agent(agent).map_err(ConfigError::from)?;
        let client = Client::new(&settings).map_err(ConfigError::from)?;
        let read = runtime::block_on(false, read(&client, gateway.id()));
        let read = read.map_err(StartError::system("starting a runtime"))?;
        let (snapshot, options) = match read {
            Ok(read) => read,
            Err(reason) => {
                let remedy = "`sluice doctor consul` looks for the reason; --admin names a gateway \
                              to take the table from";
                return Ok(Err(NoTable { reason, remedy: remedy.to_owned() }));
            }
        };
        let known = snapshot.table(&options);
        let hosts = resolve_all(known.hosts())?;
        let routes = known.resolve(|name, port| {
            let found = hosts.get(&(name.to_owned(), port));
            found.and_then(|found| found.as_ref().ok()).cloned().unwrap_or_default()
        });
        let unresolved = hosts.into_iter().filter_map(|(host, found)| Some((host, found.err()?)));
        let (agent, unresolved) = (client.address().to_string(), unresolved.collect());
        Ok(Ok(Self::Agent { agent, routes, unresolved }))
    }
}

/// All that Consul knows, and what it says of the gateway itself.
async fn read(client: &Client, id: &str) -> Result<(Snapshot, TableOptions), String> {
    let bodies = read_once(client).await.map_err(|error| error.to_string())?;
    let mut snapshot = Snapshot::default();
    for (part, body) in bodies {
        snapshot.take(part, &body).map_err(|error| error.to_string())?;
    }
    // A gateway that is not registered serves no servers.
    let definition = definition(client, id).await.unwrap_or_default();
    let expose_servers = definition.exposes_servers();
    let one_address = definition.options.dns_discovery == Some(DnsDiscovery::OneAddress);
    let mut options = TableOptions {
        connect_timeout: definition.options.connect_timeout,
        remote: RemoteOptions { one_address, ..RemoteOptions::default() },
        expose_servers,
        ..TableOptions::default()
    };
    if expose_servers && let Ok(Some(domain)) = server_domain(client).await {
        options.server_domain = domain;
    }
    Ok((snapshot, options))
}

/// The addresses of hosts, or why there are none.
pub(crate) type Resolved = BTreeMap<Host, Result<Vec<SocketAddr>, String>>;

/// Resolves hosts side by side, for no longer than [`DOCTOR_HOSTS_TIME`].
///
/// # Errors
/// Linux refuses a thread.
pub(crate) fn resolve_all(hosts: BTreeSet<Host>) -> Result<Resolved, StartError> {
    let mut shares = vec![BTreeSet::new(); DOCTOR_RESOLVERS];
    let late = || Err("no answer in time".to_owned());
    let mut resolved: Resolved = hosts.iter().map(|host| (host.clone(), late())).collect();
    for (number, host) in hosts.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(number % DOCTOR_RESOLVERS) {
            share.insert(host);
        }
    }
    let (tell, answers) = channel();
    for share in shares.into_iter().filter(|share| !share.is_empty()) {
        let tell = tell.clone();
        resolve(share, move |answer| tell.send(answer).is_ok())
            .map_err(StartError::system("starting a thread"))?;
    }
    drop(tell);
    let deadline = Instant::now() + DOCTOR_HOSTS_TIME;
    while let Ok(answer) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        let found = answer.addresses.map_err(|error| error.to_string());
        resolved.insert(answer.host, found);
    }
    Ok(resolved)
}
