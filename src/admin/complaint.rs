//! What is answered to a request that cannot be met: a status and one sentence.

use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

/// Why a request cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    status: StatusCode,
    sentence: String,
}

impl Complaint {
    /// The request says what cannot be.
    pub(super) const fn bad(sentence: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, sentence }
    }

    /// The request comes from where no orders are taken from.
    pub(super) const fn forbidden(sentence: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, sentence }
    }

    /// Not now, or not here.
    pub(super) fn unavailable(sentence: &str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, sentence: sentence.to_owned() }
    }

    /// A parameter has a value that it cannot have.
    pub(super) fn parameter(name: &str, value: &str, expected: &str) -> Self {
        // Quoted as Rust would: a control character does not reach a terminal.
        Self::bad(format!("{name}={value:?}: expected {expected}"))
    }
}

impl IntoResponse for Complaint {
    fn into_response(self) -> Response {
        (self.status, format!("{}\n", self.sentence)).into_response()
    }
}

/// There is no such page.
pub(super) async fn unknown_path(uri: Uri) -> impl IntoResponse {
    let path = uri.path();
    let sentence = format!("there is no page {path:?}; the README lists those that there are\n");
    (StatusCode::NOT_FOUND, sentence)
}

/// There is such a page, but not for this method: what changes something takes POST alone, so
/// that no link or probe does it by mistake.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> impl IntoResponse {
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let (allowed, reason) = match is_read {
        true => ("POST", "changes something, and takes only POST"),
        false => ("GET, HEAD", "changes nothing, and takes only GET"),
    };
    let sentence = format!("{path} {reason}\n", path = uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed)], sentence)
}
