//! `sluice doctor connectivity`: dials every endpoint of the table, of services here and of the
//! gateways of other datacenters, and says which of them cannot be reached and why.
//!
//! `table` is what there is to dial, as a running gateway or Consul has it; `dial` dials it. A
//! connection that stands is closed at once: nothing is sent.

pub(crate) mod dial;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::known::Known;
use super::{Check, Report};
use crate::cli::doctor::ConnectivityArgs;
use crate::config;
use crate::control::runtime;
use crate::error::StartError;
use dial::Outcome;
use table::{Place, Table};

/// The checks that are made, each by the name that it has in the report.
const TABLE: &str = "table";
const HOSTS: &str = "host names";
const ROUTES: &str = "routes";
const SERVICES: &str = "services";
const GATEWAYS: &str = "gateways";

/// Names that are listed of those that lead to an endpoint.
const NAMES_SHOWN: usize = 3;

/// Dials everything in the table.
///
/// # Errors
/// The flags are wrong, or Linux refuses a runtime.
pub(super) fn examine(args: &ConnectivityArgs) -> Result<Report, StartError> {
    let timeout = config::time_not_zero("--timeout", &args.timeout)?;
    let table = match Known::read(args.admin.as_deref(), &args.gateway, &args.agent)? {
        Ok(known) => Table::of(known),
        Err(error) => {
            let check = Check::fail(TABLE, error.reason, error.remedy);
            return Ok(Report::new("connectivity", vec![check]));
        }
    };
    let addresses: BTreeSet<SocketAddr> = table.places.keys().copied().collect();
    let outcomes = runtime::block_on(false, dial::all(addresses, timeout));
    let outcomes = outcomes.map_err(StartError::system("starting a runtime"))?;
    Ok(Report::new("connectivity", judge(&table, &outcomes, timeout)))
}

fn judge(table: &Table, outcomes: &BTreeMap<SocketAddr, Outcome>, timeout: Duration) -> Vec<Check> {
    let (route_count, place_count) = (table.route_count, table.places.len());
    let found =
        format!("{route_count} routes to {place_count} endpoints, as {} has them", table.from);
    let mut checks = vec![Check::pass(TABLE, found)];
    checks.extend(table.unresolved.iter().map(|((host, port), why)| {
        let found = format!("{host}:{port} has no address: {why}");
        let remedy = format!("`getent ahosts {host}`; correct the registration, or the resolver");
        Check::fail(HOSTS, found, remedy)
    }));
    if let Some((first, others)) = table.empty.split_first() {
        let others = match others.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let found = format!("no endpoint is known for {first}{others}");
        let remedy = format!("`sluice routes {first}`, and what is left out in `sluice routes`");
        checks.push(Check::warn(ROUTES, found, remedy));
    }
    for (name, is_gateway) in [(SERVICES, false), (GATEWAYS, true)] {
        checks.extend(judge_places(name, is_gateway, table, outcomes, timeout));
    }
    checks
}

/// Judges the endpoints of services, or the gateways of other datacenters.
fn judge_places(
    name: &'static str,
    is_gateway: bool,
    table: &Table,
    outcomes: &BTreeMap<SocketAddr, Outcome>,
    timeout: Duration,
) -> Vec<Check> {
    let places = table.places.iter().filter(|(_, place)| place.is_gateway == is_gateway);
    let (mut dialed_count, mut wrong) = (0_usize, Vec::new());
    for (address, place) in places {
        dialed_count = dialed_count.saturating_add(1);
        match outcomes.get(address).unwrap_or(&Outcome::NotTried) {
            Outcome::Reached => {}
            missed => wrong.push(unreached(name, *address, place, missed, timeout)),
        }
    }
    if dialed_count == 0 {
        let what = if is_gateway { "gateway of another datacenter" } else { "service" };
        return vec![Check::not_applicable(name, format!("no endpoint of a {what} is known"))];
    }
    if wrong.is_empty() {
        wrong.push(Check::pass(
            name,
            format!("{dialed_count} of {dialed_count} endpoints can be reached"),
        ));
    }
    wrong
}

/// What Consul says is down need not answer: a gateway does not dial it.
fn unreached(
    name: &'static str,
    address: SocketAddr,
    place: &Place,
    outcome: &Outcome,
    timeout: Duration,
) -> Check {
    let (ip, port) = (address.ip(), address.port());
    let (why, remedy) = match outcome {
        Outcome::Refused => (
            "nobody listens there".to_owned(),
            format!("start it, or see on its host what listens: `ss -ltn 'sport = :{port}'`"),
        ),
        Outcome::TimedOut => (
            format!("nothing came back within {} ms", timeout.as_millis()),
            format!(
                "see whether a firewall in between drops what is sent, and the way there: \
                 `ip route get {ip}`"
            ),
        ),
        Outcome::Unreachable(said) => (
            format!("there is no way there ({said})"),
            format!("`ip route get {ip}`, and the firewall of this host: `nft list ruleset`"),
        ),
        Outcome::NotTried => (
            "it was not tried: dialing the others took too long".to_owned(),
            "give each less time with --timeout".to_owned(),
        ),
        Outcome::Reached | Outcome::Failed(_) => {
            let said = if let Outcome::Failed(said) = outcome { said.as_str() } else { "" };
            (
                format!("this host could not dial ({said})"),
                "`sysctl net.ipv4.ip_local_port_range` \
              and `ulimit -n` say how much may be dialed at once"
                    .to_owned(),
            )
        }
    };
    let health = if place.is_healthy { "" } else { ", which Consul knows to be critical" };
    let found = format!("{address}, for {}{health}: {why}", names(place));
    let is_expected = !place.is_healthy || *outcome == Outcome::NotTried;
    if is_expected { Check::warn(name, found, remedy) } else { Check::fail(name, found, remedy) }
}

fn names(place: &Place) -> String {
    let shown: Vec<&str> = place.routes.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let more = place.routes.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
