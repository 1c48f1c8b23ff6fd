//! Who is dialed on a way, and whether they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::chain::Target;
use crate::consul::agent::{Client, segment};
use crate::consul::model::{CheckServiceNode, Kind, Status};
use crate::consul::snapshot::{Reach, address};
use crate::doctor::Check;
use crate::doctor::ask::{Asked, get};
use crate::doctor::connectivity::dial::{self, Outcome};
use crate::route::Address;

/// What is on a way, each by the name that it has in the report.
const GATEWAYS_HERE: &str = "gateways here";
const GATEWAYS_THERE: &str = "gateways there";
const SERVICE: &str = "service";

/// Somebody on the way.
struct Place {
    address: SocketAddr,
    is_healthy: bool,
}

/// The hops to a target, in order. What only others dial is named, and not dialed.
pub(super) async fn all(
    client: &Client,
    target: &Target,
    own: &str,
    timeout: Duration,
) -> Vec<Check> {
    let is_here = target.datacenter == own;
    let mode = if is_here { "" } else { target.mesh_gateway.mode.as_str() };
    let there = &target.datacenter;
    let mut hops = Vec::new();
    if mode == "local" {
        hops.push(gateways(client, GATEWAYS_HERE, own, Reach::Lan, timeout).await);
    }
    if matches!(mode, "local" | "remote") {
        hops.push(gateways(client, GATEWAYS_THERE, there, Reach::Wan, timeout).await);
    }
    let reach = if is_here { Reach::Lan } else { Reach::Wan };
    let path = format!("/v1/health/connect/{}", segment(&target.service));
    let instances: Asked<Vec<CheckServiceNode>> = get(client, &path, &[("dc", there)]).await;
    let whom = format!("{:?} in {there:?}", target.service);
    hops.push(match instances {
        Err(error) => super::unasked(SERVICE, &error),
        // Its own gateways dial it, at its LAN address.
        Ok(instances) if !hops.is_empty() => {
            listed(SERVICE, &whom, &places(&instances, Reach::Lan))
        }
        Ok(instances) => dialed(SERVICE, &whom, places(&instances, reach), timeout).await,
    });
    hops
}

async fn gateways(
    client: &Client,
    name: &'static str,
    datacenter: &str,
    reach: Reach,
    timeout: Duration,
) -> Check {
    let mut gateways: Vec<CheckServiceNode> = match of_states(client, datacenter).await {
        Ok(gateways) => gateways,
        Err(error) if error.status() == Some(404) => Vec::new(),
        Err(error) => return super::unasked(name, &error),
    };
    if gateways.is_empty() {
        // Those of the usual name, where the federation states do not have them.
        let named = get(client, "/v1/health/service/mesh-gateway", &[("dc", datacenter)]).await;
        gateways = named.unwrap_or_default();
    }
    gateways.retain(|gateway| gateway.service.kind == Kind::MeshGateway);
    let whom = format!("the gateways of {datacenter:?}");
    dialed(name, &whom, places(&gateways, reach), timeout).await
}

async fn of_states(client: &Client, datacenter: &str) -> Asked<Vec<CheckServiceNode>> {
    type States = BTreeMap<String, Option<Vec<CheckServiceNode>>>;
    let path = "/v1/internal/federation-states/mesh-gateways";
    let mut states: States = get(client, path, &[]).await?;
    Ok(states.remove(datacenter).flatten().unwrap_or_default())
}

/// Where instances are dialed; those that have no usable address are left out.
fn places(instances: &[CheckServiceNode], reach: Reach) -> Vec<Place> {
    let mut places = Vec::new();
    for CheckServiceNode { node, service, checks } in instances {
        let is_healthy = !checks.iter().any(|check| check.status == Status::Critical);
        let found = match address(node, service, reach) {
            Ok(Address::Socket(address)) => vec![address],
            Ok(Address::Host { name, port }) => {
                (name.as_str(), port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
            }
            Err(_) => Vec::new(),
        };
        places.extend(found.into_iter().map(|address| Place { address, is_healthy }));
    }
    places
}

async fn dialed(name: &'static str, whom: &str, places: Vec<Place>, timeout: Duration) -> Check {
    let addresses: BTreeSet<SocketAddr> = places.iter().map(|place| place.address).collect();
    let outcomes = dial::all(addresses, timeout).await;
    let outcome = |place: &Place| outcomes.get(&place.address).unwrap_or(&Outcome::NotTried);
    let told: Vec<String> = places
        .iter()
        .map(|place| format!("{} {}{}", place.address, outcome(place), critical(place)))
        .collect();
    let is_missed = |place: &&Place| place.is_healthy && *outcome(place) != Outcome::Reached;
    let missed_count = places.iter().filter(is_missed).count();
    let is_any_well =
        places.iter().any(|place| place.is_healthy && *outcome(place) == Outcome::Reached);
    let remedy = "`sluice doctor connectivity` on the host that dials them says what to do";
    let found =
        format!("{whom}: {}", if told.is_empty() { "none".to_owned() } else { told.join(", ") });
    match (is_any_well, missed_count) {
        (true, 0) => Check::pass(name, found),
        (true, _) => Check::warn(name, found, remedy),
        (false, _) => Check::fail(name, found, remedy),
    }
}

/// Those whom this host need not be able to dial.
fn listed(name: &'static str, whom: &str, places: &[Place]) -> Check {
    let told: Vec<String> =
        places.iter().map(|place| format!("{}{}", place.address, critical(place))).collect();
    if places.iter().any(|place| place.is_healthy) {
        return Check::pass(name, format!("{whom}, dialed by its gateways: {}", told.join(", ")));
    }
    let told = if told.is_empty() { "no instance".to_owned() } else { told.join(", ") };
    let remedy = "`consul catalog services` there shows whether it has a sidecar that passes";
    Check::fail(name, format!("{whom}: {told}"), remedy)
}

const fn critical(place: &Place) -> &'static str {
    if place.is_healthy { "" } else { " (critical)" }
}
