//! What `sluice routes` prints of a gateway that runs: asks its admin HTTP server.

use std::io::{self, Write};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::error::Exit;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error(
        "no gateway answers at {admin} ({reason}): name the admin address of one that runs with \
         --admin, or a routes file with --routes"
    )]
    NoAnswer {
        /// The address asked.
        admin: String,
        /// What went wrong.
        reason: String,
    },
    /// It answered, but not with what was asked for.
    #[error("the gateway at {admin} answered {answer}")]
    Refused {
        /// The address asked.
        admin: String,
        /// Its answer.
        answer: String,
    },
    /// The listing could not be written.
    #[error("writing failed: {0}")]
    Unwritten(#[from] io::Error),
}

impl AskError {
    /// The exit code that tells it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            // Whoever reads a listing may stop reading it.
            Self::Unwritten(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Unwritten(_) => Exit::System,
            Self::NoAnswer { .. } | Self::Refused { .. } => Exit::Unavailable,
        }
    }
}

/// Prints the table in force.
///
/// # Errors
/// See [`AskError`].
pub fn table(admin: &str, out: &mut dyn Write) -> Result<(), AskError> {
    let answer = ask(admin, Method::GET, "/routes", None)?;
    for line in source(&answer) {
        writeln!(out, "# {line}")?;
    }
    let routes = array(&answer, "routes");
    let width = routes.iter().map(|route| text(route, "route").len()).max().unwrap_or(0);
    for route in routes {
        let target = match route.get("refused") {
            Some(why) => format!("refused: {}", why.as_str().unwrap_or_default()),
            None => endpoints(route),
        };
        writeln!(out, "{:width$}  {target}", text(route, "route"))?;
    }
    Ok(())
}

/// Prints what becomes of a name. Returns whether it is routed.
///
/// # Errors
/// See [`AskError`].
pub fn explain(admin: &str, name: &str, out: &mut dyn Write) -> Result<bool, AskError> {
    let answer = ask(admin, Method::GET, "/routes", Some(("sni", name)))?;
    let because = text(&answer, "because");
    let refused = answer.get("refused").and_then(Value::as_str);
    match refused {
        Some(why) => writeln!(out, "{name:?} is refused ({why}): {because}")?,
        None => writeln!(out, "{name:?} leads to {}: {because}", endpoints(&answer))?,
    }
    Ok(refused.is_none())
}

/// Has the gateway take the routes that it holds back. Returns whether there were any.
///
/// # Errors
/// See [`AskError`].
pub fn accept(admin: &str, out: &mut dyn Write) -> Result<bool, AskError> {
    let answer = ask(admin, Method::POST, "/routes/accept", None)?;
    let accepted = answer.get("accepted").and_then(Value::as_bool).unwrap_or(false);
    writeln!(out, "{}", if accepted { "accepted" } else { "nothing is held back" })?;
    Ok(accepted)
}

/// What is said of a table's source, a line each.
fn source(answer: &Value) -> Vec<String> {
    let source = answer.get("source").unwrap_or(&Value::Null);
    let version = answer.get("table_version").and_then(Value::as_u64).unwrap_or(0);
    let age_s = source.get("published_age_s").and_then(Value::as_u64);
    let age = age_s.map_or_else(|| "not published yet".into(), |age| format!("{age} s old"));
    let mut lines = vec![format!("table {version}, {age}, from {}", text(source, "from"))];
    for part in array(source, "parts") {
        let number = |name| part.get(name).and_then(Value::as_u64);
        let index = number("index").map_or_else(String::new, |index| format!(", index {index}"));
        let age = number("age_s").map_or_else(|| "never".into(), |age| format!("{age} s ago"));
        let failing = match part.get("failing").and_then(Value::as_str) {
            Some(reason) => format!("; failing: {reason}"),
            None => String::new(),
        };
        lines.push(format!("{}: read {age}{index}{failing}", text(part, "part")));
    }
    for (what, name) in [("registration", "registration"), ("from disk", "restored")] {
        if let Some(told) = source.get(name).and_then(Value::as_str) {
            lines.push(format!("{what}: {told}"));
        }
    }
    for (what, name) in [("held back", "held"), ("left out", "notes")] {
        let told = array(source, name).iter().filter_map(Value::as_str);
        lines.extend(told.map(|told| format!("{what}: {told}")));
    }
    lines
}

fn endpoints(of: &Value) -> String {
    let listed: Vec<String> = array(of, "endpoints")
        .iter()
        .map(|endpoint| {
            let mut told = text(endpoint, "address").to_owned();
            match endpoint.get("weight").and_then(Value::as_u64) {
                Some(1) | None => {}
                Some(weight) => told += &format!(" (weight {weight})"),
            }
            if endpoint.get("healthy") == Some(&Value::Bool(false)) {
                told += " (critical)";
            }
            told
        })
        .collect();
    if listed.is_empty() { "no endpoint".to_owned() } else { listed.join(", ") }
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Asks a gateway's admin HTTP server.
///
/// # Errors
/// See [`AskError`].
pub(crate) fn ask(
    admin: &str,
    method: Method,
    path: &str,
    question: Option<(&str, &str)>,
) -> Result<Value, AskError> {
    let no_answer = |reason: String| AskError::NoAnswer { admin: admin.to_owned(), reason };
    let mut url = reqwest::Url::parse(&format!("http://{admin}{path}"))
        .map_err(|error| no_answer(error.to_string()))?;
    url.query_pairs_mut().extend_pairs(question);
    let asked = async {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .tls_backend_preconfigured(no_tls().map_err(|error| error.to_string())?)
            .build()
            .map_err(|error| innermost(&error))?;
        let asked = client.request(method, url).send();
        let answer = asked.await.map_err(|error| innermost(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| innermost(&error))?;
        Ok((status, body))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked: Result<_, String> = runtime.map_err(AskError::Unwritten)?.block_on(asked);
    let (status, body) = asked.map_err(no_answer)?;
    if !status.is_success() {
        let answer = format!("{status}: {}", String::from_utf8_lossy(&body).trim());
        return Err(AskError::Refused { admin: admin.to_owned(), answer });
    }
    serde_json::from_slice(&body).map_err(|error| AskError::Refused {
        admin: admin.to_owned(),
        answer: format!("what is no answer of a gateway ({error})"),
    })
}

/// Admin servers speak no TLS; but a client is not made without a way to.
pub(crate) fn no_tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into());
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// The last of a chain of causes: what the system said.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
