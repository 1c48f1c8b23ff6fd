//! `sluice path`: the way that a connection of a sidecar takes to a service, and who decided so.
//!
//! `mode` says which of the places where a mesh gateway mode can be set wins; `chain` is what
//! Consul makes of the upstream; `hops` is who is dialed for it, and whether they answer. Nothing
//! is changed.

mod chain;
mod hops;
mod mode;

use std::time::Duration;

use serde::Deserialize;

use crate::cli::path::PathArgs;
use crate::config::{self, ConfigError};
use crate::consul::agent::{AgentError, Client, segment};
use crate::consul::model::{CheckServiceNode, Kind, MeshGateway, Service, Upstream};
use crate::control::runtime;
use crate::doctor::ask::{Asked, get};
use crate::doctor::{Check, Report};
use crate::error::StartError;
use chain::Target;
use mode::Said;

/// What is said of a way, each by the name that it has in the report.
const SIDECAR: &str = "sidecar";
const UPSTREAM: &str = "upstream";
const MODE: &str = "mode";
const NAME: &str = "server name";

/// Follows the way from a sidecar to an upstream.
///
/// # Errors
/// The command line is wrong, or Linux refuses a runtime. Whatever is in the way is in the
/// report.
pub fn trace(args: &PathArgs) -> Result<Report, StartError> {
    let timeout = config::time_not_zero("--timeout", &args.timeout)?;
    let settings = config::consul::agent(&args.agent).map_err(ConfigError::from)?;
    let client = Client::new(&settings).map_err(ConfigError::from)?;
    let followed = runtime::block_on(false, follow(&client, args, timeout));
    let checks = followed.map_err(StartError::system("starting a runtime"))?;
    Ok(Report::new("path", checks.unwrap_or_else(|check| vec![check])))
}

/// What is asked for.
struct Wanted {
    service: String,
    /// `None`: the own one.
    datacenter: Option<String>,
}

async fn follow(client: &Client, args: &PathArgs, timeout: Duration) -> Result<Vec<Check>, Check> {
    let sidecar = sidecar(client, &args.from).await?;
    let servers: Vec<CheckServiceNode> =
        get(client, "/v1/health/service/consul", &[]).await.map_err(|e| unasked(SIDECAR, &e))?;
    let own = servers.iter().map(|it| it.node.datacenter.clone()).find(|name| !name.is_empty());
    let Some(own) = own else {
        let remedy = "`sluice doctor consul` says which right the token lacks";
        return Err(Check::fail(SIDECAR, "Consul shows no server to this token", remedy));
    };
    let datacenters: Vec<String> =
        get(client, "/v1/catalog/datacenters", &[]).await.map_err(|e| unasked(UPSTREAM, &e))?;
    let (wanted, defined) = wanted(&args.upstream, &sidecar, &datacenters);
    let to = wanted.datacenter.clone().unwrap_or_else(|| own.clone());
    let mut checks = vec![
        Check::pass(
            SIDECAR,
            format!(
                "{:?} is the sidecar of {:?} in {own:?}",
                args.from, sidecar.proxy.destination_service_name
            ),
        ),
        of_upstream(&wanted, defined, &to),
    ];
    let said = said(client, &sidecar, defined, &wanted.service).await;
    let targets = chain::targets(client, &wanted.service, &to, said.overriding())
        .await
        .map_err(|error| unasked(MODE, &error))?;
    for target in &targets {
        checks.push(of_mode(&said, target, &own));
        checks.push(Check::pass(NAME, target.sni.clone()));
        checks.extend(hops::all(client, target, &own, timeout).await);
    }
    Ok(checks)
}

async fn sidecar(client: &Client, id: &str) -> Result<Service, Check> {
    let path = format!("/v1/agent/service/{}", segment(id));
    let sidecar: Service = get(client, &path, &[]).await.map_err(|error| {
        if error.status() != Some(404) {
            return unasked(SIDECAR, &error);
        }
        let found = format!("the agent at {} has no service with the id {id:?}", client.address());
        let remedy = "ask the agent that it is registered with (--http-addr), where \
                      `consul catalog services` and `curl $CONSUL_HTTP_ADDR/v1/agent/services` \
                      list the ids";
        Check::fail(SIDECAR, found, remedy)
    })?;
    if sidecar.kind == Kind::ConnectProxy {
        return Ok(sidecar);
    }
    let found = format!("the service with the id {id:?} is no sidecar (connect-proxy)");
    Err(Check::fail(SIDECAR, found, format!("try --from {id}-sidecar-proxy")))
}

