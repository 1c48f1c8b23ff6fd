//! The admin HTTP server: readiness, counters, questions about routes and sessions, orders, and a
//! dashboard.
//!
//! * Our own pages: `/` (the dashboard), `/ready`, `/live`, `/stats`, `/metrics`,
//!   `/routes[?sni=NAME]`, `/sessions`, `/refusals`, `/events`, `/config`, and POST
//!   `/routes/accept`, `/reload`, `/drain`.
//! * Envoy's, because tools call them: `/clusters`, `/stats?format=`, `/stats/prometheus`,
//!   `/server_info`, `/listeners`, `/config_dump`, `/memory`, and POST `/logging`,
//!   `/drain_listeners`, `/healthcheck/fail`, `/healthcheck/ok`, `/quitquitquit`,
//!   `/reset_counters`.
//!
//! * `/metrics` alone, also where a registration in Consul says: [`prometheus`].
//!
//! [`pages`] tell, [`orders`] change. What is as long as the catalog is written apart from the
//! control thread.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::control::Remote;

mod answers;
mod clusters;
mod complaint;
mod context;
mod dashboard;
mod envoy;
mod exposition;
mod listener;
mod metrics;
mod orders;
mod pages;
mod prometheus;
mod server;
mod sessions;
#[cfg(test)]
mod testing;
mod times;
mod unread;

pub(crate) use context::{Insight, Setup};
pub(crate) use listener::{Listener, SocketFile};
pub(crate) use prometheus::Scraped;

use context::Context;

/// Serves from now on, on tasks of this thread, until its runtime is dropped.
pub(crate) fn serve(setup: Setup, insight: Insight, remote: Remote) {
    let (context, listeners) = Context::new(setup, insight, remote);
    server::serve(listeners, &router(context));
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard.json", get(dashboard::summary))
        .route("/dashboard/routes", get(dashboard::routes))
        .route("/ready", get(pages::ready))
        .route("/live", get(pages::live))
        .route("/config", get(pages::config))
        .route("/routes", get(pages::routes))
        .route("/routes/accept", post(orders::accept_routes))
        .route("/sessions", get(sessions::page))
        .route("/refusals", get(pages::refusals))
        .route("/events", get(pages::events))
        .route("/metrics", get(pages::metrics))
        .route("/stats", get(pages::stats))
        .route("/stats/prometheus", get(pages::prometheus))
        .route("/clusters", get(pages::clusters))
        .route("/listeners", get(pages::listeners))
        .route("/config_dump", get(pages::config_dump))
        .route("/server_info", get(pages::server_info))
        .route("/memory", get(pages::memory))
        .route("/reload", post(orders::reload))
        .route("/logging", post(orders::logging))
        .route("/healthcheck/fail", post(orders::fail_health_check))
        .route("/healthcheck/ok", post(orders::pass_health_check))
        .route("/drain", post(orders::drain))
        .route("/drain_listeners", post(orders::drain_listeners))
        .route("/quitquitquit", post(orders::quit))
        .route("/reset_counters", post(orders::reset_counters))
        .fallback(complaint::unknown_path)
        .method_not_allowed_fallback(complaint::wrong_method)
        .with_state(Arc::new(context))
}
