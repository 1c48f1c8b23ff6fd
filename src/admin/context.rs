//! What the pages have in common: what they tell of, and where they are written.

use std::net::TcpListener;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::complaint::Complaint;
use super::envoy::Reset;
use crate::config::Node;
use crate::control::Remote;
use crate::control::shared::Shared;
use crate::sys::process;

/// What the admin HTTP server is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it listens.
    pub(crate) listener: TcpListener,
    /// Clusters that metrics have series of.
    pub(crate) metrics_cluster_count_max: usize,
    /// Who this gateway is.
    pub(crate) node: Node,
}

/// What the pages have in common.
#[derive(Debug)]
pub(super) struct Context {
    /// Takes orders, and knows the gateway.
    pub(super) remote: Remote,
    pub(super) metrics_cluster_count_max: usize,
    pub(super) node: Node,
    pub(super) reset: Reset,
    /// Held by the page that is being written apart.
    writing: Semaphore,
}

impl Context {
    /// What is common, and where to listen.
    pub(super) fn new(setup: Setup, remote: Remote) -> (Self, TcpListener) {
        let Setup { listener, metrics_cluster_count_max, node } = setup;
        let reset = Reset::default();
        let writing = Semaphore::new(1);
        (Self { remote, metrics_cluster_count_max, node, reset, writing }, listener)
    }

    pub(super) fn shared(&self) -> &Shared {
        self.remote.shared()
    }
}

/// A page as text of some type.
#[derive(Debug)]
pub(super) struct Written {
    content_type: &'static str,
    text: String,
}

impl Written {
    pub(super) const fn new(content_type: &'static str, text: String) -> Self {
        Self { content_type, text }
    }

    pub(super) const fn plain(text: String) -> Self {
        Self::new("text/plain; charset=utf-8", text)
    }

    pub(super) fn json(value: &Value) -> Self {
        Self::new("application/json", value.to_string())
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, self.content_type)], self.text).into_response()
    }
}

/// Writes a page whose length grows with the catalog: one at a time, at nice 19, and on another
/// thread, because control must never be away for long.
pub(super) async fn write_apart(
    context: Arc<Context>,
    write: impl FnOnce(&Context) -> Written + Send + 'static,
) -> Result<Written, Complaint> {
    const ENDS: &str = "the gateway ends";
    let apart = Arc::clone(&context);
    let writing = context.writing.acquire().await;
    let written = tokio::task::spawn_blocking(move || {
        process::lower_thread_priority();
        write(&apart)
    });
    let written = written.await.map_err(|_| Complaint::unavailable(ENDS));
    drop(writing);
    written
}
