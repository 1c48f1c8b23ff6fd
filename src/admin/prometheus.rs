//! `/metrics` where a registration in Consul says: `envoy_prometheus_bind_addr` of its
//! `Proxy.Config`. Who scraped an Envoy gateway there finds the same names, and ours.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::sleep;

use super::context::Context;
use super::listener::Listener;
use super::{Insight, Setup, complaint, pages, server};
use crate::config::{Config, Node};
use crate::control::Remote;
use crate::limits::SCRAPE_BIND_RETRY;
use crate::sys::listener;

/// Where metrics are asked for, and what they have.
#[derive(Debug)]
pub(crate) struct Scraped {
    wanted: watch::Receiver<Option<SocketAddr>>,
    page: Page,
}

#[derive(Debug)]
struct Page {
    node: Node,
}

impl Scraped {
    /// Metrics of a gateway with this configuration, wherever they are wanted.
    pub(crate) fn new(config: &Config, wanted: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self { wanted, page: Page { node: config.node() } }
    }

    /// Serves wherever it is wanted, until nobody can want it any more.
    pub(crate) async fn serve(mut self, remote: Remote) {
        loop {
            let address = *self.wanted.borrow_and_update();
            tokio::select! {
                () = self.page.serve_at(address, &remote) => {}
                changed = self.wanted.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Page {
    async fn serve_at(&self, address: Option<SocketAddr>, remote: &Remote) {
        let Some(address) = address else { return std::future::pending().await };
        let mut is_told = false;
        loop {
            match open(address) {
                Ok(listener) => {
                    tracing::info!(%address, "metrics, as envoy_prometheus_bind_addr wants it");
                    return self.serve_with(listener, remote.clone()).await;
                }
                Err(error) if !std::mem::replace(&mut is_told, true) => tracing::warn!("{error}"),
                Err(_) => {}
            }
            sleep(SCRAPE_BIND_RETRY).await;
        }
    }

    async fn serve_with(&self, listener: std::net::TcpListener, remote: Remote) {
        let setup = Setup { listeners: Vec::new(), node: self.node.clone() };
        let (context, _) = Context::new(setup, Insight::default(), remote);
        let router = Router::new()
            .route("/metrics", get(pages::scraped))
            .fallback(complaint::unknown_path)
            .method_not_allowed_fallback(complaint::wrong_method)
            .with_state(Arc::new(context));
        server::serve_one(Listener::Tcp(listener), router).await;
    }
}

fn open(address: SocketAddr) -> Result<std::net::TcpListener, crate::error::StartError> {
    let explain = |source| listener::explain(source, address, "envoy_prometheus_bind_addr");
    let listener = std::net::TcpListener::bind(address).map_err(explain)?;
    listener.set_nonblocking(true).map_err(explain)?;
    Ok(listener)
}
