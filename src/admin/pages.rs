//! The pages that tell something.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::complaint::Complaint;
use super::context::{Context, Written, write_apart};
use super::envoy::{self, Figures};
use super::exposition::Format;
use super::{answers, metrics};
use crate::control::shared::Phase;

type Common = State<Arc<Context>>;

pub(super) async fn live() -> &'static str {
    // Whoever answers turns; and where a worker does not, the process ends.
    "live\n"
}

pub(super) async fn ready(State(context): Common) -> impl IntoResponse {
    let shared = context.shared();
    let not_yet = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    match shared.phase() {
        Phase::Starting => not_yet("starting"),
        // Whoever dials it is served, also while Consul does not know it.
        Phase::Serving if shared.is_ready() => match shared.provenance.unregistered() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(why) => (StatusCode::OK, format!("ready, but not registered: {why}\n")),
        },
        Phase::Serving if shared.is_failed() => not_yet("failed"),
        Phase::Serving => not_yet("no routes yet"),
        Phase::Leaving | Phase::Ended => not_yet("draining"),
    }
}

pub(super) async fn config(State(context): Common) -> impl IntoResponse {
    Json(context.shared().configuration())
}

#[derive(Deserialize)]
pub(super) struct RoutesQuestion {
    sni: Option<String>,
}

pub(super) async fn routes(
    State(context): Common,
    Query(question): Query<RoutesQuestion>,
) -> Result<Response, Complaint> {
    match question.sni {
        Some(name) => Ok(Json(answers::route(&context.shared().table(), &name)).into_response()),
        None => {
            let write = |context: &Context| Written::json(&answers::routes(context.shared()));
            Ok(write_apart(context, write).await?.into_response())
        }
    }
}

pub(super) async fn refusals(State(context): Common) -> Result<Written, Complaint> {
    write_apart(context, |context| Written::json(&answers::refusals(context))).await
}

pub(super) async fn events(State(context): Common) -> Result<Written, Complaint> {
    write_apart(context, |_| Written::json(&answers::events())).await
}

pub(super) async fn metrics(
    State(context): Common,
    headers: HeaderMap,
) -> Result<Written, Complaint> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::preferred(&accepts.collect::<Vec<_>>().join(","));
    write_apart(context, move |context| {
        let text = metrics::page(context.shared(), format);
        Written::new(format.content_type(), text)
    })
    .await
}

/// Ours and Envoy's: for who scrapes at an address that was Envoy's.
pub(super) async fn scraped(State(context): Common) -> Result<Written, Complaint> {
    write_apart(context, move |context| {
        let ours = metrics::page(context.shared(), Format::Text);
        let envoys = stats_prometheus(context, &envoy::Query::default());
        Written::new(Format::Text.content_type(), ours + envoys.text())
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct StatsQuestion {
    filter: Option<String>,
    format: Option<String>,
    usedonly: Option<String>,
}

impl StatsQuestion {
    fn query(&self) -> Result<envoy::Query, Complaint> {
        envoy::Query::parse(self.filter.as_deref(), self.usedonly.is_some())
    }
}

/// Ours where nothing is asked in Envoy's words.
pub(super) async fn stats(
    State(context): Common,
    Query(question): Query<StatsQuestion>,
) -> Result<Response, Complaint> {
    let query = question.query()?;
    let format = match question.format.as_deref() {
        None if question.filter.is_none() && question.usedonly.is_none() => {
            return Ok(Json(answers::stats(context.shared())).into_response());
        }
        format => format.unwrap_or("text"),
    };
    let write: fn(&Context, &envoy::Query) -> Written = match format {
        "text" => stats_text,
        "json" => stats_json,
        "prometheus" => stats_prometheus,
        other => return Err(Complaint::parameter("format", other, "text, json or prometheus")),
    };
    Ok(write_apart(context, move |context| write(context, &query)).await?.into_response())
}

pub(super) async fn prometheus(
    State(context): Common,
    Query(question): Query<StatsQuestion>,
) -> Result<Written, Complaint> {
    let query = question.query()?;
    write_apart(context, move |context| stats_prometheus(context, &query)).await
}

fn stats_text(context: &Context, query: &envoy::Query) -> Written {
    let published = context.shared().published();
    let figures = Figures::of_all(context.shared(), &published, &context.node);
    Written::plain(envoy::text(&figures, &context.reset, query))
}

fn stats_json(context: &Context, query: &envoy::Query) -> Written {
    let published = context.shared().published();
    let figures = Figures::of_all(context.shared(), &published, &context.node);
    Written::json(&envoy::json(&figures, &context.reset, query))
}

fn stats_prometheus(context: &Context, query: &envoy::Query) -> Written {
    let (shared, published) = (context.shared(), context.shared().published());
    let figures = Figures::of_used(shared, &published, &context.node);
    let text = envoy::prometheus(&figures, &context.reset, query);
    Written::new(Format::Text.content_type(), text)
}

#[derive(Deserialize)]
pub(super) struct FormatQuestion {
    format: Option<String>,
}

impl FormatQuestion {
    fn is_json(&self) -> Result<bool, Complaint> {
        match self.format.as_deref() {
            None | Some("text") => Ok(false),
            Some("json") => Ok(true),
            Some(other) => Err(Complaint::parameter("format", other, "text or json")),
        }
    }
}

pub(super) async fn clusters(
    State(context): Common,
    Query(question): Query<FormatQuestion>,
) -> Result<Written, Complaint> {
    let is_json = question.is_json()?;
    write_apart(context, move |context| {
        let published = context.shared().published();
        match is_json {
            true => Written::json(&envoy::clusters(&published)),
            false => Written::plain(envoy::clusters_text(&published)),
        }
    })
    .await
}

pub(super) async fn listeners(
    State(context): Common,
    Query(question): Query<FormatQuestion>,
) -> Result<Written, Complaint> {
    Ok(match question.is_json()? {
        true => Written::json(&envoy::listeners(context.shared())),
        false => Written::plain(envoy::listeners_text(context.shared())),
    })
}

#[derive(Deserialize)]
pub(super) struct DumpQuestion {
    include_eds: Option<String>,
    resource: Option<String>,
    mask: Option<String>,
    name_regex: Option<String>,
}

pub(super) async fn config_dump(
    State(context): Common,
    Query(question): Query<DumpQuestion>,
) -> Result<Written, Complaint> {
    let DumpQuestion { include_eds, resource, mask, name_regex } = question;
    for (name, value) in [("resource", resource), ("mask", mask), ("name_regex", name_regex)] {
        if let Some(value) = value {
            return Err(Complaint::parameter(name, &value, "no such parameter: all is told"));
        }
    }
    write_apart(context, move |context| {
        let dump = envoy::config_dump(context.shared(), &context.node, include_eds.is_some());
        Written::json(&dump)
    })
    .await
}

pub(super) async fn server_info(State(context): Common) -> impl IntoResponse {
    Json(envoy::server_info(context.shared(), &context.node))
}

pub(super) async fn memory() -> impl IntoResponse {
    Json(envoy::memory())
}
