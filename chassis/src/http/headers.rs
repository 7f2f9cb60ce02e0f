//! The request headers that have a meaning here: conditions, preferences, idempotency keys.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
};
use sha2::{Digest, Sha256};

use crate::{
    body,
    problem::{Code, Problem},
};

/// Longest time for which a client may ask to wait.
const WAIT_SECONDS_MAX: u64 = 30;
const KEY_CHARS_MAX: usize = 255;

/// Whether the caller's `If-None-Match` names `etag`.
pub fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    names(headers, &header::IF_NONE_MATCH, etag, true)
}

/// Refuses with 412 `stale` when the caller's `If-Match` does not name `etag`.
pub fn if_match(headers: &HeaderMap, etag: &str) -> Result<(), Problem> {
    if names(headers, &header::IF_MATCH, etag, false) {
        return Ok(());
    }
    if_nothing_matches(headers)
}

/// Like [`if_match`] for a resource that does not exist: no `If-Match` can match it, not even `*`.
pub fn if_nothing_matches(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(());
    }
    Err(Problem::new(Code::Stale, "it has changed since the version that If-Match names"))
}

/// Whether a header names `etag`. Weak tags match for reading only (RFC 9110 §13.1).
fn names(headers: &HeaderMap, name: &HeaderName, etag: &str, weak: bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = if weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
        tag == "*" || tag == etag
    })
}

/// How long the caller wants to wait for an outcome: `Prefer: wait=N`, at most 30 s. A malformed
/// preference is ignored.
pub fn prefer_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(HeaderName::from_static("prefer")).iter();
    let preferences = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    let wait = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let digits = value.trim().trim_matches('"');
        let fits = name.trim().eq_ignore_ascii_case("wait")
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Digits that do not fit a number mean more than the maximum.
        fits.then(|| digits.parse().unwrap_or(WAIT_SECONDS_MAX))
    });
    wait.map(|seconds| Duration::from_secs(seconds.min(WAIT_SECONDS_MAX))).next()
}

/// The id of a request, sent by the client or made at the edge; an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// [`prefer_wait`] as an extractor.
#[derive(Clone, Copy, Debug)]
pub struct Prefer(pub Option<Duration>);

impl Prefer {
    /// The response header that says which preference was applied.
    pub fn applied(self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::try_from(format!("wait={}", self.0?.as_secs())).ok()?;
        Some((HeaderName::from_static("preference-applied"), value))
    }
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(prefer_wait(&parts.headers)))
    }
}

/// The request's `Idempotency-Key`, if it has one: 1–255 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct IdempotencyKeyHeader(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKeyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut keys = parts.headers.get_all(HeaderName::from_static("idempotency-key")).iter();
        let Some(key) = keys.next() else { return Ok(Self(None)) };
        let bytes = key.as_bytes();
        let fits = keys.next().is_none()
            && (1..=KEY_CHARS_MAX).contains(&bytes.len())
            && bytes.iter().all(u8::is_ascii_graphic);
        let key = key.to_str().ok().filter(|_| fits).ok_or_else(|| {
            Problem::new(
                Code::BadHeader,
                "an Idempotency-Key has 1 to 255 visible ASCII characters, and there is one",
            )
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

/// The hash of a request that is stored with its idempotency key: of method, path, and the body in
/// its canonical form, so that white space and the order of members make no difference.
pub fn fingerprint(method: &Method, path: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), path.as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    match body::parse(body) {
        Ok(json) => hash.update(json.canonical()),
        Err(_) => hash.update(body),
    }
    hash.finalize().into()
}
