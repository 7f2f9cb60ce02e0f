//! Problem details (RFC 9457): the one form of every response with a 4xx or 5xx status.
//!
//! A [`Problem`] knows neither its request's path nor its trace. `http::Edge` adds `instance` and
//! `trace_id` to every problem on its way out. So an answer that was decided elsewhere, or stored
//! under an idempotency key, gets those of the request that receives it.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use crate::{database, limits::BODY_LIMIT};

mod codes;

pub use codes::Code;

/// The media type of problems.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Faults that a problem lists at most; more would make the response many times its request.
pub const FAULTS_MAX: usize = 20;

/// Why a request was refused, or failed.
// Boxed, so that the error half of handlers' results stays one word wide.
pub struct Problem(Box<Inner>);

struct Inner {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// How many faults there are besides those in `errors`.
    omitted: usize,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Cause>,
}

/// What led to a problem: an extension of its response, for the log of the edge (`http/edge.rs`).
/// No client is told.
#[derive(Clone)]
pub(crate) struct Cause(pub(crate) Arc<dyn Error + Send + Sync>);

/// What is wrong with one part of the request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON pointer, such as `/items/0/quantity`.
    pub pointer: String,
    pub code: Code,
    pub detail: Cow<'static, str>,
}

impl Problem {
    /// The answer when what the path names does not exist.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// A problem of this code, with the code's status; `detail` is for people.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            status: code.status(),
            detail: detail.into(),
            errors: Vec::new(),
            omitted: 0,
            members: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// The answer when a path does not know the method, but those in `allowed`.
    pub fn wrong_method(allowed: &[&str]) -> Self {
        let allow = HeaderValue::try_from(allowed.join(", ")).expect("methods are plain words");
        Self::new(Code::MethodNotAllowed, "the path does not know this method")
            .header(header::ALLOW, allow)
    }

    /// A body larger than any that is taken.
    pub(crate) fn body_too_large() -> Self {
        Self::new(Code::BodyTooLarge, format!("the body is larger than {BODY_LIMIT} bytes"))
    }

    /// The problem of one body with several faults, of which `omitted` more are only counted; the
    /// first decides the code.
    ///
    /// # Panics
    ///
    /// If `entries` is empty.
    pub fn of(entries: Vec<FieldError>, omitted: usize) -> Self {
        let first = entries.first().expect("a problem has a cause");
        let name = first.pointer.trim_start_matches('/');
        let detail = match name {
            "" => first.detail.clone(),
            name => format!("{name}: {}", first.detail).into(),
        };
        let mut problem = Self::new(first.code, detail);
        problem.0.errors = entries;
        problem.0.omitted = omitted;
        problem
    }

    /// Names the part of the body that is at fault; beyond [`FAULTS_MAX`] parts are only counted.
    #[must_use]
    pub fn at(
        mut self,
        pointer: impl Into<String>,
        code: Code,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        if self.0.errors.len() < FAULTS_MAX {
            self.0.errors.push(FieldError { pointer: pointer.into(), code, detail: detail.into() });
        } else {
            self.0.omitted += 1;
        }
        self
    }

    /// Adds a member that only this kind of problem has, such as `payment`.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.push((member, value.into()));
        self
    }

    /// Adds a header to the answer, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says after how many seconds trying again makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The code, by which clients decide what to do.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The explanation for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The faults of single fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The headers that the response has besides its body's.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// Status and body, for an answer that is made before its response.
    pub fn to_parts(&self) -> (u16, Vec<u8>) {
        (self.0.status.as_u16(), serde_json::to_vec(self).expect("strings and values are JSON"))
    }

    /// The problem for a bare status of a router or library.
    pub(crate) fn for_status(status: StatusCode, path: &str) -> Self {
        match status.as_u16() {
            401 => Self::new(Code::Unauthenticated, "who calls is not known"),
            403 => Self::new(Code::Forbidden, "the caller may not do this"),
            404 => Self::not_found(format!("nothing is at {path}")),
            405 => Self::new(Code::MethodNotAllowed, "the path does not know this method"),
            413 => Self::body_too_large(),
            414 => Self::new(Code::UriTooLong, "the path is too long"),
            415 => Self::new(Code::UnsupportedMediaType, "the body has to be application/json"),
            422 => Self::new(Code::InvalidValue, "the body is not valid"),
            429 => Self::new(Code::RateLimited, "too many requests").retry_after(1),
            431 => Self::new(Code::HeadersTooLarge, "the headers are too large"),
            502..=504 => Self::new(Code::Overloaded, "no answer at present").retry_after(1),
            400..=499 => Self::new(Code::BadParameter, "the request is not valid"),
            _ => Self::internal(),
        }
    }

    /// The problem of a fault of ours. It says nothing about the cause, which is in the log.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "something went wrong here; the trace id leads to what")
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let inner = &self.0;
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("/problems/{}", inner.code.as_str()))?;
        map.serialize_entry("title", inner.code.title())?;
        map.serialize_entry("status", &inner.status.as_u16())?;
        map.serialize_entry("detail", &inner.detail)?;
        map.serialize_entry("code", &inner.code)?;
        if !inner.errors.is_empty() {
            map.serialize_entry("errors", &inner.errors)?;
        }
        if inner.omitted > 0 {
            map.serialize_entry("errors_omitted", &inner.omitted)?;
        }
        for (name, value) in &inner.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, body) = self.to_parts();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        response.headers_mut().extend(self.0.headers);
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {} {:?}", self.0.status, self.0.code, self.0.detail, self.0.errors)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.code, self.0.detail)
    }
}

impl Error for Problem {}

/// A database that is away, exhausted or failing over is overload to the caller; any other error is
/// our fault. The error itself is the problem's cause, which the edge logs and the response does
/// not contain.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let mut problem = if database::is_passing(&error) {
            let detail = "the database does not answer at present";
            Self::new(Code::Overloaded, detail).retry_after(1)
        } else {
            Self::internal()
        };
        problem.0.cause = Some(Cause(Arc::new(error)));
        problem
    }
}
