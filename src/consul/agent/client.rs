//! Asks and tells the agent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HOST, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use tokio::sync::{MutexGuard, watch};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::answer::{Answer, Gathered, Limits};
use super::error::{AgentError, SettingsError};
use super::explain::Exchange;
use super::resolver::AgentHost;
use super::settings::{AgentSettings, BasicAuth};
use super::tls;
use super::token::{self, Token};
use crate::control::shared::lock;
use crate::limits::{
    AGENT_CONNECT_TIMEOUT, AGENT_IDLE_CONNECTIONS, AGENT_PUT_TIMEOUT, AGENT_REFUSAL_BYTES_MAX,
    AGENT_SLICE_BYTES,
};

/// Asks and tells one agent, over connections that are kept. Clones share them.
///
/// Runs on any tokio runtime, also one of a single thread, and holds it for no longer than it
/// takes to unpack and hash [`AGENT_SLICE_BYTES`].
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Replaced when its certificates are read again.
    http: Mutex<reqwest::Client>,
    settings: AgentSettings,
    address: Address,
    base: Url,
    /// Where it is not what the URL says.
    host: Option<HeaderValue>,
    token: Token,
    basic_auth: Option<BasicAuth>,
    namespace: Option<String>,
    partition: Option<String>,
    turn: tokio::sync::Mutex<()>,
}

impl Client {
    /// A client of the agent that settings name. Nothing is asked of it yet.
    ///
    /// # Errors
    /// A file that the settings name cannot be used.
    pub fn new(settings: &AgentSettings) -> Result<Self, SettingsError> {
        let token = token_of(settings)?;
        let mut host = None;
        let mut base = match &settings.address {
            Address::Unix(_) => Url::parse("http://localhost").map_err(|e| unmade(&e))?,
            Address::Url(url) => url.clone(),
        };
        if let (true, Some(name)) = (settings.address.is_https(), &settings.tls.server_name) {
            // The URL's host is what TLS asks for and verifies; the resolver knows better.
            host = HeaderValue::from_str(&authority(&base)).ok();
            base.set_host(Some(name)).map_err(|e| unmade(&e))?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                http: Mutex::new(http(settings)?),
                settings: settings.clone(),
                address: settings.address.clone(),
                base,
                host,
                token,
                basic_auth: settings.basic_auth.clone(),
                namespace: settings.namespace.clone(),
                partition: settings.partition.clone(),
                turn: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// Reads the files of certificates again. What is under way goes on as it began.
    ///
    /// # Errors
    /// One of them cannot be used; those in use are kept.
    pub fn renew(&self) -> Result<(), SettingsError> {
        *lock(&self.inner.http) = http(&self.inner.settings)?;
        Ok(())
    }

    /// Where the agent is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The namespace of requests that name none.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.inner.namespace.as_deref()
    }

    /// Looks whether the token file has another token. So does every request; but where the agent
    /// holds questions, there is none for half a minute.
    pub fn look_at_token(&self) {
        self.inner.token.now();
    }

    /// Counts the tokens that there were.
    #[must_use]
    pub fn token_changes(&self) -> watch::Receiver<u64> {
        self.inner.token.changes()
    }

    /// Waits for the turn of a question that is asked now and then, which ends with what is
    /// returned: all of them share one connection. What the agent holds is not to wait here, nor
    /// what it is told: each of these has a connection to itself, so that none keeps another
    /// waiting.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.inner.turn.lock().await
    }

    /// Asks the agent. `path` is encoded already, see [`segment`]. The namespace and the
    /// partition of the settings go along, unless the query names its own; an empty one is left
    /// out.
    ///
    /// # Errors
    /// See [`AgentError`]; also every status other than 200 to 299.
    pub async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limits: Limits,
    ) -> Result<Answer, AgentError> {
        self.exchange(self.request(Method::GET, path, query), path, limits).await
    }

    /// Tells the agent.
    ///
    /// # Errors
    /// See [`AgentError`]; also every status other than 200 to 299.
    pub async fn put(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, AgentError> {
        let mut request = self.request(Method::PUT, path, query);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let limits = Limits { bytes_max: AGENT_REFUSAL_BYTES_MAX, timeout: AGENT_PUT_TIMEOUT };
        self.exchange(request, path, limits).await
    }

    /// Asks a question that needs a body.
    ///
    /// # Errors
    /// See [`AgentError`]; also every status other than 200 to 299.
    pub async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &serde_json::Value,
        limits: Limits,
    ) -> Result<Answer, AgentError> {
        let request = self.request(Method::POST, path, query);
        let request = request.header("content-type", "application/json").body(body.to_string());
        self.exchange(request, path, limits).await
    }

    /// Reads an answer to `path`; `null`, which Go writes for what is empty, is what is empty.
    ///
    /// # Errors
    /// [`AgentError::Garbled`].
    pub(crate) fn read<T: DeserializeOwned + Default>(
        &self,
        path: &str,
        answer: &Answer,
    ) -> Result<T, AgentError> {
        let read = serde_json::from_slice::<Option<T>>(&answer.body);
        read.map(Option::unwrap_or_default).map_err(|error| AgentError::Garbled {
            agent: self.inner.address.to_string(),
            reason: format!("its answer to {path} cannot be read ({error})"),
        })
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let inner = &*self.inner;
        let mut url = inner.base.clone();
        url.set_path(&format!("{}{path}", inner.base.path().trim_end_matches('/')));
        let named = |key: &str| query.iter().any(|(name, _)| *name == key);
        let scope = [("ns", &inner.namespace), ("partition", &inner.partition)];
        let scope = scope.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let scope = scope.filter(|(key, _)| !named(key));
        let given = query.iter().copied();
        // Keys like `stale` have no value; Consul takes them with an empty one.
        let kept = given.filter(|(key, value)| !(value.is_empty() && is_scope(key)));
        let pairs: Vec<(&str, &str)> = kept.chain(scope).collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut headers = HeaderMap::new();
        if let Some(host) = &inner.host {
            headers.insert(HOST, host.clone());
        }
        if let Some(token) = inner.token.now().as_ref().and_then(token::header) {
            headers.insert("x-consul-token", token);
        }
        let http = lock(&inner.http).clone();
        let mut request = http.request(method, url).headers(headers);
        if let Some(auth) = &inner.basic_auth {
            request = request.basic_auth(&auth.user, auth.password.as_ref().map(|p| p.reveal()));
        }
        request
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        path: &str,
        limits: Limits,
    ) -> Result<Answer, AgentError> {
        let mut reading = Reading {
            exchange: Exchange { address: &self.inner.address, path, bytes_count: 0 },
            limits,
            deadline: Instant::now() + limits.timeout,
        };
        let sent = timeout_at(reading.deadline, request.send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_timeout() => {
                return Err(reading.too_late(AGENT_CONNECT_TIMEOUT));
            }
            Ok(Err(error)) => return Err(reading.exchange.explain(&error)),
            Err(_) => return Err(reading.too_late(limits.timeout)),
        };
        if !response.status().is_success() {
            return Err(reading.refusal(response, &self.inner.token).await);
        }
        let headers = response.headers().clone();
        let body = reading.body(response).await?;
        Ok(Answer::new(body, &headers))
    }
}

