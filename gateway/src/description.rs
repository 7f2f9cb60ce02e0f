//! The description of the API: for machines, and as a page to try it on.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use chassis::http::raw_json;
use utoipa_swagger_ui::{Config, serve};

/// Made from what every service says of itself, by `make prepare`.
const DOCUMENT: &str = include_str!("../../docs/openapi.json");

const DOCUMENT_PATH: &str = "/openapi.json";
const PAGE_PATH: &str = "/docs";

/// The policy of the page: everything on it comes from here.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    ),
);

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new([DOCUMENT_PATH]).try_it_out_enabled(true).display_operation_id(true);
    Arc::new(config.persist_authorization(true).validator_url("none"))
});

/// What is at this path, if it is part of the description.
pub(crate) fn find(path: &str) -> Option<Response> {
    if path == DOCUMENT_PATH {
        return Some(raw_json(StatusCode::OK, DOCUMENT));
    }
    match path.strip_prefix(PAGE_PATH)? {
        // The page's files are beside it.
        "" => Some(Redirect::permanent("/docs/").into_response()),
        file => {
            let file = serve(file.strip_prefix('/')?, Arc::clone(&PAGE)).ok()??;
            let kind = HeaderValue::try_from(file.content_type).ok()?;
            let headers = [(header::CONTENT_TYPE, kind), POLICY];
            // The large ones are not copied: a client that reads nothing would hold the copy.
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            Some((headers, Body::from(bytes)).into_response())
        }
    }
}
