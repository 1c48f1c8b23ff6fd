//! Finds the addresses of the agent's host.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::oneshot;

/// The host of the agent has no address.
#[derive(Debug, thiserror::Error)]
#[error("{host} has no address: {source}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    pub(super) source: io::Error,
}

/// Resolves the host it was made for, whatever name it is asked for: the name in the URL is the
/// one that TLS is to see.
#[derive(Debug)]
pub(super) struct AgentHost(pub(super) String);

impl Resolve for AgentHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let unresolved = {
                let host = host.clone();
                move |source| Unresolved { host, source }
            };
            let found = lookup(host).await.map_err(unresolved)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// On a thread of its own, that is never waited for: getaddrinfo(3) can take as long as
/// resolv.conf(5) lets it, cannot be given up, and a runtime waits for its blocking tasks when
/// it ends.
async fn lookup(host: String) -> io::Result<Vec<SocketAddr>> {
    let (tell, told) = oneshot::channel();
    let look = move || {
        let addresses = (host.as_str(), 0).to_socket_addrs().map(Iterator::collect);
        let _ = tell.send(addresses);
    };
    std::thread::Builder::new().name("sluice-resolver".into()).spawn(look)?;
    told.await.map_err(io::Error::other)?
}
