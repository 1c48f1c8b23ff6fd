//! The listeners of all workers: those that a service manager has passed on, and our own.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::plan::Placement;
use crate::config::Config;
use crate::error::StartError;
use crate::sys::inherited::Inherited;
use crate::sys::listener;

/// The listeners of each worker, and the addresses.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) of_workers: Vec<Vec<OwnedFd>>,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Opens listeners on `binds`, but for those addresses of which `passed` has them.
///
/// # Errors
/// An address cannot be had, or what was passed does not go with addresses and workers.
pub(super) fn open(
    config: &Config,
    binds: &[SocketAddr],
    bind_flag: &'static str,
    placement: &Placement,
    mut passed: Vec<Inherited>,
) -> Result<Listening, StartError> {
    let worker_count = placement.worker_count();
    fit(&passed, binds, worker_count)?;
    // All of them first: our own listeners could not be told from another's later.
    for bind in binds.iter().filter(|&&bind| passed.iter().all(|p| p.address != bind)) {
        listener::prove_free(*bind, bind_flag)?;
    }
    let mut of_workers: Vec<Vec<OwnedFd>> = (0..worker_count).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for bind in binds {
        let of_bind: Vec<_> = passed.extract_if(.., |p| p.address == *bind).collect();
        let (group, address) = if of_bind.is_empty() {
            listener::open_group(*bind, worker_count, config.sessions.keepalive)?
        } else {
            (listener::adopt_group(of_bind, config.sessions.keepalive)?, *bind)
        };
        if config.workers.steer_by_cpu
            && let (Some(cpus), Some(first)) = (placement.pinned(), group.first())
        {
            listener::steer_by_cpu(first, &cpus)
                .map_err(StartError::system("SO_ATTACH_REUSEPORT_CBPF"))?;
        }
        for (listeners, listener) in of_workers.iter_mut().zip(group) {
            listeners.push(listener);
        }
        addresses.push(address);
    }
    Ok(Listening { of_workers, addresses })
}

/// Whether each passed listener is one that a worker is to serve: connections to any other would
/// wait for ever.
fn fit(passed: &[Inherited], binds: &[SocketAddr], worker_count: u16) -> Result<(), StartError> {
    for Inherited { address, .. } in passed {
        if !binds.contains(address) {
            return Err(StartError::PassedUnasked { address: *address });
        }
        let count = passed.iter().filter(|other| other.address == *address).count();
        if count != usize::from(worker_count) {
            return Err(StartError::PassedOtherCount { address: *address, count, worker_count });
        }
    }
    Ok(())
}
