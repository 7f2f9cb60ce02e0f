//! Responses in the forms of docs/contracts/http.md: a resource with its tag, a list, and an answer
//! that was made elsewhere.

use std::fmt::Write as _;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::headers::not_modified;
use crate::{
    health::HealthReport,
    problem::{self, Problem},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Marks responses, by an extension, that pass the edge unchanged: the health, and those that
/// another of our services has finished.
#[derive(Clone, Copy, Debug)]
pub struct FinishedResponse;

/// The result of a handler.
pub type HttpResult = Result<Response, Problem>;

/// A health report as a response: 503 if something is wrong. It is no problem document, because its
/// readers look at `status`.
pub(crate) fn health(report: &HealthReport) -> Response {
    let status = if report.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = json(status, report);
    response.extensions_mut().insert(FinishedResponse);
    response
}

/// `body` as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => raw_json(status, bytes),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "could not write an answer");
            Problem::internal().into_response()
        }
    }
}

/// A body that is JSON already.
pub fn raw_json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A single resource with its `ETag`; 304 when the caller has it already.
pub fn resource(headers: &HeaderMap, body: &impl Serialize) -> Response {
    // If the body cannot be serialized, `json` reports that.
    let Ok(bytes) = serde_json::to_vec(body) else { return json(StatusCode::OK, body) };
    let etag = etag_of(&bytes);
    let mut response = if not_modified(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        raw_json(StatusCode::OK, bytes)
    };
    let etag = HeaderValue::try_from(etag).expect("a quoted hexadecimal number");
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// The quoted entity tag of a body: it changes when the body does, and only then.
pub fn etag_of(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest[..12].iter().fold(String::from("\""), |mut tag, byte| {
        write!(tag, "{byte:02x}").expect("text takes what is written");
        tag
    }) + "\""
}

#[derive(Serialize)]
struct List<'a, T> {
    items: &'a [T],
    next_cursor: Option<String>,
}

/// One page of a list, without a cursor on the last.
pub fn list<T: Serialize>(items: &[T], next_cursor: Option<String>) -> Response {
    json(StatusCode::OK, &List { items, next_cursor })
}

/// The response for an answer that was made elsewhere (in a batch, or stored under an idempotency
/// key); its status decides the media type.
pub fn answer<N: AsRef<str>>(
    status: u16,
    headers: impl IntoIterator<Item = (N, String)>,
    body: Vec<u8>,
) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = raw_json(status, body);
    if status.is_client_error() || status.is_server_error() {
        response.headers_mut().insert(header::CONTENT_TYPE, problem::MEDIA_TYPE);
    }
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_ref());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
