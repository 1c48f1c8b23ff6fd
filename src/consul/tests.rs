//! In which namespace and partition everything is asked and told. Only Consul Enterprise has any:
//! what is known of them is its documentation (consul.io: "namespace", "admin partition").

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::spawn_local;

use super::agent::fake::{Asked, Fake, Reply, reply, run};
use super::agent::{Address, AgentSettings, Client, Limits};
use super::register::{self, Health, Owned, Registration, RegistrationStatus, Wanted};
use super::rights;
use super::watch::{Elsewhere, Part, Status, Verdict, read_once};

/// An agent with gateways in another datacenter, and a registration that it forgets once.
fn answer(asked: &Asked) -> Reply {
    let path = asked.line.split(['?', ' ']).nth(1).unwrap();
    let body = match path {
        "/v1/internal/federation-states/mesh-gateways" => {
            r#"{"dc2":[{"Service":{"Kind":"mesh-gateway","Service":"edge"}}]}"#
        }
        "/v1/catalog/datacenters" => r#"["dc1","dc2"]"#,
        "/v1/health/service/consul" if asked.line.contains("dc=dc2") => "[]",
        "/v1/health/service/consul" => r#"[{"Node":{"Datacenter":"dc1"}}]"#,
        "/v1/agent/checks" => "{}",
        _ if asked.line.starts_with("GET /v1/agent/service/") => {
            return Reply::Raw(reply("404 Not Found", "", "unknown service ID: gw"));
        }
        _ => "[]",
    };
    Reply::Raw(reply("200 OK", "", body))
}

/// What is asked of an agent by a gateway with these settings: each question with its scope.
fn asked(
    namespace: Option<&str>,
    partition: Option<&str>,
) -> BTreeMap<String, [Option<String>; 2]> {
    run(true, async {
        let (fake, address) = Fake::start(answer).await;
        let url = format!("http://{address}");
        let client = Client::new(&AgentSettings {
            namespace: namespace.map(str::to_owned),
            partition: partition.map(str::to_owned),
            ..AgentSettings::at(Address::Url(url.parse().unwrap()))
        });
        let client = client.unwrap();
        let status = Arc::new(Status::new(url));
        let offer = async |_, _: bytes::Bytes, _| Verdict::Taken;
        let followed = Elsewhere::new(client.clone(), status, offer);
        for part in Part::ALL {
            spawn_local(Rc::clone(&followed).follow(part));
        }
        let owned = Owned::new(Wanted::of_service("gw")).unwrap();
        let registration = Registration::Owned(Box::new(owned));
        let (_tell, told) = channel::channel(Health::Passing);
        let registered = Arc::new(RegistrationStatus::default());
        spawn_local(register::keep(client.clone(), registration, told, registered));
        let (tell, _found) = channel::channel(None);
        spawn_local(register::follow(client.clone(), "gw".to_owned(), tell));
        tokio::time::sleep(Duration::from_secs(20)).await;
        read_once(&client).await.unwrap();
        let limits = Limits { bytes_max: 1 << 16, timeout: Duration::from_secs(5) };
        rights::hidden(&client, Some("dc2"), limits).await.unwrap();
        fake.lines().iter().map(|line| scope(line)).collect()
    })
}

/// A question without its query, and the namespace and the partition in it.
fn scope(line: &str) -> (String, [Option<String>; 2]) {
    let (question, query) = line.split_once('?').unwrap_or((line, ""));
    let of = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    };
    (question.to_owned(), [of("ns"), of("partition")])
}

#[test]
fn every_question_says_its_namespace_and_its_partition() {
    let asked = asked(Some("team"), Some("edge"));
    let namespaces = [
        // Of the cluster, or of a partition, as a whole, and so in none.
        ("GET /v1/catalog/datacenters", None),
        ("GET /v1/config/mesh/mesh", None),
        ("GET /v1/connect/ca/roots", None),
        ("GET /v1/exported-services", None),
        ("GET /v1/internal/federation-states/mesh-gateways", None),
        ("GET /v1/peerings", None),
        // A gateway serves all of them.
        ("GET /v1/config/service-resolver", Some("*")),
        ("GET /v1/config/terminating-gateway", Some("*")),
        ("GET /v1/health/state/critical", Some("*")),
        ("GET /v1/internal/ui/nodes", Some("*")),
        // Consul's servers, and gateways.
        ("GET /v1/health/service/consul", Some("default")),
        ("GET /v1/health/service/edge", Some("default")),
        ("GET /v1/health/service/mesh-gateway", Some("default")),
        // The gateway itself is where its operator says.
        ("GET /v1/agent/checks", Some("team")),
        ("GET /v1/agent/service/gw", Some("team")),
        ("GET /v1/catalog/service/gw", Some("team")),
        ("PUT /v1/agent/check/update/sluice%3Agw", Some("team")),
        ("PUT /v1/agent/service/register", Some("team")),
        ("POST /v1/internal/acl/authorize", Some("team")),
    ];
    let expected: BTreeMap<_, _> = namespaces
        .into_iter()
        .map(|(question, namespace): (&str, Option<&str>)| {
            let scope = [namespace.map(str::to_owned), Some("edge".to_owned())];
            (question.to_owned(), scope)
        })
        .collect();
    let decoded: BTreeMap<_, _> = asked
        .into_iter()
        .map(|(question, scope)| (question, scope.map(|it| it.map(|it| it.replace("%2A", "*")))))
        .collect();
    assert_eq!(decoded, expected);
}

#[test]
fn where_there_are_none_nothing_is_said_of_them() {
    let asked = asked(None, None);
    assert!(asked.len() >= 15, "{asked:#?}");
    for (question, scope) in asked {
        assert_eq!(scope, [None, None], "{question}");
    }
}
