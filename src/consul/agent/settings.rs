//! Where the agent is and what it is shown, as flags and Consul's own variables say.
//!
//! The meaning of the variables is that of Consul's Go client (`api/api.go`): an empty one is as
//! if unset, a token file wins over a token, the scheme of the address wins over
//! `CONSUL_HTTP_SSL`. A flag wins over every variable.

use std::ffi::OsString;
use std::path::PathBuf;

use super::address::{Address, WrongAddress};
use super::error::SettingsError;
use super::token::{Secret, fits_header};

/// The flags, as typed; named as those of Consul's own commands.
#[derive(Clone, Default)]
pub struct AgentFlags {
    /// `--http-addr`.
    pub http_addr: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--token-file`.
    pub token_file: Option<String>,
    /// `--ca-file`.
    pub ca_file: Option<String>,
    /// `--ca-path`.
    pub ca_path: Option<String>,
    /// `--client-cert`.
    pub client_cert: Option<String>,
    /// `--client-key`.
    pub client_key: Option<String>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--partition`.
    pub partition: Option<String>,
}

/// HTTP basic authentication, for a proxy before the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Option<Secret>,
}

/// How TLS is spoken with the agent, where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the CAs to trust.
    pub ca_file: Option<File>,
    /// Directory of such files; the file wins. With neither, the system's CAs.
    pub ca_path: Option<File>,
    /// PEM files of the certificate and the key to show.
    pub client: Option<(File, File)>,
    /// The name to ask for and to verify, where it is not the host's.
    pub server_name: Option<String>,
    /// Whether the certificate is verified at all.
    pub verify: bool,
}

/// A file, and the flag or variable that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The flag or variable.
    pub setting: &'static str,
}

/// Where the agent is and what it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// Where it listens.
    pub address: Address,
    /// The token, if there is none in the file.
    pub token: Option<Secret>,
    /// A file with the token; read again for every request.
    pub token_file: Option<File>,
    /// Basic authentication.
    pub basic_auth: Option<BasicAuth>,
    /// TLS.
    pub tls: TlsSettings,
    /// The namespace of all requests that name none (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition of all requests that name none (Consul Enterprise).
    pub partition: Option<String>,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { ca_file: None, ca_path: None, client: None, server_name: None, verify: true }
    }
}

impl AgentSettings {
    /// Settings that say only where the agent is.
    #[must_use]
    pub fn at(address: Address) -> Self {
        Self {
            address,
            token: None,
            token_file: None,
            basic_auth: None,
            tls: TlsSettings::default(),
            namespace: None,
            partition: None,
        }
    }

    /// Reads flags, and the variables of those that were not given.
    ///
    /// # Errors
    /// The first that has a value which it cannot have.
    pub fn from_flags_and_environment(
        flags: &AgentFlags,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let given = |flag: &'static str, typed: &Option<String>, variable: &'static str| {
            given(flag, typed.as_deref(), variable, &environment)
        };
        let https = boolean("CONSUL_HTTP_SSL", false, &environment)?;
        let verify = boolean("CONSUL_HTTP_SSL_VERIFY", true, &environment)?;
        let at = given("--http-addr", &flags.http_addr, "CONSUL_HTTP_ADDR")?;
        let (token, token_file) = token_source(flags, &environment)?;
        let client_cert = given("--client-cert", &flags.client_cert, "CONSUL_CLIENT_CERT")?;
        let client_key = given("--client-key", &flags.client_key, "CONSUL_CLIENT_KEY")?;
        let server_name =
            given("--tls-server-name", &flags.tls_server_name, "CONSUL_TLS_SERVER_NAME")?;
        let namespace = given("--namespace", &flags.namespace, "CONSUL_NAMESPACE")?;
        let partition = given("--partition", &flags.partition, "CONSUL_PARTITION")?;
        Ok(Self {
            address: address(at, https)?,
            token,
            token_file,
            basic_auth: basic_auth(&environment)?,
            tls: TlsSettings {
                ca_file: given("--ca-file", &flags.ca_file, "CONSUL_CACERT")?.map(Given::file),
                ca_path: given("--ca-path", &flags.ca_path, "CONSUL_CAPATH")?.map(Given::file),
                client: pair(client_cert, client_key)?,
                server_name: server_name.map(dns_name).transpose()?,
                verify,
            },
            namespace: namespace.map(name).transpose()?,
            partition: partition.map(name).transpose()?,
        })
    }
}

/// A value, and the flag or variable that it came from.
struct Given {
    setting: &'static str,
    text: String,
}

impl Given {
    fn file(self) -> File {
        File { path: self.text.into(), setting: self.setting }
    }

