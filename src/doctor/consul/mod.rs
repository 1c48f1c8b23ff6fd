//! `sluice doctor consul`: whether Consul has what mesh gateways need, and knows this one.
//!
//! `facts` has everything that is asked, by questions that change nothing; the other files judge
//! it, purely: `agent` the agent itself, `federation` the datacenters, `rights` the token,
//! `gateway` the registration and what other datacenters learn of gateways, and `servers` how
//! Consul's servers use them. What Consul asks of
//! its operators is in its documentation ("Mesh gateways between datacenters: prerequisites").

mod agent;
mod facts;
mod federation;
mod gateway;
mod rights;
mod servers;
#[cfg(test)]
mod tests;
mod wire;

use super::{Check, Report, ask};
use crate::cli::doctor::ConsulArgs;
use crate::config::{self, ConfigError};
use crate::consul::agent::{AgentSettings, Client};
use crate::control::runtime;
use crate::error::StartError;
use facts::{Facts, Subject};

/// The checks that are made, each by the name that it has in the report.
const AGENT: &str = "agent";
const LOCAL: &str = "local agent";
const VERSION: &str = "version";
const CONNECT: &str = "connect";
const GRPC: &str = "grpc";
const CENTRAL: &str = "central config";
const NAMES: &str = "datacenter names";
const WAN: &str = "wan";
const PRIMARY: &str = "one primary";
const TOKEN: &str = "token";
const REGISTRATION: &str = "registration";
const STATES: &str = "federation states";
const SERVERS: &str = "servers";

/// Looks at Consul through the agent that the flags name.
///
/// # Errors
/// The flags are wrong, or Linux refuses a runtime.
pub(super) fn examine(args: &ConsulArgs) -> Result<Report, StartError> {
    let settings = config::consul::agent(&args.agent).map_err(ConfigError::from)?;
    let client = Client::new(&settings).map_err(ConfigError::from)?;
    let subject =
        Subject { service: args.gateway.service.clone(), id: args.gateway.id().to_owned() };
    let judged = runtime::block_on(false, examine_agent(&client, &settings, subject));
    let checks = judged.map_err(StartError::system("starting a runtime"))?;
    Ok(Report::new("consul", checks))
}

async fn examine_agent(client: &Client, settings: &AgentSettings, subject: Subject) -> Vec<Check> {
    // What nobody answers is not asked a dozen times over.
    let first: ask::Asked<String> = ask::get(client, "/v1/status/leader", &[]).await;
    if let Err(error) = &first
        && error.status().is_none()
    {
        return unanswered(agent::unreachable(error));
    }
    judge(&facts::gather(client, settings, subject).await)
}

fn unanswered(why: Check) -> Vec<Check> {
    let others = [LOCAL, VERSION, CONNECT, GRPC, CENTRAL, NAMES, WAN, PRIMARY, TOKEN];
    let others = others.into_iter().chain([REGISTRATION, STATES, SERVERS]);
    let others = others.map(|name| Check::not_applicable(name, "the agent cannot be asked"));
    std::iter::once(why).chain(others).collect()
}

/// Nothing can be said: the token is shown nothing.
fn hidden(name: &'static str) -> Check {
    Check::warn(name, "Consul shows this token nothing to look at", "see the check of the token")
}

fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![agent::reachable(facts), agent::local(&facts.place)];
    checks.extend(agent::version(facts));
    checks.extend(agent::connect(facts));
    checks.push(agent::grpc(facts));
    checks.push(agent::central_config(facts));
    checks.extend(federation::names(facts));
    checks.extend(federation::wan(facts));
    checks.extend(federation::primary(facts));
    checks.extend(rights::token(facts));
    checks.push(gateway::registration(facts));
    checks.extend(gateway::states(facts));
    checks.extend(servers::servers(facts));
    checks
}
