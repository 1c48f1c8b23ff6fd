//! What `sluice check` prints of a configuration.

use std::io::Write;

use super::file;
use crate::config::{Config, RoutesFrom};
use crate::error::StartError;

/// Prints each flag of a configuration that is right, with its value and where that is from. A
/// routes file that it names is checked, too.
///
/// # Errors
/// The routes file cannot be read, or it is wrong.
pub fn check(config: &Config, out: &mut dyn Write) -> Result<(), StartError> {
    let settings = config.effective.settings();
    let names = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let values = settings.iter().map(|setting| setting.shown().chars().count()).max().unwrap_or(0);
    for setting in settings {
        let (name, value) = (&setting.name, setting.shown());
        file::written(writeln!(out, "{name:names$}  {value:values$}  {}", setting.origin))?;
    }
    match &config.routes {
        RoutesFrom::File(path) => file::check(path, out),
        RoutesFrom::Consul(_) => Ok(()),
    }
}