/// What a text means: a service with the name of a datacenter, one that is known or one of the
/// sidecar's upstreams, behind its last dot; else a service.
fn wanted<'a>(
    text: &str,
    sidecar: &'a Service,
    datacenters: &[String],
) -> (Wanted, Option<&'a Upstream>) {
    let of_upstreams = sidecar.proxy.upstreams.iter().map(|upstream| &upstream.datacenter);
    let mut known = datacenters.iter().chain(of_upstreams);
    let split = text.rsplit_once('.').filter(|(_, last)| known.any(|it| it == last));
    let (service, datacenter) = match split {
        Some((service, datacenter)) => (service, Some(datacenter)),
        None => (text, None),
    };
    let is_it = |upstream: &&Upstream| {
        upstream.destination_type != "prepared_query"
            && upstream.destination_name == service
            && datacenter.is_none_or(|datacenter| upstream.datacenter == datacenter)
    };
    let defined = sidecar.proxy.upstreams.iter().find(is_it);
    let of_definition = defined.map(|it| it.datacenter.as_str()).filter(|name| !name.is_empty());
    let datacenter = datacenter.or(of_definition).map(str::to_owned);
    (Wanted { service: service.to_owned(), datacenter }, defined)
}

fn of_upstream(wanted: &Wanted, defined: Option<&Upstream>, to: &str) -> Check {
    let service = &wanted.service;
    match defined {
        Some(upstream) => {
            let at = format!("{}:{}", upstream.local_bind_address, upstream.local_bind_port);
            let at = if at.starts_with(':') { format!("127.0.0.1{at}") } else { at };
            Check::pass(UPSTREAM, format!("{service:?} in {to:?}, which it listens for at {at}"))
        }
        None => Check::warn(
            UPSTREAM,
            format!("the sidecar has no upstream {service:?} in {to:?}: this is as if it had"),
            "add it to Proxy.Upstreams of its registration, with DestinationName and Datacenter",
        ),
    }
}

fn of_mode(said: &Said, target: &Target, own: &str) -> Check {
    if target.datacenter == own {
        let found = format!("direct: {:?} is in its own datacenter", target.service);
        return Check::pass(MODE, found);
    }
    let (_, place) = said.winner();
    // What Consul makes of it, also where the target is a service without a sidecar.
    let mode = Some(target.mesh_gateway.mode.as_str()).filter(|mode| !mode.is_empty());
    Check::pass(MODE, format!("{}, set by {place}", mode.unwrap_or("none")))
}

/// Everything that is said of the mode, wherever it can be.
async fn said(
    client: &Client,
    sidecar: &Service,
    defined: Option<&Upstream>,
    upstream: &str,
) -> Said {
    let own_service = sidecar.proxy.destination_service_name.clone();
    Said {
        upstream: defined.map(|it| it.mesh_gateway.mode.clone()).unwrap_or_default(),
        instance: sidecar.proxy.mesh_gateway.mode.clone(),
        own_defaults: entry(client, "service-defaults", &own_service).await,
        upstream_defaults: entry(client, "service-defaults", upstream).await,
        proxy_defaults: entry(client, "proxy-defaults", "global").await,
        own_service,
        upstream_service: upstream.to_owned(),
    }
}

/// The mode that a configuration entry says; empty if it says none, or is not there.
async fn entry(client: &Client, kind: &str, name: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Entry {
        mesh_gateway: MeshGateway,
    }
    let path = format!("/v1/config/{kind}/{}", segment(name));
    let entry: Asked<Entry> = get(client, &path, &[]).await;
    entry.unwrap_or_default().mesh_gateway.mode
}

fn unasked(name: &'static str, error: &AgentError) -> Check {
    Check::fail(name, error.to_string(), "`sluice doctor consul` looks for the reason")
}
