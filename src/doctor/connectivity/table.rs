//! What there is to dial: as a gateway that runs has it, or as Consul does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Instant;

use serde_json::Value;

use crate::cli::doctor::ConnectivityArgs;
use crate::config::{self, ConfigError};
use crate::consul::agent::Client;
use crate::consul::register::{definition, server_domain};
use crate::consul::snapshot::{Snapshot, TableOptions};
use crate::consul::watch::read_once;
use crate::control::resolver::{Host, resolve};
use crate::control::runtime;
use crate::error::StartError;
use crate::limits::{DOCTOR_HOSTS_TIME, DOCTOR_RESOLVERS};
use crate::listing::gateway::{AskError, ask};
use crate::route::{Pattern, Routes, Target};

/// Where a gateway's admin server is unless its operator says otherwise.
const ADMIN: &str = "127.0.0.1:19000";

/// What there is to dial.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Who has it, for a sentence.
    pub(super) from: String,
    pub(super) route_count: usize,
    pub(super) places: BTreeMap<SocketAddr, Place>,
    /// The routes that lead to a cluster without an endpoint.
    pub(super) empty: Vec<String>,
    /// The host names without an address, and why. A gateway does not say.
    pub(super) unresolved: BTreeMap<Host, String>,
}

/// An address, and what it is dialed for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The routes that lead there.
    pub(super) routes: BTreeSet<String>,
    /// Whether it is a gateway of another datacenter: those have all names that end so.
    pub(super) is_gateway: bool,
    /// Whether Consul says that it works, of one route at least.
    pub(super) is_healthy: bool,
}

/// Why there is no table.
#[derive(Debug)]
pub(super) struct NoTable {
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl Table {
    /// Reads the table of the gateway that the flags name, or of the one of this host; if none
    /// runs, of the Consul agent.
    ///
    /// # Errors
    /// A flag is wrong, or Linux refuses a runtime.
    pub(super) fn read(args: &ConnectivityArgs) -> Result<Result<Self, NoTable>, StartError> {
        let admin = args.admin.as_deref().unwrap_or(ADMIN);
        if admin == "off" {
            return Self::of_agent(args);
        }
        match ask(admin, reqwest::Method::GET, "/routes", None) {
            Ok(answer) => Ok(Ok(Self::of_gateway(admin, &answer))),
            Err(AskError::NoAnswer { .. }) if args.admin.is_none() => Self::of_agent(args),
            Err(error) => {
                let remedy = "with --admin off, what the Consul agent knows is dialed".to_owned();
                Ok(Err(NoTable { reason: error.to_string(), remedy }))
            }
        }
    }

    /// Reads what a gateway answers for `/routes`.
    pub(super) fn of_gateway(admin: &str, answer: &Value) -> Self {
        let mut table = Self { from: format!("the gateway at {admin}"), ..Self::default() };
        let list = |of: &Value, name: &str| {
            of.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        for route in list(answer, "routes") {
            let Some(pattern) = route.get("route").and_then(Value::as_str) else { continue };
            if route.get("refused").is_some() {
                continue;
            }
            let endpoints = list(&route, "endpoints").into_iter().filter_map(|endpoint| {
                let address = endpoint.get("address")?.as_str()?.parse().ok()?;
                Some((address, endpoint.get("healthy") != Some(&Value::Bool(false))))
            });
            table.add(pattern, pattern.starts_with("*."), endpoints);
        }
        table.classify();
        table
    }

    fn of_agent(args: &ConnectivityArgs) -> Result<Result<Self, NoTable>, StartError> {
        let settings = config::consul::agent(&args.agent).map_err(ConfigError::from)?;
        let client = Client::new(&settings).map_err(ConfigError::from)?;
        let read = runtime::block_on(false, read(&client, args.gateway.id()));
        let read = read.map_err(StartError::system("starting a runtime"))?;
        let (snapshot, options) = match read {
            Ok(read) => read,
            Err(reason) => {
                let remedy =
                    "`sluice doctor consul` looks for the reason; --admin names a gateway \
                              to take the table from"
                        .to_owned();
                return Ok(Err(NoTable { reason, remedy }));
            }
        };
        let known = snapshot.table(&options);
        let hosts = resolve_all(known.hosts()).map_err(StartError::system("starting a thread"))?;
        let routes = known.resolve(|name, port| {
            let found = hosts.get(&(name.to_owned(), port));
            found.and_then(|found| found.as_ref().ok()).cloned().unwrap_or_default()
        });
        let mut table = Self::of_routes(&routes);
        table.from = format!("the Consul agent at {}", client.address());
        let unresolved = hosts.into_iter().filter_map(|(host, found)| Some((host, found.err()?)));
        table.unresolved = unresolved.collect();
        Ok(Ok(table))
    }

    fn of_routes(routes: &Routes) -> Self {
        let mut table = Self::default();
        for route in &routes.routes {
            let Target::Cluster(index) = route.target else { continue };
            let cluster = routes.clusters.get(index);
            let endpoints = cluster.into_iter().flat_map(|cluster| &cluster.endpoints);
            let endpoints = endpoints.map(|endpoint| (endpoint.address, endpoint.healthy));
            let is_suffix = matches!(route.pattern, Pattern::Suffix(_));
            table.add(&route.pattern.to_string(), is_suffix, endpoints);
        }
        table.classify();
        table
    }

    fn add(
        &mut self,
        route: &str,
        is_suffix: bool,
        endpoints: impl Iterator<Item = (SocketAddr, bool)>,
    ) {
        self.route_count = self.route_count.saturating_add(1);
        let mut is_empty = true;
        for (address, is_healthy) in endpoints {
            is_empty = false;
            let place = self.places.entry(address).or_default();
            place.routes.insert(route.to_owned());
            place.is_gateway |= is_suffix;
            place.is_healthy |= is_healthy;
        }
        if is_empty {
            self.empty.push(route.to_owned());
        }
    }

    /// The gateways of a datacenter have a name of their own beside the suffix, which says no
    /// more.
    fn classify(&mut self) {
        for place in self.places.values_mut().filter(|place| place.is_gateway) {
            let suffixes: BTreeSet<String> = place
                .routes
                .iter()
                .filter_map(|it| Some(it.strip_prefix("*.")?.to_owned()))
                .collect();
            place.routes.retain(|route| !suffixes.contains(route));
        }
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
    let found = definition(client, id).await;
    let expose_servers = found.is_ok_and(|found| found.exposes_servers());
    let mut options = TableOptions { expose_servers, ..TableOptions::default() };
    if options.expose_servers
        && let Ok(Some(domain)) = server_domain(client).await
    {
        options.server_domain = domain;
    }
    Ok((snapshot, options))
}

type Resolved = BTreeMap<Host, Result<Vec<SocketAddr>, String>>;

/// Resolves hosts side by side, for no longer than [`DOCTOR_HOSTS_TIME`].
fn resolve_all(hosts: BTreeSet<Host>) -> std::io::Result<Resolved> {
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
        resolve(share, move |answer| tell.send(answer).is_ok())?;
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
