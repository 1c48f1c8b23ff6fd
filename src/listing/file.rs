//! What `sluice check` and `sluice routes` print about a routes file.

use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::path::Path;

use crate::error::StartError;
use crate::limits::CONNECT_TIMEOUT;
use crate::route::explain::Explanation;
use crate::route::standalone::RouteFile;
use crate::route::table::ClusterView;
use crate::route::{ClusterId, RoutingTable};

/// Checks a routes file, without resolving its host names, and says what is in it.
///
/// # Errors
/// It cannot be read, or it is wrong.
pub fn check(path: &Path, out: &mut dyn Write) -> Result<(), StartError> {
    let file = read(path)?;
    let table = build(path, &file, false)?;
    let endpoints: usize = file.routes.iter().map(|route| route.endpoints.len()).sum();
    let hosts = file.hosts().count();
    written(writeln!(
        out,
        "{}: right: {} routes, {endpoints} endpoints, {hosts} of them with host names",
        path.display(),
        table.rules().count(),
    ))
}

/// Prints the table of a routes file, with host names resolved.
///
/// # Errors
/// It cannot be read, or it is wrong.
pub fn table(path: &Path, out: &mut dyn Write) -> Result<(), StartError> {
    let table = build(path, &read(path)?, true)?;
    let width = table.rules().map(|rule| rule.to_string().len()).max().unwrap_or(0);
    for rule in table.rules() {
        let target = match rule.target {
            Ok(id) => endpoints(&table, id),
            Err(why) => format!("refused: {}", why.sentence()),
        };
        written(writeln!(out, "{:width$}  {target}", rule.to_string()))?;
    }
    Ok(())
}

/// Prints what becomes of a name. Returns whether it is routed.
///
/// # Errors
/// The routes file cannot be read, or is wrong.
pub fn explain(path: &Path, name: &str, out: &mut dyn Write) -> Result<bool, StartError> {
    let table = build(path, &read(path)?, true)?;
    let found = Explanation::of(&table, name);
    match (found.refused, found.cluster) {
        (Some(why), _) => {
            written(writeln!(out, "{:?} is refused ({}): {}", name, why.name(), found.because))?;
        }
        (None, cluster) => {
            let endpoints = cluster.map(describe).unwrap_or_default();
            written(writeln!(out, "{:?} leads to {endpoints}: {}", name, found.because))?;
        }
    }
    Ok(found.refused.is_none())
}

fn read(path: &Path) -> Result<RouteFile, StartError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| StartError::RoutesUnread { path: path.into(), source })?;
    crate::control::parse_routes(&text, path).map_err(StartError::RoutesInvalid)
}

fn build(path: &Path, file: &RouteFile, resolve: bool) -> Result<RoutingTable, StartError> {
    let routes = file.resolve(CONNECT_TIMEOUT, |name, port| {
        let found = resolve.then(|| (name, port).to_socket_addrs().ok()).flatten();
        found.into_iter().flatten().collect()
    });
    let invalid = |error| StartError::RoutesInvalid(format!("{}: {error}", path.display()));
    RoutingTable::from_routes(&routes).map_err(invalid)
}

fn endpoints(table: &RoutingTable, id: ClusterId) -> String {
    table.cluster(id).map_or_else(String::new, describe)
}

fn describe(cluster: ClusterView<'_>) -> String {
    if cluster.endpoint_count() == 0 {
        return "no endpoint (is its host name resolved?)".to_owned();
    }
    let endpoints = cluster.endpoints().map(|endpoint| match endpoint.weight() {
        1 => endpoint.address().to_string(),
        weight => format!("{} (weight {weight})", endpoint.address()),
    });
    endpoints.collect::<Vec<_>>().join(", ")
}

/// Whoever reads a listing may stop reading it.
pub(super) fn written(result: io::Result<()>) -> Result<(), StartError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(StartError::system("writing")(error))
        }
        _ => Ok(()),
    }
}
