//! From what libraries say when an exchange fails to what an operator can act on.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError};

use super::address::Address;
use super::error::AgentError;
use super::resolver::Unresolved;

/// The longest part of an error's body that is repeated.
const MESSAGE_CHARS_MAX: usize = 200;

/// What is known of the exchange that failed.
pub(super) struct Exchange<'a> {
    pub(super) address: &'a Address,
    pub(super) path: &'a str,
    /// What of the body had come.
    pub(super) bytes_count: usize,
}

impl Exchange<'_> {
    /// Why a request, or reading the answer to it, failed.
    pub(super) fn explain(&self, error: &(dyn Error + 'static)) -> AgentError {
        let cause = Cause::of(error);
        let agent = self.address.to_string();
        match cause {
            Cause::Tls(error) => self.tls(error),
            Cause::Unresolved(error) => {
                let reason = format!("{error}; correct --http-addr or CONSUL_HTTP_ADDR");
                AgentError::Unreachable { agent, reason }
            }
            Cause::Io(error) => self.io(error),
            Cause::Ended => self.cut_off(),
            Cause::Unparsed(reason) => {
                AgentError::Garbled { agent, reason: format!("{reason}; {}", self.other_scheme()) }
            }
            Cause::Unpacked(reason) => AgentError::Garbled { agent, reason },
            Cause::Other(reason) => AgentError::Unreachable { agent, reason },
        }
    }

    /// An answer with a status that is no success.
    pub(super) fn refused(&self, status: u16, body: &str, location: Option<&str>) -> AgentError {
        let agent = self.address.to_string();
        let message = one_line(body);
        if status == 400 && message.starts_with("Client sent an HTTP request to an HTTPS server") {
            let reason = format!("it speaks TLS only; {}", self.other_scheme());
            return AgentError::Garbled { agent, reason };
        }
        let advice = advice(status, &message, location);
        let message = if message.is_empty() { "no reason given".to_owned() } else { message };
        AgentError::Status { agent, path: self.path.to_owned(), status, message, advice }
    }

    fn cut_off(&self) -> AgentError {
        AgentError::CutOff {
            agent: self.address.to_string(),
            path: self.path.to_owned(),
            bytes_count: self.bytes_count,
        }
    }

    fn io(&self, error: &io::Error) -> AgentError {
        let agent = self.address.to_string();
        let reason = match (error.kind(), self.address) {
            (ErrorKind::ConnectionRefused, Address::Url(_)) => {
                "nobody listens there; start the agent, or name its address with --http-addr or \
                 CONSUL_HTTP_ADDR"
                    .to_owned()
            }
            (ErrorKind::ConnectionRefused, Address::Unix(_)) => {
                "the socket is there, but nobody listens on it; start the agent".to_owned()
            }
            (ErrorKind::NotFound, Address::Unix(_)) => {
                "there is no such socket; start the agent, and see addresses.http in its \
                 configuration for where its socket is"
                    .to_owned()
            }
            (ErrorKind::PermissionDenied, Address::Unix(_)) => {
                "this user may not connect to the socket; set unix_sockets.group and \
                 unix_sockets.mode in the agent's configuration, or run as its user"
                    .to_owned()
            }
            (
                ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionAborted,
                _,
            ) => return self.cut_off(),
            _ => error.to_string(),
        };
        AgentError::Unreachable { agent, reason }
    }

    fn tls(&self, error: &rustls::Error) -> AgentError {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let reason = match error {
            // A CA of the same name and another key shows as a bad signature.
            InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => "its certificate is of a CA that is not trusted; name the agent's CA with \
                 --ca-file or CONSUL_CACERT"
                .to_owned(),
            InvalidCertificate(
                unfit @ (CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. }),
            ) => format!(
                "its certificate is for another name ({unfit}); give the name with \
                 --tls-server-name or CONSUL_TLS_SERVER_NAME, such as server.dc1.consul"
            ),
            InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => "its certificate has expired; renew it, or correct this host's clock".to_owned(),
            InvalidCertificate(other) => format!("its certificate is not valid ({other})"),
            InvalidMessage(_) => format!("it does not speak TLS; {}", self.other_scheme()),
            AlertReceived(alert) if wants_certificate(*alert) => format!(
                "it refused our certificate, or that there is none ({alert:?}); give one that it \
                 trusts with --client-cert and --client-key, or CONSUL_CLIENT_CERT and \
                 CONSUL_CLIENT_KEY"
            ),
            other => other.to_string(),
        };
        AgentError::Tls { agent: self.address.to_string(), reason }
    }

    /// What to write where the other one of http and https is spoken.
    fn other_scheme(&self) -> String {
        let other = match self.address {
            Address::Unix(_) => {
                return "see addresses.http in the agent's configuration".to_owned();
            }
            Address::Url(url) => {
                let (from, to) = match url.scheme() {
                    "https" => ("https", "http"),
                    _ => ("http", "https"),
                };
                self.address.to_string().replacen(from, to, 1)
            }
        };
        format!("if this is the right port, write {other} in --http-addr or CONSUL_HTTP_ADDR")
    }
}

