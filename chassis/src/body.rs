//! Request bodies, read strictly: syntax first, then fields, and all faults are reported at once.
//!
//! ```
//! use chassis::body;
//!
//! let order = body::read(br#"{"sku":"mug","quantity":2}"#, |fields| {
//!     let sku = fields.text("sku", 64);
//!     let quantity = fields.integer("quantity", 1..=10_000);
//!     // Every field is asked for before the first `?`, so that every fault is found.
//!     Some((sku?.to_owned(), quantity?))
//! });
//! assert_eq!(order.unwrap(), ("mug".to_owned(), 2));
//! ```

use std::{borrow::Cow, fmt::Display, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{
    limits::BODY_LIMIT,
    problem::{Code, Problem},
};

mod asked;
mod fields;
mod json;
mod place;
mod recording;

pub use asked::Format;
pub use fields::{Amount, Fields, ParseResult, read_object};
pub use json::{Json, parse};
pub use recording::{BodyRecording, record};

/// Limit for the arrival of a body: slow senders would hold their handlers.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a text that `error` says cannot be parsed.
pub fn invalid_value(error: impl Display) -> (Code, Cow<'static, str>) {
    (Code::InvalidValue, error.to_string().into())
}

/// Reads a body that has to be an object: `read` asks for its fields, and returns `None` after it
/// noted a fault. A field that `read` does not ask for is refused, with 422 `unknown_field`.
pub fn read<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    read_object(&parse(bytes)?, read)
}

/// The bytes of a JSON body within the limits; a missing or empty body is empty.
#[derive(Clone, Debug)]
pub struct JsonBody(pub Bytes);

impl JsonBody {
    /// Reads the body; see [`read`].
    pub fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
        self::read(&self.0, read)
    }

    /// Reads the body; a missing one counts as `{}`.
    pub fn read_optional<T>(
        &self,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Result<T, Problem> {
        self::read(if self.0.is_empty() { b"{}" } else { &self.0 }, read)
    }
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_json = is_json(&parts.headers);
        let bytes = collect(body).await?;
        if is_json == Some(true) || (bytes.is_empty() && is_json.is_none()) {
            return Ok(Self(bytes));
        }
        Err(Problem::new(Code::UnsupportedMediaType, "the body has to be application/json"))
    }
}

/// The whole body, unless it is too large or too slow.
pub async fn collect(body: Body) -> Result<Bytes, Problem> {
    let whole = Limited::new(body, BODY_LIMIT).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::body_too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::MalformedJson, "the body ended too early")),
        Err(_) => Err(Problem::new(Code::MalformedJson, "the body did not come within 10 s")),
    }
}

/// Whether the media type is JSON; `None` when there is none.
fn is_json(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let suffixed = kind.starts_with("application/") && kind.ends_with("+json");
    Some(kind == "application/json" || suffixed)
}