    fn wrong(&self, expected: &'static str) -> SettingsError {
        // Quoted as Rust would: a control character does not reach the terminal.
        SettingsError::Wrong { setting: self.setting, value: format!("{:?}", self.text), expected }
    }
}

/// The flag if it was given, else the variable if it is not empty.
fn given(
    flag: &'static str,
    typed: Option<&str>,
    variable: &'static str,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Given>, SettingsError> {
    match typed {
        Some("") => Err(SettingsError::Wrong {
            setting: flag,
            value: "\"\"".to_owned(),
            expected: "a value",
        }),
        Some(text) => Ok(Some(Given { setting: flag, text: text.to_owned() })),
        None => from_environment(variable, environment),
    }
}

fn from_environment(
    variable: &'static str,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Given>, SettingsError> {
    let Some(value) = environment(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let expected = "UTF-8";
    let text = value
        .into_string()
        .map_err(|_| SettingsError::WrongSecret { setting: variable, expected })?;
    Ok(Some(Given { setting: variable, text }))
}

fn boolean(
    variable: &'static str,
    default: bool,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<bool, SettingsError> {
    let Some(value) = from_environment(variable, environment)? else {
        return Ok(default);
    };
    // Those of Go's strconv.ParseBool.
    match value.text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(value.wrong("true or false")),
    }
}

fn address(given: Option<Given>, https: bool) -> Result<Address, SettingsError> {
    let setting = given.as_ref().map_or("CONSUL_HTTP_ADDR", |given| given.setting);
    let parsed = match &given {
        Some(given) => Address::parse(&given.text, https),
        None => Address::local(https),
    };
    parsed.map_err(|wrong| match (wrong, given) {
        (WrongAddress::Malformed, Some(given)) => given.wrong(Address::EXPECTED),
        _ => SettingsError::WrongSecret {
            setting,
            expected: "an address without a user; CONSUL_HTTP_AUTH=user:password gives one",
        },
    })
}

/// The token and its file. What was typed wins over the environment; of each, the file wins.
fn token_source(
    flags: &AgentFlags,
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<(Option<Secret>, Option<File>), SettingsError> {
    let nothing = |_: &str| None;
    let typed = flags.token.is_some() || flags.token_file.is_some();
    let read = |flag, value: &Option<String>, variable| match typed {
        true => given(flag, value.as_deref(), variable, &nothing),
        false => from_environment(variable, environment),
    };
    let file = read("--token-file", &flags.token_file, "CONSUL_HTTP_TOKEN_FILE")?;
    let token = read("--token", &flags.token, "CONSUL_HTTP_TOKEN")?;
    if let Some(token) = &token
        && !fits_header(&token.text)
    {
        return Err(SettingsError::WrongSecret {
            setting: token.setting,
            expected: "a token of visible ASCII characters",
        });
    }
    Ok((token.map(|token| Secret::new(token.text)), file.map(Given::file)))
}

fn basic_auth(
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<BasicAuth>, SettingsError> {
    let given = from_environment("CONSUL_HTTP_AUTH", environment)?;
    Ok(given.map(|given| match given.text.split_once(':') {
        Some((user, password)) => {
            BasicAuth { user: user.to_owned(), password: Some(Secret::new(password)) }
        }
        None => BasicAuth { user: given.text, password: None },
    }))
}

fn pair(
    certificate: Option<Given>,
    key: Option<Given>,
) -> Result<Option<(File, File)>, SettingsError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.file(), key.file()))),
        (Some(Given { setting: given, .. }), None) => {
            Err(SettingsError::Half { given, missing: "--client-key or CONSUL_CLIENT_KEY" })
        }
        (None, Some(Given { setting: given, .. })) => {
            Err(SettingsError::Half { given, missing: "--client-cert or CONSUL_CLIENT_CERT" })
        }
        (None, None) => Ok(None),
    }
}

/// A name for TLS to ask for. An address is none (RFC 6066 §3), and is verified without.
fn dns_name(given: Given) -> Result<String, SettingsError> {
    use rustls::pki_types::{DnsName, IpAddr};
    let is_address = IpAddr::try_from(given.text.as_str()).is_ok();
    match DnsName::try_from(given.text.as_str()) {
        Ok(_) if !is_address => Ok(given.text),
        _ => Err(given.wrong("a DNS name, such as server.dc1.consul")),
    }
}

fn name(given: Given) -> Result<String, SettingsError> {
    // Consul's rule for namespaces and partitions.
    let fits = given.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits && given.text.len() <= 64 {
        return Ok(given.text);
    }
    Err(given.wrong("a name of up to 64 letters, digits and hyphens"))
}

#[cfg(test)]
mod tests;
