//! The admin HTTP server: readiness, counters, and questions about routes.
//!
//! * `GET /ready`: 200 while connections are welcome, else 503.
//! * `GET /stats`: every counter of every worker, as JSON.
//! * `GET /routes?sni=NAME`: where a name leads and why, or why it is refused.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, response::IntoResponse};
use serde::Deserialize;

use crate::control::shared::{Phase, Shared};

mod answers;
mod capped;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/ready", get(ready))
        .route("/stats", get(stats))
        .route("/routes", get(routes))
        .with_state(shared);
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(capped::Capped::new(listener), router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin HTTP server has ended");
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Leaving | Phase::Ended => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn stats(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    Json(answers::stats(&shared))
}

#[derive(Deserialize)]
struct Question {
    sni: String,
}

async fn routes(
    State(shared): State<Arc<Shared>>,
    Query(question): Query<Question>,
) -> impl IntoResponse {
    Json(answers::route(&shared.table(), &question.sni))
}
