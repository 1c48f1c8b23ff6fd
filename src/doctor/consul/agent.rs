//! Judges the agent: whether it is there and near, how old it is, and what it has switched on.

use std::net::IpAddr;

use super::facts::{Facts, Place, is_here};
use super::{AGENT, CENTRAL, CONNECT, Check, GRPC, LOCAL, VERSION};
use crate::consul::agent::AgentError;
use crate::consul::model::CheckServiceNode;

/// The first version with mesh gateways.
const VERSION_LEAST: [u64; 3] = [1, 6, 0];

/// Nobody answers.
pub(super) fn unreachable(error: &AgentError) -> Check {
    let remedy = "start the agent (`systemctl start consul`), or name its address with --http-addr \
                  or CONSUL_HTTP_ADDR";
    Check::fail(AGENT, error.to_string(), remedy)
}

pub(super) fn reachable(facts: &Facts) -> Check {
    let remedy = "`consul operator raft list-peers` and `consul members` say which servers are \
                  there; start those that are not";
    match &facts.leader {
        Ok(leader) if !leader.is_empty() => {
            Check::pass(AGENT, format!("the agent at {} answers, and has a leader", facts.agent))
        }
        Ok(_) => {
            let found =
                format!("the agent at {} answers, but its servers have no leader", facts.agent);
            Check::fail(AGENT, found, remedy)
        }
        Err(error) => Check::fail(AGENT, error.to_string(), remedy),
    }
}

/// A gateway is registered with the agent beside it: that one looks whether it listens, and when
/// its host goes, Consul knows that the gateway went too.
pub(super) fn local(place: &Place) -> Check {
    let nodes: Vec<String> = place.nodes.iter().map(|node| format!("{node:?}")).collect();
    let remedy = "run a client agent on this host (`consul agent -retry-join SERVER`), and name it \
                  with --http-addr or CONSUL_HTTP_ADDR";
    let (Some(node), Some(at)) = (nodes.first(), place.node_address) else {
        let remedy = "ask with a token that has agent_prefix \"\" { policy = \"read\" }";
        return Check::warn(LOCAL, "the agent does not say which node it is of", remedy);
    };
    let is_dialed = |address: IpAddr| place.dialed.contains(&address);
    if nodes.len() > 1 {
        let nodes = nodes.join(", ");
        let found = format!("several agents answer, those of the nodes {nodes}: a load balancer");
        Check::fail(LOCAL, found, remedy)
    } else if is_here(at) || place.dialed.is_empty() {
        Check::pass(LOCAL, format!("it is the agent of the node {node} at {at}, this host"))
    } else if is_dialed(at) {
        let found = format!(
            "it is the agent of the node {node} at {at}, another host: right in a container whose \
             host that is, and nowhere else"
        );
        Check::warn(LOCAL, found, remedy)
    } else if place.dialed.iter().all(|dialed| is_here(*dialed)) {
        let found = format!(
            "it is the agent of the node {node} at {at}, which is not this host: it runs in a \
             container with a network of its own, or behind a tunnel"
        );
        Check::warn(LOCAL, found, remedy)
    } else {
        let found = format!(
            "what is dialed is not the node {node} at {at} whose agent answers: a load balancer"
        );
        Check::fail(LOCAL, found, remedy)
    }
}

pub(super) fn version(facts: &Facts) -> Vec<Check> {
    let mut known: Vec<([u64; 3], String)> = Vec::new();
    let mut learn = |who: String, text: &str| {
        if let Some(version) = parse(text) {
            known.push((version, format!("{who} is {text}")));
        }
    };
    if let Ok(agent) = &facts.agent_self {
        learn("the agent".to_owned(), &agent.config.version);
    }
    for (datacenter, there) in facts.everywhere() {
        for CheckServiceNode { node, service, .. } in there.servers.iter().flatten() {
            let text = service.meta.get("version").map_or("", String::as_str);
            learn(format!("the server {:?} of {datacenter:?}", node.name), text);
        }
    }
    known.sort();
    let old = known.iter().take_while(|(version, _)| *version < VERSION_LEAST);
    let remedy = "install Consul 1.6.0 or newer there; 1.8 brought what other datacenters learn of \
                  gateways by";
    let old: Vec<Check> =
        old.map(|(_, who)| Check::fail(VERSION, format!("{who}: too old"), remedy)).collect();
    match known.first() {
        _ if !old.is_empty() => old,
        Some((_, oldest)) => {
            let found = format!("all are 1.6.0 or newer; of the oldest, {oldest}");
            vec![Check::pass(VERSION, found)]
        }
        None => vec![match &facts.agent_self {
            Err(error) => untold(VERSION, "its version", error),
            Ok(_) => {
                let remedy = "`consul version` on the hosts of the agents";
                Check::warn(VERSION, "nobody says which version runs", remedy)
            }
        }],
    }
}

