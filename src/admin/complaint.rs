//! What is answered to a request that cannot be met: a status and one sentence.

use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

use crate::limits::{ADMIN_HEAD_BYTES_MAX, ADMIN_HEADER_COUNT_MAX};

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

    /// What was sent is no request. `None`: it may have been the beginning of one.
    pub(super) fn unread(error: &hyper::Error) -> Option<Self> {
        let (status, sentence) = if error.is_parse_too_large() {
            let sentence = format!(
                "the head of the request has more than {ADMIN_HEAD_BYTES_MAX} bytes or \
                 {ADMIN_HEADER_COUNT_MAX} headers; send fewer"
            );
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)
        } else if error.is_parse() {
            let sentence = format!(
                "the admin server reads HTTP/1.1 without TLS, and this is none ({error}); ask it \
                 as `curl http://ADDRESS/` does"
            );
            (StatusCode::BAD_REQUEST, sentence)
        } else {
            return None;
        };
        Some(Self { status, sentence })
    }

    /// The answer where no library writes it.
    pub(super) fn on_the_wire(&self) -> String {
        let Self { status, sentence } = self;
        let length_bytes = sentence.len().saturating_add(1);
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-length: {length_bytes}\r\nconnection: close\r\n\r\n{sentence}\n"
        )
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
