//! Resolves the host names of endpoints.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// A host and a port to connect to.
pub(crate) type Host = (String, u16);

/// What a host resolved to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) host: Host,
    pub(crate) addresses: io::Result<Vec<SocketAddr>>,
}

/// Resolves every host, one after the other, on a thread of its own, and tells each answer as
/// it comes; dropping `tell` is the end of the round. The thread is never waited for:
/// getaddrinfo(3) can take as long as resolv.conf(5) lets it, and cannot be given up.
///
/// # Errors
/// No thread could be started.
pub(crate) fn resolve(
    hosts: BTreeSet<Host>,
    tell: impl Fn(Answer) -> bool + Send + 'static,
) -> io::Result<()> {
    let round = move || {
        for host in hosts {
            let addresses = lookup(&host);
            if !tell(Answer { host, addresses }) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("sluice-resolver".into()).spawn(round)?;
    Ok(())
}

/// Sorted: resolvers rotate their answers, and a mere rotation is no change.
fn lookup((name, port): &Host) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<_> = (name.as_str(), *port).to_socket_addrs()?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_for_every_host_and_then_the_end() {
        let (tell, answers) = std::sync::mpsc::channel();
        let hosts = BTreeSet::from([("127.0.0.1".to_owned(), 1), ("localhost".to_owned(), 2)]);
        resolve(hosts, move |answer| tell.send(answer).is_ok()).unwrap();
        let answers: Vec<_> = answers.iter().collect();
        assert_eq!(answers.len(), 2);
        for answer in answers {
            let addresses = answer.addresses.unwrap();
            assert!(addresses.iter().all(|a| a.ip().is_loopback() && a.port() == answer.host.1));
        }
    }
}
