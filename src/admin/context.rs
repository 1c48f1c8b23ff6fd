//! What the pages have in common: what they tell of, and where they are written.

use std::sync::{Arc, Weak};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::complaint::Complaint;
use super::envoy::Reset;
use super::listener::{Listener, SocketFile};
use crate::config::{AdminBind, Node};
use crate::control::Remote;
use crate::control::refusals::Examples;
use crate::control::shared::Shared;
use crate::control::workers::Asker;
use crate::route::Directory;
use crate::sys::process;

/// What the admin HTTP server is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it listens.
    pub(crate) listeners: Vec<Listener>,
    /// Who this gateway is.
    pub(crate) node: Node,
}

impl Setup {
    /// Where it listens, with the ports that port 0 became.
    pub(crate) fn bound(&self) -> Vec<AdminBind> {
        self.listeners.iter().filter_map(Listener::bound).collect()
    }

    /// The names of its sockets in the file system.
    pub(crate) fn socket_files(&self) -> Vec<Weak<SocketFile>> {
        self.listeners.iter().filter_map(Listener::socket_file).collect()
    }
}

/// What is asked for where numbers do not say enough.
#[derive(Debug, Default)]
pub(crate) struct Insight {
    /// What the workers are asked by, in their order.
    pub(crate) workers: Vec<Asker>,
    /// The names of clusters.
    pub(crate) directory: Directory,
    /// The last refusals.
    pub(crate) refusals: Arc<Examples>,
}

/// What the pages have in common.
#[derive(Debug)]
pub(super) struct Context {
    /// Takes orders, and knows the gateway.
    pub(super) remote: Remote,
    pub(super) insight: Insight,
    pub(super) node: Node,
    pub(super) reset: Reset,
    /// Held by the page that is being written apart.
    writing: Semaphore,
    /// Held by the page that asks the workers.
    pub(super) asking: Semaphore,
}

impl Context {
    /// What is common, and where to listen.
    pub(super) fn new(setup: Setup, insight: Insight, remote: Remote) -> (Self, Vec<Listener>) {
        let Setup { listeners, node } = setup;
        let context = Self {
            remote,
            insight,
            node,
            reset: Reset::default(),
            writing: Semaphore::new(1),
            asking: Semaphore::new(1),
        };
        (context, listeners)
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

    pub(super) fn text(&self) -> &str {
        &self.text
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
