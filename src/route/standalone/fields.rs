//! The texts within a routes file: server names, addresses, durations.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use thiserror::Error;

use crate::route::model::NameError;
use crate::route::{Address, Pattern};

/// Why a text is not what its key asks for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum FieldError {
    #[error("{0:?} is no server name: {1}")]
    Name(String, NameError),
    #[error("{0:?} is no server name: {1:?} cannot be part of one")]
    NameCharacter(String, char),
    #[error("{0:?} has a port; a server name has none: write it in `endpoints`")]
    NameWithPort(String),
    #[error("{0:?} is an IP address; clients never send one as server name (RFC 6066 §3)")]
    NameIsAddress(String),
    #[error("{0:?} has a `*` where none can be: only `*.` in front is allowed, as in `*.{1}`")]
    Wildcard(String, &'static str),
    #[error("{0:?} has no port: expected `host:port`, as in `10.0.0.1:8443`")]
    NoPort(String),
    #[error("{0:?} has the port {1:?}: expected a number from 1 to 65535")]
    BadPort(String, String),
    #[error("{0:?} is an IPv6 address without brackets: expected `[address]:port`")]
    NoBrackets(String),
    #[error("{0:?} is no IPv6 address with port: expected `[address]:port`")]
    BadIpv6(String),
    #[error("{0:?} is no IPv4 address with port: expected four numbers from 0 to 255")]
    BadIpv4(String),
    #[error("{0:?} is a URL: expected `host:port`, without a scheme or a path")]
    Url(String),
    #[error("{0:?} has no valid host name: expected letters, digits, `-` and `_` between dots")]
    BadHost(String),
    #[error("{0:?} is no duration: expected a whole number with `ms`, `s` or `m`, as in `5s`")]
    BadDuration(String),
    #[error("{0:?} is too long: expected at most an hour, or `0s` for no limit")]
    LongDuration(String),
}

/// Reads `sni`. Stricter than [`Pattern::parse`]: what no client sends is a mistake here.
pub(super) fn pattern(text: &str) -> Result<Pattern, FieldError> {
    let own = || text.to_owned();
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if bare.contains('*') {
        return Err(FieldError::Wildcard(own(), "example.com"));
    }
    if bare.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || bare.parse::<SocketAddr>().is_ok()
    {
        return Err(FieldError::NameIsAddress(own()));
    }
    let port = bare.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(FieldError::NameWithPort(own()));
    }
    if let Some(character) = bare.chars().find(|c| !is_host_character(*c) && *c != '.') {
        return Err(FieldError::NameCharacter(own(), character));
    }
    Pattern::parse(text).map_err(|why| FieldError::Name(own(), why))
}

/// Reads `host:port`.
pub(super) fn address(text: &str) -> Result<Address, FieldError> {
    let own = || text.to_owned();
    if text.contains('/') {
        return Err(FieldError::Url(own()));
    }
    if text.starts_with('[') {
        let (_, after) = text.rsplit_once(']').ok_or_else(|| FieldError::BadIpv6(own()))?;
        let port = after.strip_prefix(':').ok_or_else(|| FieldError::NoPort(own()))?;
        self::port(text, port)?;
        let address = text.parse::<SocketAddrV6>().map_err(|_| FieldError::BadIpv6(own()))?;
        return Ok(Address::Socket(address.into()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| FieldError::NoPort(own()))?;
    if host.contains(':') {
        return Err(FieldError::NoBrackets(own()));
    }
    let port = self::port(text, port)?;
    // A host name whose last label is a number would be taken for an IPv4 address by resolvers.
    let last_label = host.rsplit('.').next().unwrap_or_default();
    if !last_label.is_empty() && last_label.bytes().all(|byte| byte.is_ascii_digit()) {
        let ip = host.parse::<Ipv4Addr>().map_err(|_| FieldError::BadIpv4(own()))?;
        return Ok(Address::Socket(SocketAddr::new(ip.into(), port)));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label =
        |label: &str| (1..=63).contains(&label.len()) && label.chars().all(is_host_character);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(FieldError::BadHost(own()));
    }
    Ok(Address::Host { name: name.to_ascii_lowercase(), port })
}

fn port(text: &str, port: &str) -> Result<u16, FieldError> {
    let number =
        if port.bytes().all(|byte| byte.is_ascii_digit()) { port.parse().ok() } else { None };
    number
        .filter(|port| *port != 0)
        .ok_or_else(|| FieldError::BadPort(text.to_owned(), port.to_owned()))
}

/// Reads a duration such as `250ms`, `5s` or `1m`.
pub(super) fn duration(text: &str) -> Result<Duration, FieldError> {
    let bad = || FieldError::BadDuration(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(bad()),
    };
    if number.is_empty() {
        return Err(bad());
    }
    // A number too long for u64 is also too long a time.
    let number = number.parse::<u64>().unwrap_or(u64::MAX);
    let duration = Duration::from_millis(number.saturating_mul(unit_ms));
    if duration > CONNECT_TIMEOUT_MAX {
        return Err(FieldError::LongDuration(text.to_owned()));
    }
    Ok(duration)
}

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

fn is_host_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}
