//! Where the admin HTTP server listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{FlagError, wrong};

const FLAG: &str = "--admin-bind";

/// Where the admin HTTP server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminBind {
    /// A TCP address. Port 0: any free one.
    Tcp(SocketAddr),
    /// A socket in the file system, for its owner alone.
    Unix(PathBuf),
}

impl fmt::Display for AdminBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl AdminBind {
    /// Reads the flag; `off` says that there is no admin server.
    ///
    /// # Errors
    /// The first wrong value. An address beyond loopback is one unless that is meant.
    pub(super) fn from_args(
        texts: &[String],
        is_beyond_loopback: bool,
    ) -> Result<Vec<Self>, FlagError> {
        if let [only] = texts
            && only == "off"
        {
            return Ok(Vec::new());
        }
        let mut binds = Vec::new();
        for text in texts {
            let bind = Self::parse(text, is_beyond_loopback)?;
            let is_free_port = matches!(bind, Self::Tcp(address) if address.port() == 0);
            if binds.contains(&bind) && !is_free_port {
                return Err(wrong(FLAG, text, "each address once"));
            }
            binds.push(bind);
        }
        Ok(binds)
    }

    fn parse(text: &str, is_beyond_loopback: bool) -> Result<Self, FlagError> {
        const EXPECTED: &str = "an IP address and a port, such as 127.0.0.1:19000, or a socket, \
                                such as unix:///run/sluice/admin.sock; or `off`, alone";
        const LOOPBACK: &str = "an address of loopback: whoever reaches the admin server can read \
                                all routes and end the gateway; add --admin-beyond-loopback if \
                                that is meant";
        if let Some(path) = text.strip_prefix("unix://") {
            let is_path = path.starts_with('/') && !path.ends_with('/');
            let path = is_path.then(|| Self::Unix(path.into()));
            return path.ok_or_else(|| wrong(FLAG, text, EXPECTED));
        }
        let address: SocketAddr = text.parse().map_err(|_| wrong(FLAG, text, EXPECTED))?;
        if !address.ip().to_canonical().is_loopback() && !is_beyond_loopback {
            return Err(wrong(FLAG, text, LOOPBACK));
        }
        Ok(Self::Tcp(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], is_beyond_loopback: bool) -> Result<String, FlagError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let binds = AdminBind::from_args(&texts, is_beyond_loopback)?;
        Ok(binds.iter().map(AdminBind::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn addresses_and_sockets_are_taken_and_off_is_none() {
        for texts in [
            &["127.0.0.1:19000"][..],
            &["[::1]:0", "127.9.9.9:1", "unix:///run/sluice/admin.sock"],
            &["127.0.0.1:0", "127.0.0.1:0"],
        ] {
            assert_eq!(read(texts, false).unwrap(), texts.join(" "));
        }
        assert_eq!(read(&["off"], false).unwrap(), "");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for texts in [
            &["here"][..],
            &["127.0.0.1"],
            &["off", "127.0.0.1:1"],
            &["unix://relative"],
            &["unix:///folder/"],
            &["unix://"],
        ] {
            let error = read(texts, true).unwrap_err();
            assert!(error.expected.contains("unix:///run/sluice"), "{texts:?}: {error}");
        }
        let error = read(&["127.0.0.1:1", "127.0.0.1:1"], true).unwrap_err();
        assert_eq!(error.expected, "each address once");
    }

    #[test]
    fn beyond_loopback_only_who_means_it() {
        for text in ["0.0.0.0:19000", "[::]:19000", "10.0.0.5:19000", "[::ffff:10.0.0.5]:1"] {
            let error = read(&[text], false).unwrap_err();
            assert!(error.expected.contains("--admin-beyond-loopback"), "{error}");
            assert_eq!(read(&[text], true).unwrap(), text);
        }
        assert!(read(&["[::ffff:127.0.0.1]:1"], false).is_ok());
    }
}