/// The one in a chain of errors that tells.
enum Cause<'a> {
    Tls(&'a rustls::Error),
    Unresolved(&'a Unresolved),
    Io(&'a io::Error),
    /// The connection ended before the message did.
    Ended,
    /// It is not HTTP.
    Unparsed(String),
    /// It is HTTP, but its content cannot be unpacked.
    Unpacked(String),
    Other(String),
}

impl<'a> Cause<'a> {
    fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut last = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(told) = Self::told_by(error) {
                // What is deeper says more: I/O errors wrap others.
                last = Some(told);
            }
            next = inner(error);
        }
        let unpacked =
            error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_decode);
        match last {
            Some(Self::Io(io)) if unpacked && io.kind() != ErrorKind::UnexpectedEof => {
                Self::Unpacked(format!("its gzip content cannot be unpacked ({io})"))
            }
            Some(told) => told,
            None => Self::Other(deepest(error).to_string()),
        }
    }

    fn told_by(error: &'a (dyn Error + 'static)) -> Option<Self> {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Self::Tls(tls));
        }
        if let Some(unresolved) = error.downcast_ref::<Unresolved>() {
            return Some(Self::Unresolved(unresolved));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(Self::Io(io));
        }
        let http = error.downcast_ref::<hyper::Error>()?;
        if http.is_parse() {
            return Some(Self::Unparsed(http.to_string()));
        }
        (http.is_incomplete_message() || http.is_canceled() || http.is_closed())
            .then_some(Self::Ended)
    }
}

/// The error within an error. That of a custom I/O error is passed over by its `source`.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(io) = error.downcast_ref::<io::Error>()
        && let Some(inner) = io.get_ref()
    {
        return Some(inner);
    }
    // This one tells all by itself.
    if error.is::<Unresolved>() { None } else { error.source() }
}

fn deepest<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(next) = inner(error) {
        error = next;
    }
    error
}

/// The alerts by which TLS servers ask for a certificate in vain (RFC 8446 §6.2); Go's in
/// TLS 1.2 is `bad_certificate`.
const fn wants_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
    )
}

/// What to do about an answer, where that is known.
fn advice(status: u16, message: &str, location: Option<&str>) -> String {
    let advice = match status {
        300..=399 => {
            let to = location.map_or_else(|| "elsewhere".to_owned(), one_line);
            return format!(
                ": it redirects to {to}, which is not followed; name the agent itself with \
                 --http-addr or CONSUL_HTTP_ADDR"
            );
        }
        401 => ": a proxy before it wants CONSUL_HTTP_AUTH=user:password",
        403 if message.contains("ACL not found") => {
            ": it does not know the token, which was deleted or has expired, or is of another \
             cluster; give another with --token-file or CONSUL_HTTP_TOKEN_FILE"
        }
        403 => {
            ": the token lacks a right; give one with service:write on the gateway's name, and \
             service:read and node:read on all, with --token-file or CONSUL_HTTP_TOKEN_FILE"
        }
        429 => ": raise limits.http_max_conns_per_client or request_limits in its configuration",
        _ if message.contains("No cluster leader") => {
            ": its servers have no leader; see `consul operator raft list-peers`"
        }
        _ => "",
    };
    advice.to_owned()
}

/// The beginning of a text, on one line, without control characters.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|w| !w.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
