//! Where the agent is.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;

/// Where an agent listens when nothing else is said.
const DEFAULT: &str = "127.0.0.1:8500";

/// The address of an agent's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP; https if the scheme says so. A path is put before all paths.
    Url(Url),
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongAddress {
    /// It is none.
    Malformed,
    /// It has a user in it, whose password must not be repeated.
    User,
}

impl Address {
    pub(super) const EXPECTED: &'static str = "host:port, http://host:port, https://host:port or \
         unix:///path/of/socket, such as 127.0.0.1:8500";

    /// Reads an address. Its scheme wins; without one, `https` decides.
    pub(super) fn parse(text: &str, https: bool) -> Result<Self, WrongAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = Path::new(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path.to_owned())),
                false => Err(WrongAddress::Malformed),
            };
        }
        let with_scheme = match (text.contains("://"), https) {
            (true, _) => text.to_owned(),
            (false, true) => format!("https://{text}"),
            (false, false) => format!("http://{text}"),
        };
        if with_scheme.contains('@') {
            return Err(WrongAddress::User);
        }
        // Url accepts blanks at the ends and control characters anywhere, and drops them.
        if with_scheme.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(WrongAddress::Malformed);
        }
        let url = Url::parse(&with_scheme).map_err(|_| WrongAddress::Malformed)?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.port() != Some(0)
            && url.query().is_none()
            && url.fragment().is_none();
        if fits { Ok(Self::Url(url)) } else { Err(WrongAddress::Malformed) }
    }

    /// The default of Consul's own programs.
    pub(super) fn local(https: bool) -> Result<Self, WrongAddress> {
        Self::parse(DEFAULT, https)
    }

    /// Whether it is on this host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Url(url) => {
                let host = url.host_str().unwrap_or_default();
                let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
                address.map_or(host == "localhost", |address| address.is_loopback())
            }
        }
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Url(url) if url.scheme() == "https")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
