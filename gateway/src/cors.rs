//! Cross-origin requests (CORS): which web pages' scripts may call the shop.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember that it may.
const MAX_AGE: Duration = Duration::from_hours(1);
/// What clients of the contract send.
const REQUEST_HEADERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
];
/// What they may read.
const RESPONSE_HEADERS: [HeaderName; 7] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("idempotency-replayed"),
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("traceresponse"),
    HeaderName::from_static("x-request-id"),
];

/// The layer that lets `origins` in; none if there are none. `*` is every origin, which is safe:
/// who calls is told by a token that a page has to have, not by a cookie that it has anyway.
pub(crate) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let layer = CorsLayer::new().allow_origin(allowed).allow_methods(methods);
    let layer = layer.allow_headers(REQUEST_HEADERS).expose_headers(RESPONSE_HEADERS);
    Some(layer.max_age(MAX_AGE))
}
