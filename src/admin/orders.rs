//! The pages that change something. They take POST alone, and not from other people's web pages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;

use super::complaint::Complaint;
use super::context::{Context, Written, write_apart};
use super::envoy::Figures;
use crate::control::logging;

type Common = State<Arc<Context>>;

const OK: &str = "OK\n";

/// An order, and not one that a browser was lured into: a page of any origin may have it POST
/// here, but then it says which (RFC 6454 §7).
pub(super) struct Order;

impl<S: Sync> FromRequestParts<S> for Order {
    type Rejection = Complaint;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Complaint> {
        let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(Self) };
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if is_address(host) && origin.as_bytes() == format!("http://{host}").as_bytes() {
            return Ok(Self);
        }
        let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        Err(Complaint::forbidden(format!("no orders are taken from pages of {origin:?}")))
    }
}

/// Whether a host is named by its address: a name is whose whoever answers for it says, and may
/// lead here from a stranger's page (DNS rebinding).
fn is_address(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() || name == "localhost"
}

pub(super) async fn accept_routes(_: Order, State(context): Common) -> impl IntoResponse {
    Json(serde_json::json!({ "accepted": context.remote.accept().await }))
}

/// What SIGHUP does. What came of it is on the log and in `/config`.
pub(super) async fn reload(_: Order, State(context): Common) -> &'static str {
    tracing::info!("told to read its files again: POST /reload");
    context.remote.reload();
    OK
}

pub(super) async fn fail_health_check(_: Order, State(context): Common) -> &'static str {
    tracing::info!("told to fail its health check");
    context.shared().fail(true);
    OK
}

pub(super) async fn pass_health_check(_: Order, State(context): Common) -> &'static str {
    tracing::info!("told to pass its health check again");
    context.shared().fail(false);
    OK
}

pub(super) async fn quit(_: Order, State(context): Common) -> &'static str {
    tracing::info!("told to end at once: POST /quitquitquit");
    context.remote.stop();
    OK
}

/// As SIGTERM.
pub(super) async fn drain(_: Order, State(context): Common) -> &'static str {
    tracing::info!("told to drain and end: POST /drain");
    context.remote.drain();
    OK
}

#[derive(Deserialize)]
pub(super) struct DrainQuestion {
    graceful: Option<String>,
}

pub(super) async fn drain_listeners(
    _: Order,
    State(context): Common,
    Query(question): Query<DrainQuestion>,
) -> &'static str {
    let is_graceful = question.graceful.is_some();
    tracing::info!(graceful = is_graceful, "told to close the listeners: POST /drain_listeners");
    context.remote.close_listeners(is_graceful);
    OK
}

pub(super) async fn reset_counters(_: Order, State(context): Common) -> Result<Written, Complaint> {
    write_apart(context, |context| {
        let published = context.shared().published();
        let figures = Figures::of_all(context.shared(), &published, &context.node);
        context.reset.reset(&figures);
        Written::plain(OK.to_owned())
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct LoggingQuestion {
    level: Option<String>,
}

/// Without a level, says which it is.
pub(super) async fn logging(
    _: Order,
    Query(question): Query<LoggingQuestion>,
) -> Result<Written, Complaint> {
    let elsewhere = || Complaint::unavailable("the log of this process is not Sluice's");
    if let Some(name) = question.level.as_deref() {
        let level = level(name)?;
        if !logging::set_level(level) {
            return Err(elsewhere());
        }
        tracing::info!(%level, "told to log from another level on");
    }
    let level = logging::level().ok_or_else(elsewhere)?;
    Ok(Written::plain(format!("active loggers:\n  sluice: {level}\n")))
}

/// Envoy's names of levels, and ours.
fn level(name: &str) -> Result<LevelFilter, Complaint> {
    Ok(match name {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "critical" => LevelFilter::ERROR,
        "off" => LevelFilter::OFF,
        other => {
            let expected = "trace, debug, info, warning, error or off";
            return Err(Complaint::parameter("level", other, expected));
        }
    })
}
