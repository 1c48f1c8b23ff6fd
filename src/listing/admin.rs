//! Asks the admin HTTP server of a gateway that runs.

use std::io;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::error::Exit;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error(
        "no gateway answers at {admin} ({reason}): name the admin address of one that runs with \
         --admin"
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
    /// What was asked cannot be asked.
    #[error("{0}")]
    Wrong(String),
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
            Self::Wrong(_) => Exit::Config,
            Self::NoAnswer { .. } | Self::Refused { .. } => Exit::Unavailable,
        }
    }
}

/// A gateway's admin HTTP server.
#[derive(Debug)]
pub(crate) struct Admin {
    at: String,
    base: Url,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Admin {
    /// The one at `ADDR:PORT` or `unix://PATH`. It is not asked anything yet.
    ///
    /// # Errors
    /// There can be none.
    pub(crate) fn at(admin: &str) -> Result<Self, AskError> {
        let no_answer = |reason: String| AskError::NoAnswer { admin: admin.to_owned(), reason };
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .tls_backend_preconfigured(no_tls().map_err(|error| no_answer(error.to_string()))?);
        let (client, base) = match admin.strip_prefix("unix://") {
            Some(path) => (client.unix_socket(path), "http://localhost".to_owned()),
            None => (client, format!("http://{admin}")),
        };
        let base = Url::parse(&base).map_err(|error| no_answer(error.to_string()))?;
        let client = client.build().map_err(|error| no_answer(innermost(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { at: admin.to_owned(), base, client, runtime })
    }

    /// What it answers to a question.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub(crate) fn text(
        &self,
        method: Method,
        path: &str,
        question: &[(&str, &str)],
    ) -> Result<String, AskError> {
        let no_answer = |reason| AskError::NoAnswer { admin: self.at.clone(), reason };
        let mut url = self.base.join(path).map_err(|error| no_answer(error.to_string()))?;
        if !question.is_empty() {
            url.query_pairs_mut().extend_pairs(question);
        }
        let asked = self.runtime.block_on(async {
            let answer = self.client.request(method, url).send().await?;
            Ok((answer.status(), answer.bytes().await?))
        });
        let (status, body) = asked.map_err(|error: reqwest::Error| no_answer(innermost(&error)))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(body);
        }
        let answer = format!("{status}: {}", body.trim());
        Err(AskError::Refused { admin: self.at.clone(), answer })
    }

    /// The same, where it answers with JSON.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub(crate) fn json(
        &self,
        method: Method,
        path: &str,
        question: &[(&str, &str)],
    ) -> Result<Value, AskError> {
        let body = self.text(method, path, question)?;
        serde_json::from_str(&body).map_err(|error| AskError::Refused {
            admin: self.at.clone(),
            answer: format!("what is no answer of a gateway ({error})"),
        })
    }
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
