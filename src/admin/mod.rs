//! The admin HTTP server: readiness, counters, questions about routes, and orders.
//!
//! * Our own pages: `/ready`, `/live`, `/stats`, `/metrics`, `/routes[?sni=NAME]`, `/config`, and
//!   POST `/routes/accept`.
//! * Envoy's, because tools call them: `/clusters`, `/stats?format=`, `/stats/prometheus`,
//!   `/server_info`, `/listeners`, `/memory`, and POST `/logging`, `/drain_listeners`,
//!   `/healthcheck/fail`, `/healthcheck/ok`, `/quitquitquit`, `/reset_counters`.
//!
//! * `/metrics` alone, also where a registration in Consul says: [`prometheus`].
//!
//! [`pages`] tell, [`orders`] change. What is as long as the catalog is written apart from the
//! control thread.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::control::Remote;
use crate::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_TIMEOUT};

mod answers;
mod clusters;
mod complaint;
mod context;
mod envoy;
mod exposition;
mod metrics;
mod orders;
mod pages;
mod prometheus;
#[cfg(test)]
mod testing;
mod times;

pub(crate) use context::Setup;
pub(crate) use prometheus::Scraped;

use context::Context;

/// Serves until it is dropped. One request for each connection, and all within bounds: whoever
/// can reach the server is not necessarily a friend.
pub(crate) async fn serve(setup: Setup, remote: Remote) {
    let (context, listener) = Context::new(setup, remote);
    serve_router(listener, router(context)).await;
}

async fn serve_router(listener: std::net::TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "there is no admin HTTP server"),
    };
    // The descriptors of connections are taken from the reserve, and the rest of it belongs to
    // others.
    let free = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(answer(stream, router.clone(), place));
            }
            // Out of descriptors, or a connection that is gone already.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/ready", get(pages::ready))
        .route("/live", get(pages::live))
        .route("/config", get(pages::config))
        .route("/routes", get(pages::routes))
        .route("/routes/accept", post(orders::accept_routes))
        .route("/metrics", get(pages::metrics))
        .route("/stats", get(pages::stats))
        .route("/stats/prometheus", get(pages::prometheus))
        .route("/clusters", get(pages::clusters))
        .route("/listeners", get(pages::listeners))
        .route("/server_info", get(pages::server_info))
        .route("/memory", get(pages::memory))
        .route("/logging", post(orders::logging))
        .route("/healthcheck/fail", post(orders::fail_health_check))
        .route("/healthcheck/ok", post(orders::pass_health_check))
        .route("/drain_listeners", post(orders::drain_listeners))
        .route("/quitquitquit", post(orders::quit))
        .route("/reset_counters", post(orders::reset_counters))
        .fallback(complaint::unknown_path)
        .method_not_allowed_fallback(complaint::wrong_method)
        .with_state(Arc::new(context))
}

async fn answer(stream: TcpStream, router: Router, place: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(ADMIN_HEAD_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What went wrong is the client's affair.
    let _ = tokio::time::timeout(ADMIN_TIMEOUT, connection).await;
    drop(place);
}
