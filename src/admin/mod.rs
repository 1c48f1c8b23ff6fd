//! The admin HTTP server: readiness, counters, and questions about routes.
//!
//! * `GET /ready`: 200 while connections are welcome, else 503.
//! * `GET /stats`: every counter of every worker, as JSON.
//! * `GET /routes`: the table in force, and where it comes from.
//! * `GET /routes?sni=NAME`: where a name leads and why, or why it is refused.
//! * `POST /routes/accept`: takes what is held back because it removes so much.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, response::IntoResponse};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::control::Job;
use crate::control::shared::{Phase, Shared};
use crate::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_TIMEOUT};

mod answers;

/// Serves until it is dropped. One request for each connection, and all within bounds: whoever
/// can reach the server is not necessarily a friend.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, jobs: Sender<Job>) {
    let router = Router::new()
        .route("/ready", get(ready))
        .route("/stats", get(stats))
        .route("/routes", get(routes))
        .route("/routes/accept", post(move || accept(jobs.clone())))
        .with_state(shared);
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

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Serving if shared.is_ready() => (StatusCode::OK, "ready\n"),
        Phase::Serving => (StatusCode::SERVICE_UNAVAILABLE, "no routes yet\n"),
        Phase::Leaving | Phase::Ended => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn stats(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    Json(answers::stats(&shared))
}

#[derive(Deserialize)]
struct Question {
    sni: Option<String>,
}

async fn routes(
    State(shared): State<Arc<Shared>>,
    Query(question): Query<Question>,
) -> impl IntoResponse {
    Json(match question.sni {
        Some(name) => answers::route(&shared.table(), &name),
        None => answers::routes(&shared),
    })
}

async fn accept(jobs: Sender<Job>) -> impl IntoResponse {
    let (reply, accepted) = oneshot::channel();
    // Both fail only while the gateway ends.
    let asked = jobs.send(Job::Accept(reply)).is_ok();
    let accepted = asked && accepted.await.unwrap_or(false);
    Json(serde_json::json!({ "accepted": accepted }))
}
