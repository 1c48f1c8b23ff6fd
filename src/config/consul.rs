//! What the flags say of Consul.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, FlagError, template, time, wrong};
use crate::cli::{AgentArgs, ConsulArgs};
use crate::consul::agent::{AgentFlags, AgentSettings, SettingsError};
use crate::consul::register::{Address, Owned, Registration, Wanted};
use crate::route::Name;

/// Routes from Consul.
#[derive(Clone, Debug)]
pub struct ConsulPlan {
    /// How to reach the agent.
    pub agent: AgentSettings,
    /// Who this gateway is to Consul.
    pub registration: Registration,
    /// The domain of Consul's agents, where it was said.
    pub server_domain: Option<String>,
    /// Where the last good answers are kept.
    pub state_dir: Option<PathBuf>,
    /// Older ones are of no use; `None`: none is.
    pub state_age_max: Option<Duration>,
}

impl ConsulPlan {
    /// Reads the flags, and the variables of Consul's own commands. `binds`: what is accepted on,
    /// where that was said.
    ///
    /// # Errors
    /// The first flag or variable with a wrong value.
    pub(super) fn from_args(args: &ConsulArgs, binds: &[SocketAddr]) -> Result<Self, ConfigError> {
        let age_max = time("--state-max-age", &args.state_max_age)?;
        Ok(Self {
            agent: agent(&args.agent)?,
            registration: registration(args, binds)?,
            server_domain: args.server_domain.as_deref().map(server_domain).transpose()?,
            state_dir: args.state_dir.clone(),
            state_age_max: (!age_max.is_zero()).then_some(age_max),
        })
    }
}

/// Where the agent is and what it is shown, by flags and by the variables of Consul's own
/// commands.
///
/// # Errors
/// The first flag or variable with a wrong value.
pub fn agent(args: &AgentArgs) -> Result<AgentSettings, SettingsError> {
    let environment = |name: &str| std::env::var_os(name);
    AgentSettings::from_flags_and_environment(&flags(args), environment)
}

fn registration(
    args: &ConsulArgs,
    accepted_on: &[SocketAddr],
) -> Result<Registration, ConfigError> {
    if !args.register {
        let proxy_id = args.proxy_id.clone().ok_or(ConfigError::WhoAmI)?;
        return Ok(Registration::Foreign { proxy_id });
    }
    let deregister_after = &args.deregister_after_critical;
    let mut binds = binds(&args.bind_address)?;
    if binds.is_empty() {
        binds = named(accepted_on);
    }
    // Whoever is dialed at the address of its node is so at a port that it accepts on.
    let of_node = || match accepted_on.iter().find(|bind| bind.port() > 0) {
        Some(bind) => Address::new("", bind.port()),
        None => Address::of_node(),
    };
    let wanted = Wanted {
        service: args.service.clone(),
        id: args.proxy_id.clone().unwrap_or_else(|| args.service.clone()),
        lan: address("--address", args.address.as_deref())?.unwrap_or_else(of_node),
        wan: address("--wan-address", args.wan_address.as_deref())?,
        binds,
        expose_servers: args.expose_servers,
        deregister_after_critical: time("--deregister-after-critical", deregister_after)?,
    };
    Ok(Registration::Owned(Box::new(Owned::new(wanted)?)))
}

fn server_domain(text: &str) -> Result<String, FlagError> {
    let name = Name::parse(text);
    let name = name.map_err(|_| wrong("--server-domain", text, "a domain such as consul"))?;
    Ok(name.as_str().to_owned())
}

fn address(flag: &'static str, text: Option<&str>) -> Result<Option<Address>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    Ok(Some(Address::parse(&rendered(flag, text)?)?))
}

/// With what a template comes to on this host in its place.
fn rendered(flag: &'static str, text: &str) -> Result<String, ConfigError> {
    template::render_here(text).map_err(|why| {
        let template = text.to_owned();
        ConfigError::Template { flag, template, why }
    })
}

fn binds(texts: &[String]) -> Result<BTreeMap<String, SocketAddr>, ConfigError> {
    let flag = "--bind-address";
    let mut binds = BTreeMap::new();
    for text in texts {
        let wrong = |expected| wrong(flag, text, expected);
        let expected = "NAME=IP:PORT, such as default=10.0.0.1:8443";
        let read = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, bind) = read.ok_or_else(|| wrong(expected))?;
        let bind = rendered(flag, bind)?.parse().map_err(|_| wrong(expected))?;
        if binds.insert(name.to_owned(), bind).is_some() {
            return Err(wrong("each name once").into());
        }
    }
    Ok(binds)
}

/// Addresses of `--bind`, with names as Consul wants them. A port that Linux is to choose is not
/// known yet.
fn named(binds: &[SocketAddr]) -> BTreeMap<String, SocketAddr> {
    let name = |count: usize| if count == 1 { "default".into() } else { format!("bind-{count}") };
    let known = binds.iter().filter(|bind| bind.port() > 0);
    (1..).zip(known).map(|(count, bind)| (name(count), *bind)).collect()
}

fn flags(args: &AgentArgs) -> AgentFlags {
    let args = args.clone();
    AgentFlags {
        http_addr: args.http_addr,
        token: args.token,
        token_file: args.token_file,
        ca_file: args.ca_file,
        ca_path: args.ca_path,
        client_cert: args.client_cert,
        client_key: args.client_key,
        tls_server_name: args.tls_server_name,
        namespace: args.namespace,
        partition: args.partition,
    }
}