/// An answer that is coming in.
struct Reading<'a> {
    exchange: Exchange<'a>,
    limits: Limits,
    deadline: Instant,
}

impl Reading<'_> {
    async fn body(&mut self, mut response: Response) -> Result<Gathered, AgentError> {
        let mut body = Gathered::default();
        let mut slice_bytes = 0_usize;
        loop {
            self.exchange.bytes_count = body.len();
            let chunk = match timeout_at(self.deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(self.exchange.explain(&error)),
                Err(_) => return Err(self.too_late(self.limits.timeout)),
            };
            if !body.take(&chunk, self.limits.bytes_max) {
                return Err(AgentError::TooLarge {
                    agent: self.exchange.address.to_string(),
                    path: self.exchange.path.to_owned(),
                    bytes_max: self.limits.bytes_max,
                });
            }
            slice_bytes = slice_bytes.saturating_add(chunk.len());
            if slice_bytes >= AGENT_SLICE_BYTES {
                // What is packed unpacks without waiting for the network in between.
                slice_bytes = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// An answer that is no success. What of its body does not come does not matter.
    async fn refusal(&mut self, mut response: Response, token: &Token) -> AgentError {
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).cloned();
        let mut body = Gathered::default();
        while let Ok(Ok(Some(chunk))) = timeout_at(self.deadline, response.chunk()).await {
            if !body.take(&chunk, AGENT_REFUSAL_BYTES_MAX) {
                break;
            }
        }
        let location = location.as_ref().and_then(|value| value.to_str().ok());
        let body = token.hide(&String::from_utf8_lossy(body.as_slice()));
        self.exchange.refused(status, &body, location)
    }

    fn too_late(&self, after: Duration) -> AgentError {
        AgentError::TimedOut {
            agent: self.exchange.address.to_string(),
            path: self.exchange.path.to_owned(),
            after,
            bytes_count: self.exchange.bytes_count,
        }
    }
}

/// Encodes one segment of a path, such as a service ID (RFC 3986 §2.3: all but the unreserved).
#[must_use]
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn http(settings: &AgentSettings) -> Result<reqwest::Client, SettingsError> {
    let builder = reqwest::Client::builder()
        // Both are the agent's own business: what it answers is what counts, and a proxy of this
        // host's environment is not for what is local.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(AGENT_CONNECT_TIMEOUT)
        .pool_max_idle_per_host(AGENT_IDLE_CONNECTIONS)
        // Beside the agent, bytes cost it less than packing them does.
        .gzip(!settings.address.is_local())
        .tls_backend_preconfigured(tls_config(settings)?);
    let builder = match &settings.address {
        Address::Unix(path) => builder.unix_socket(path.as_path()),
        Address::Url(url) => {
            builder.dns_resolver(AgentHost(url.host_str().unwrap_or_default().to_owned()))
        }
    };
    builder.build().map_err(|error| unmade(&error))
}

fn unmade(error: &dyn std::fmt::Display) -> SettingsError {
    SettingsError::Client(error.to_string())
}

fn is_scope(key: &str) -> bool {
    matches!(key, "ns" | "partition")
}

fn token_of(settings: &AgentSettings) -> Result<Token, SettingsError> {
    let file = settings.token_file.as_ref();
    Token::new(file.map(|file| file.path.clone()), settings.token.clone()).map_err(|reason| {
        let (setting, path) = file.map_or(("--token-file", String::new()), |file| {
            (file.setting, file.path.display().to_string())
        });
        SettingsError::File { setting, path, reason }
    })
}

/// Without https none of its files is looked at, as Consul's own client does it.
fn tls_config(settings: &AgentSettings) -> Result<rustls::ClientConfig, SettingsError> {
    if settings.address.is_https() {
        return tls::config(&settings.tls);
    }
    let unused = super::settings::TlsSettings { verify: false, ..Default::default() };
    tls::config(&unused)
}

/// The host and the port of a URL, as in the Host header (RFC 9110 §7.2).
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
