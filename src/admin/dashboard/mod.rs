//! `/`: a page for people, and what it asks for.
//!
//! One file with nothing from elsewhere, under a policy (CSP) that allows nothing else. It gives
//! no orders.

use std::fs;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::complaint::Complaint;
use super::context::{Context, Written, write_apart};

mod places;
mod routes;
mod summary;
#[cfg(test)]
mod tests;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

pub(super) async fn page() -> Result<Response, Complaint> {
    let nonce = nonce().ok_or_else(|| Complaint::unavailable("Linux has no random number"))?;
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &policy),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, whole(&nonce)).into_response())
}

/// The page, its style and its script in one.
fn whole(nonce: &str) -> String {
    PAGE.replace("{nonce}", nonce).replace("{style}", STYLE).replace("{script}", SCRIPT)
}

/// What only this answer's own style and script can know (CSP level 3, §2.3.1); a UUID of
/// version 4, random(4).
fn nonce() -> Option<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").ok()?;
    Some(uuid.trim().to_owned())
}

/// What the page shows.
pub(super) async fn summary(State(context): State<Arc<Context>>) -> Result<Written, Complaint> {
    write_apart(context, |context| Written::json(&summary::summary(context))).await
}

#[derive(Deserialize)]
pub(super) struct RoutesQuestion {
    search: Option<String>,
}

/// The routes that are looked for.
pub(super) async fn routes(
    State(context): State<Arc<Context>>,
    Query(question): Query<RoutesQuestion>,
) -> Result<Written, Complaint> {
    let part = question.search.unwrap_or_default().to_ascii_lowercase();
    write_apart(context, move |context| {
        Written::json(&routes::search(&context.shared().published(), &part))
    })
    .await
}
