//! Opens what routes come from, before anything is bound: a routes file, or the ties to Consul.

use std::net::SocketAddr;
use std::sync::Arc;

use super::assembly::Ties;
use super::provenance::Origin;
use super::runtime;
use super::source::Source;
use super::source::consul::{ConsulSource, Kept};
use super::source::file::FileSource;
use crate::config::consul::ConsulPlan;
use crate::config::{Config, RoutesFrom, SessionLimits};
use crate::consul::agent::Client;
use crate::consul::register::{Definition, Registration, RegistrationStatus, definition_as_told};
use crate::consul::watch::Status;
use crate::error::StartError;
use crate::limits::DEFINITION_RETRY;

/// Where routes come from, opened.
pub(super) struct Opened {
    pub(super) source: Source,
    pub(super) origin: Origin,
    pub(super) ties: Option<Ties>,
    /// The addresses to accept on.
    pub(super) binds: Vec<SocketAddr>,
    /// The flag that says them, for those who have to choose others.
    pub(super) bind_flag: &'static str,
}

/// Opens what the configuration names.
///
/// # Errors
/// The routes file is wrong, or how to reach Consul.
pub(super) fn open(config: &Config) -> Result<Opened, StartError> {
    match &config.routes {
        RoutesFrom::File(path) => Ok(Opened {
            source: Source::File(FileSource::open(path.clone())?),
            origin: Origin::File(path.clone()),
            ties: None,
            binds: config.binds.clone(),
            bind_flag: "--bind",
        }),
        RoutesFrom::Consul(plan) => open_consul(plan, &config.binds, &config.sessions),
    }
}

fn open_consul(
    plan: &ConsulPlan,
    binds: &[SocketAddr],
    sessions: &SessionLimits,
) -> Result<Opened, StartError> {
    let client = Client::new(&plan.agent).map_err(|error| StartError::Config(error.into()))?;
    let mut kept = Kept::read(plan);
    let (binds, bind_flag) = match (&plan.registration, binds) {
        (_, [_, ..]) => (binds.to_vec(), "--bind"),
        (Registration::Owned(owned), []) => {
            (addresses_of(&owned.definition()), "--address or --bind-address")
        }
        (Registration::Foreign { proxy_id }, []) => (
            addresses_of(&definition(plan, proxy_id, &mut kept)?),
            "--bind, or in the registration",
        ),
    };
    if binds.is_empty() {
        return Err(StartError::NothingToBind { id: plan.registration.id().to_owned() });
    }
    let status = Arc::new(Status::new(client.address().to_string()));
    let registered = Arc::new(RegistrationStatus::default());
    let origin =
        Origin::Consul { status: Arc::clone(&status), registered: Arc::clone(&registered) };
    let source =
        Source::Consul(Box::new(ConsulSource::new(plan, sessions, kept, Arc::clone(&status))));
    let registration = plan.registration.clone();
    let asks_domain = plan.server_domain.is_none();
    let ties = Some(Ties { client, registration, asks_domain, status, registered });
    Ok(Opened { source, origin, ties, binds, bind_flag })
}

/// What the agent says of a registration that others made. While it cannot be asked, what was
/// kept serves; without that, there is nothing to accept on, and it is waited for.
fn definition(
    plan: &ConsulPlan,
    proxy_id: &str,
    kept: &mut Kept,
) -> Result<Definition, StartError> {
    let mut told = false;
    loop {
        // A client of its own: connections belong to the runtime that made them.
        let client = Client::new(&plan.agent).map_err(|error| StartError::Config(error.into()))?;
        let asked = runtime::block_on(false, definition_as_told(&client, proxy_id));
        let error = match asked.map_err(StartError::system("starting a runtime"))? {
            Ok((definition, body)) => {
                kept.definition = Some(body);
                return Ok(definition);
            }
            Err(error) => error,
        };
        let of_disk = kept.definition.as_deref().map(Definition::parse);
        if let Some(Ok(definition)) = of_disk {
            tracing::warn!("{error}; accepting on the addresses that were kept on disk");
            return Ok(definition);
        }
        if !told {
            tracing::warn!("{error}; waiting for it, because it says what to accept on");
            told = true;
        }
        std::thread::sleep(DEFINITION_RETRY);
    }
}

/// The addresses to accept on; those that are none are told.
fn addresses_of(definition: &Definition) -> Vec<SocketAddr> {
    for (name, address) in definition.not_bindable() {
        tracing::warn!(name, "{address} is no address of a host's, and not accepted on");
    }
    definition.binds()
}
