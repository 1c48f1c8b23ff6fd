//! Dials addresses side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{DOCTOR_DIALS_AT_ONCE, DOCTOR_DIALS_TIME};

/// What became of dialing an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A connection stood.
    Reached,
    /// Its host is there, and nobody listens at the port.
    Refused,
    /// Nothing came back in time.
    TimedOut,
    /// Somebody on the way, or this host, says that there is no way.
    Unreachable(String),
    /// This host could not dial.
    Failed(String),
    /// There was no time left for it.
    NotTried,
}

/// What is said of an address, behind it.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("answers"),
            Self::Refused => f.write_str("refuses: nobody listens there"),
            Self::TimedOut => f.write_str("does not answer in time"),
            Self::Unreachable(said) => write!(f, "cannot be reached: {said}"),
            Self::Failed(said) => write!(f, "could not be dialed: {said}"),
            Self::NotTried => f.write_str("was not tried"),
        }
    }
}

/// Dials each address, for no longer than `each` and [`DOCTOR_DIALS_TIME`] in all.
pub(crate) async fn all(
    addresses: BTreeSet<SocketAddr>,
    each: Duration,
) -> BTreeMap<SocketAddr, Outcome> {
    let deadline = Instant::now() + DOCTOR_DIALS_TIME;
    let free = Arc::new(Semaphore::new(DOCTOR_DIALS_AT_ONCE));
    let mut outcomes: BTreeMap<SocketAddr, Outcome> =
        addresses.iter().map(|address| (*address, Outcome::NotTried)).collect();
    let mut dialing = JoinSet::new();
    for address in addresses {
        let free = Arc::clone(&free);
        dialing.spawn(async move {
            // The semaphore is never closed.
            let _place = free.acquire().await;
            (address, dial(address, each).await)
        });
    }
    while let Ok(Some(dialed)) = timeout_at(deadline, dialing.join_next()).await {
        outcomes.extend(dialed.ok());
    }
    outcomes
}

async fn dial(address: SocketAddr, each: Duration) -> Outcome {
    match timeout(each, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Outcome::Reached,
        Ok(Err(error)) => explain(&error),
        Err(_) => Outcome::TimedOut,
    }
}

/// What connect(2) says of the other side, and what of this one.
fn explain(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Outcome::Refused,
        ErrorKind::TimedOut => Outcome::TimedOut,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        // A rule of this host's firewall that rejects.
        | ErrorKind::PermissionDenied => Outcome::Unreachable(error.to_string()),
        _ => Outcome::Failed(error.to_string()),
    }
}