/// The numbers that a version begins with.
fn parse(text: &str) -> Option<[u64; 3]> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut numbers = text.get(..end)?.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next().unwrap_or(0)])
}

pub(super) fn connect(facts: &Facts) -> Vec<Check> {
    let mut wrong = Vec::new();
    for (datacenter, there) in facts.everywhere() {
        let remedy = format!(
            "set connect {{ enabled = true }} in the configuration of every server of \
             {datacenter:?}, and restart them"
        );
        match &there.roots {
            Err(error) if is_off(error) => {
                wrong.push(Check::fail(
                    CONNECT,
                    format!("Connect is off in {datacenter:?}"),
                    remedy,
                ));
            }
            Ok(roots) if roots.trust_domain.is_empty() => {
                let found = format!("the certificate authority of {datacenter:?} is not ready");
                let remedy = "see the log of its leader; a secondary datacenter needs its primary \
                              for it, so see the checks below, too";
                wrong.push(Check::fail(CONNECT, found, remedy));
            }
            _ => {}
        }
    }
    if wrong.is_empty() {
        wrong.push(match &facts.own.roots {
            Ok(roots) => Check::pass(
                CONNECT,
                format!("it is on; the trust domain is {}", roots.trust_domain),
            ),
            Err(error) => Check::fail(CONNECT, error.to_string(), "see the agent's log"),
        });
    }
    wrong
}

/// `ErrConnectNotEnabled`.
fn is_off(error: &AgentError) -> bool {
    error.message().is_some_and(|said| said.contains("Connect must be enabled"))
}

pub(super) fn grpc(facts: &Facts) -> Check {
    let agent = match &facts.agent_self {
        Ok(agent) => &agent.debug_config,
        Err(error) => return untold(GRPC, "whether gRPC is on", error),
    };
    let ports = [agent.grpc_tls_port, agent.grpc_port];
    if let Some(port) = ports.into_iter().flatten().find(|port| *port > 0) {
        return Check::pass(GRPC, format!("it is on, at port {port} of the agent"));
    }
    if ports == [None, None] {
        return Check::not_applicable(GRPC, "the agent does not say whether gRPC is on");
    }
    let remedy = "set ports { grpc = 8502 } in the agent's configuration, and restart it";
    let is_proxy = |kind: &str| !kind.is_empty() && kind != "mesh-gateway";
    let services = facts.services.iter().flatten();
    match services.filter(|(_, service)| is_proxy(&service.kind)).count() {
        0 => {
            let found = "it is off at this agent: Sluice needs none, but no Envoy sidecar could \
                         run on this host";
            Check::warn(GRPC, found, remedy)
        }
        count => {
            let found = format!(
                "it is off at this agent, so that Envoy gets no configuration here; proxies that \
                 are registered: {count}"
            );
            Check::fail(GRPC, found, remedy)
        }
    }
}

/// Consul 1.9 made it the default.
pub(super) fn central_config(facts: &Facts) -> Check {
    let agent = match &facts.agent_self {
        Ok(agent) => &agent.debug_config,
        Err(error) => return untold(CENTRAL, "whether central configuration is on", error),
    };
    match agent.enable_central_service_config {
        Some(true) => Check::pass(CENTRAL, "proxy-defaults and service-defaults take effect"),
        Some(false) => Check::fail(
            CENTRAL,
            "it is off at this agent: what proxy-defaults and service-defaults say, such as \
             MeshGateway.Mode, is not for what is registered here",
            "set enable_central_service_config = true in the configuration of this and every \
             other agent, and restart them",
        ),
        None => Check::not_applicable(CENTRAL, "the agent does not say whether it is on"),
    }
}

/// What only the agent says, and not to this token.
fn untold(name: &'static str, what: &str, error: &AgentError) -> Check {
    if error.status() == Some(403) {
        let found = format!("the token may not read the agent, which alone says {what}");
        let remedy = "ask with a token that has agent_prefix \"\" { policy = \"read\" }, by \
                      --token-file or CONSUL_HTTP_TOKEN_FILE; the gateway itself needs no such \
                      right";
        return Check::warn(name, found, remedy);
    }
    Check::warn(name, error.to_string(), "see the agent's log: `consul monitor`")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (text, numbers) in [
            ("1.8.7", Some([1, 8, 7])),
            ("1.8.7+dfsg1", Some([1, 8, 7])),
            ("1.10.0-beta1", Some([1, 10, 0])),
            ("1.18.2+ent", Some([1, 18, 2])),
            ("2.0", Some([2, 0, 0])),
            ("", None),
            ("v1", None),
        ] {
            assert_eq!(parse(text), numbers, "{text}");
        }
        assert!(parse("1.10.0") > parse("1.6.0"));
    }
}
