//! The values of flags, as they are typed.

use std::net::SocketAddr;
use std::time::Duration;

use super::{FlagError, duration};
use crate::kernel::Keepalive;
use crate::limits::ACCESS_LOG_EVERY_LEAST;

pub(super) fn address(flag: &'static str, text: &str) -> Result<SocketAddr, FlagError> {
    let expected = "an IP address and a port, such as 0.0.0.0:8443 or [::]:8443";
    text.parse().map_err(|_| wrong(flag, text, expected))
}

pub(super) fn time(flag: &'static str, text: &str) -> Result<Duration, FlagError> {
    duration::parse(text).ok_or_else(|| wrong(flag, text, duration::EXPECTED))
}

/// A flag's time that cannot be turned off.
///
/// # Errors
/// It is none, or 0.
pub fn time_not_zero(flag: &'static str, text: &str) -> Result<Duration, FlagError> {
    let time = duration::parse(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| wrong(flag, text, "a time other than 0, such as 500ms or 5s"))
}

pub(super) fn access_log_every(text: &str) -> Result<Duration, FlagError> {
    let every = time("--access-log-every", text)?;
    match every.is_zero() || every >= ACCESS_LOG_EVERY_LEAST {
        true => Ok(every),
        false => Err(wrong("--access-log-every", text, "a duration from 1s on, or 0")),
    }
}

/// Probes go on at a quarter of the idle time, at least a second apart: with five of them, a
/// dead peer is found within little more than twice the idle time.
pub(super) fn keepalive(text: &str) -> Result<Option<Keepalive>, FlagError> {
    let idle = time("--keepalive", text)?;
    if idle.is_zero() {
        return Ok(None);
    }
    // tcp(7): whole seconds, 32767 at most.
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(32_767));
    if idle < least || idle > most {
        return Err(wrong("--keepalive", text, "a duration from 1s to 32767s, or 0"));
    }
    let interval = (idle / 4).max(least);
    Ok(Some(Keepalive { idle, interval, probe_count: 5 }))
}

pub(super) fn number<T>(
    flag: &'static str,
    text: &str,
    expected: &'static str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, FlagError>
where
    T: std::str::FromStr + PartialOrd,
{
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let parsed = digits.then(|| text.parse().ok()).flatten().filter(|n| range.contains(n));
    parsed.ok_or_else(|| wrong(flag, text, expected))
}

pub(super) fn choose<T: Copy>(
    flag: &'static str,
    text: &str,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<T, FlagError> {
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|&(_, value)| value).ok_or_else(|| wrong(flag, text, expected))
}

pub(crate) fn wrong(flag: &'static str, value: &str, expected: &'static str) -> FlagError {
    // Quoted as Rust would: a control character does not reach the terminal.
    FlagError { flag, value: format!("{value:?}"), expected }
}
