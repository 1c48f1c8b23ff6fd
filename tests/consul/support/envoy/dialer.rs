//! An Envoy in the place of a proxy that dials others, which follows what Consul tells that one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::{Envoy, Resources};
use crate::support::SOON;
use crate::support::ads::Ads;
use crate::support::datacenter::Datacenter;
use crate::support::until;

/// How long Consul has nothing new to say before nobody waits for it any more.
const QUIET: Duration = Duration::from_millis(100);
const SENT: [u8; 4096] = [0x5a; 4096];

/// A proxy that is registered with an agent, and its Envoy.
pub struct Dialer {
    ads: Ads,
    told: Resources,
    envoy: Envoy,
}

impl Dialer {
    /// Starts the Envoy with the first that Consul says.
    pub fn start(datacenter: &Datacenter, proxy_id: &str, service: &str) -> Self {
        let mut ads = Ads::of(datacenter, proxy_id, service, None).unwrap();
        ads.next(SOON).unwrap().expect("it is never told");
        let told = Resources::of(&ads);
        let envoy = Envoy::start(&told);
        Self { ads, told, envoy }
    }

    /// Takes what Consul says by now.
    pub fn follow(&mut self) {
        while self.ads.next(QUIET).unwrap().is_some() {}
        let told = Resources::of(&self.ads);
        if told != self.told {
            self.envoy.set(&told);
            self.told = told;
        }
    }

    /// Waits until a cluster has so many endpoints that are well, and no other.
    pub fn wait_healthy(&mut self, cluster: &str, count: usize) {
        until(&format!("the sidecar knows {count} of {cluster}: {:#?}", self.told), || {
            self.follow();
            let clusters: Value =
                serde_json::from_str(&self.envoy.page("/clusters?format=json")).unwrap();
            (healthy_count(&clusters, cluster) == count).then_some(())
        });
    }

    /// The name that connections to a cluster ask for.
    pub fn server_name(&self, cluster: &str) -> String {
        let mut clusters = self.told.clusters.iter();
        let found = clusters.find(|it| is_named(it, cluster)).unwrap();
        found["transport_socket"]["typed_config"]["sni"].as_str().unwrap().to_owned()
    }

    /// Whom Consul says to be well of a cluster.
    pub fn healthy(&self, cluster: &str) -> Vec<String> {
        let localities = self.told.assignments.iter().filter(|it| is_named(it, cluster));
        let localities = localities.filter_map(|it| it["endpoints"].as_array()).flatten();
        let endpoints = localities.filter_map(|it| it["lb_endpoints"].as_array()).flatten();
        let well = endpoints.filter(|it| it["health_status"] == "HEALTHY");
        let socket = |it: &Value| it["endpoint"]["address"]["socket_address"].clone();
        let text = |it: Value| format!("{}:{}", it["address"].as_str().unwrap(), it["port_value"]);
        well.map(socket).map(text).collect()
    }

    /// The first address of the port that it listens at for others.
    pub fn listener(&self, port: u16) -> SocketAddr {
        let at = |it: &Value| {
            let socket = &it["address"]["socket_address"];
            let host = socket["address"].as_str()?.parse().ok()?;
            let found = u16::try_from(socket["port_value"].as_u64()?).ok()?;
            (found == port).then_some(SocketAddr::new(host, port))
        };
        self.told.listeners.iter().find_map(at).expect("it does not listen there")
    }

    /// What the application does: dials its sidecar. Says which backend answered.
    pub fn reach(&self, upstream: SocketAddr) -> io::Result<u64> {
        let mut stream = TcpStream::connect(upstream)?;
        stream.set_read_timeout(Some(SOON))?;
        let mut tag = [0; 8];
        stream.read_exact(&mut tag)?;
        stream.write_all(&SENT)?;
        let mut back = [0; SENT.len()];
        stream.read_exact(&mut back)?;
        assert_eq!(back, SENT, "other bytes than those sent");
        Ok(u64::from_le_bytes(tag))
    }
}

/// The endpoints that are well of the clusters whose names begin so, in `/clusters?format=json`:
/// as Consul's own tests of Envoy ask for them.
pub fn healthy_count(clusters: &Value, name: &str) -> usize {
    let statuses = clusters["cluster_statuses"].as_array().unwrap().iter();
    let hosts =
        statuses.filter(|it| is_named(it, name)).filter_map(|it| it["host_statuses"].as_array());
    let hosts = hosts.flatten();
    hosts.filter(|host| host["health_status"]["eds_health_status"] == "HEALTHY").count()
}

/// Consul puts a hash and a tilde before the name where a sidecar has it otherwise than all others.
fn is_named(cluster: &Value, prefix: &str) -> bool {
    let name = cluster.get("name").or(cluster.get("cluster_name")).and_then(Value::as_str);
    let name = name.and_then(|name| name.rsplit('~').next());
    name.is_some_and(|name| name.starts_with(prefix))
}
