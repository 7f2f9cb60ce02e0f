//! The edge: what every request passes before and after its handler. A trace and a request id, the
//! body limit, `/health`, a count, and the form of a problem for whatever goes wrong.

use std::{
    convert::Infallible,
    error::Error,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;
use tracing::{Instrument, field};

use super::{
    access::{AccessLine, AccessLog},
    answers::{self, FinishedResponse},
    headers::RequestId,
    limits::ServerLimits,
    paths::decoded_path,
};
use crate::{
    health::Health,
    limits::BODY_LIMIT,
    log, metrics,
    problem::{self, Cause, Code, Problem},
    telemetry,
    trace::{TraceParent, random_hex},
};

/// A problem body larger than this is not ours: it is replaced by an empty one.
const PROBLEM_BYTES_MAX: usize = 1024 * 1024;
const REQUEST_ID_CHARS_MAX: usize = 128;

const HEALTH: &str = "/health";
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Answers requests: an [`axum::Router`], or any service that never fails.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request; a failure is an answer, too.
    fn answer(&mut self, request: Request) -> impl Future<Output = Response> + Send;
}

impl<S> Handler for S
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn answer(&mut self, request: Request) -> Response {
        // A router is always ready, and so are the handlers behind it.
        match self.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The edge of one process. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    health: Health,
    is_counted: bool,
    limits: ServerLimits,
    access: AccessLog,
    cors: Option<CorsLayer>,
}

impl Edge {
    /// An edge that serves this health at `/health`.
    pub fn new(health: Health) -> Self {
        let (limits, access) = (ServerLimits::default(), AccessLog::of(0));
        Self(Arc::new(Inner { health, is_counted: true, limits, access, cors: None }))
    }

    /// The same edge with other limits for heads.
    #[must_use]
    pub fn limited(self, limits: ServerLimits) -> Self {
        Self(Arc::new(Inner { limits, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same edge that logs so many of a hundred requests, a line each.
    #[must_use]
    pub fn logged(self, percent: u8) -> Self {
        let access = AccessLog::of(percent);
        Self(Arc::new(Inner { access, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same edge that tells browsers which pages of other origins may call. What is refused
    /// before the handler, and a handler's panic, are for those pages to read as well.
    #[must_use]
    pub fn cross_origin(self, cors: Option<CorsLayer>) -> Self {
        Self(Arc::new(Inner { cors, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same edge without counts, for listeners whose requests are not work.
    #[must_use]
    pub(crate) fn uncounted(self) -> Self {
        Self(Arc::new(Inner { is_counted: false, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Answers one request: everything from its arrival to its response.
    pub async fn answer<S: Handler>(&self, handler: S, mut request: Request) -> Response {
        let started = Instant::now();
        let parent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let parent = parent.and_then(TraceParent::parse);
        let span = tracing::debug_span!(
            target: telemetry::REQUESTS,
            "http.request",
            otel.kind = "server",
            otel.name = field::Empty,
            http.route = field::Empty,
            http.request.method = %request.method(),
            url.path = request.uri().path(),
            http.response.status_code = field::Empty,
        );
        // Of routes there are few: spans and metrics are named after them.
        let route = proto::api::find(request.uri().path()).map(|route| route.path);
        let method = request.method().clone();
        if let Some(route) = route.filter(|_| !span.is_disabled()) {
            span.record("otel.name", format!("{method} {route}"));
            span.record("http.route", route);
        }
        let trace = telemetry::join(&span, parent);
        let id = request_id(request.headers());
        request.extensions_mut().insert(trace);
        request.extensions_mut().insert(RequestId(id.clone()));
        // For the responses that name the path, which are few; a URI is cheap to clone.
        let uri = request.uri().clone();
        let line = self.0.access.takes_next().then(|| AccessLine::of(&request, trace, started));

        let answer = log::within(trace, self.respond(handler, request));
        let response =
            if span.is_disabled() { answer.await } else { answer.instrument(span.clone()).await };
        if let Some(Cause(cause)) = response.extensions().get() {
            let (error, status) = (&**cause as &dyn Error, response.status());
            let (path, trace_id) = (uri.path(), trace.trace_id());
            if status != StatusCode::SERVICE_UNAVAILABLE {
                let status = status.as_u16();
                tracing::error!(error, status, path, trace_id, "a request failed in the database");
            } else if is_worth_a_line(started) {
                tracing::warn!(error, path, trace_id, "the database does not answer requests");
            }
        }
        let mut response = finish(response, uri.path(), trace).await;
        response.headers_mut().insert(X_REQUEST_ID, id);
        response.headers_mut().insert(TRACERESPONSE, trace.header());
        span.record("http.response.status_code", response.status().as_u16());
        // Health checks are not counted as requests.
        if uri.path() == HEALTH {
            return response;
        }
        if self.0.is_counted {
            metrics::request(&method, route, response.status(), started.elapsed());
        }
        match line {
            None => response,
            Some(line) => line.follow(response),
        }
    }

    async fn respond<S: Handler>(&self, handler: S, request: Request) -> Response {
        let Some(cors) = &self.0.cors else { return self.within(handler, request).await };
        let within = service_fn(|request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(self.within(handler, request).await) }
        });
        match cors.layer(within).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn within<S: Handler>(&self, mut handler: S, request: Request) -> Response {
        if request.uri().path() == HEALTH {
            return self.health(request.method()).await;
        }
        if let Some(problem) = self.too_large(&request) {
            // The body is not read: on a connection that was kept, it would be taken for the next
            // request.
            let close = HeaderValue::from_static("close");
            return problem.header(header::CONNECTION, close).into_response();
        }
        if decoded_path(request.uri().path()).is_none() {
            return Problem::not_found("nothing is at this path").into_response();
        }
        let mut answer = pin!(handler.answer(request));
        std::future::poll_fn(|context| {
            // A panic is a bug of one handler; other requests go on.
            let polled =
                std::panic::catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
            polled.unwrap_or_else(|_| {
                tracing::error!("a handler panicked");
                Poll::Ready(Problem::internal().into_response())
            })
        })
        .await
    }

    /// What is too large about a request, as its head alone shows.
    fn too_large(&self, request: &Request) -> Option<Problem> {
        let limits = &self.0.limits;
        let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
        if path.len() > limits.uri_bytes_max {
            let max = limits.uri_bytes_max;
            let detail = format!("path and query are longer than {max} bytes");
            return Some(Problem::new(Code::UriTooLong, detail));
        }
        let headers = request.headers();
        let bytes: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() > limits.headers_max || bytes > limits.header_bytes_max {
            let (count, bytes) = (limits.headers_max, limits.header_bytes_max);
            let detail = format!("there are more than {count} headers, or {bytes} bytes of them");
            return Some(Problem::new(Code::HeadersTooLarge, detail));
        }
        let is_large = length(headers).is_some_and(|length| length > BODY_LIMIT);
        is_large.then(Problem::body_too_large)
    }

    async fn health(&self, method: &Method) -> Response {
        if method == Method::GET || method == Method::HEAD {
            return answers::health(&self.0.health.report().await);
        }
        let allow = (header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        ([allow], StatusCode::METHOD_NOT_ALLOWED).into_response()
    }
}

/// Whether a failure that passes by itself, of a request that began then, is logged: one in a
/// second, because while the database is away every request meets it.
fn is_worth_a_line(began: Instant) -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = last.is_none_or(|last| began > last + Duration::from_secs(1));
    if is_due {
        *last = Some(began);
    }
    is_due
}

/// The length of the body that a request announces.
fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    headers.get(X_REQUEST_ID).filter(fits).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(random_hex()).expect("hexadecimal digits are a header's value")
    })
}

/// Turns every failure into a problem, and adds the request's path and trace to every problem.
async fn finish(response: Response, path: &str, trace: TraceParent) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<FinishedResponse>().is_some()
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = if parts.headers.get(header::CONTENT_TYPE) == Some(&problem::MEDIA_TYPE) {
        to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default().to_vec()
    } else {
        // A router or an extractor refused the request, with a body of its own form.
        let problem = Problem::for_status(status, path);
        parts.headers.insert(header::CONTENT_TYPE, problem::MEDIA_TYPE);
        for (name, value) in problem.headers() {
            parts.headers.entry(name).or_insert_with(|| value.clone());
        }
        parts.status = problem.status();
        problem.to_parts().1
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(placed(body, path, trace)))
}

/// Adds `instance` and `trace_id` before the closing brace of a problem.
fn placed(mut body: Vec<u8>, path: &str, trace: TraceParent) -> Vec<u8> {
    if body.pop() != Some(b'}') {
        return body;
    }
    body.extend_from_slice(b",\"instance\":");
    serde_json::to_writer(&mut body, path).expect("text is JSON, and a vector takes it");
    body.extend_from_slice(b",\"trace_id\":\"");
    body.extend_from_slice(trace.trace_id().as_bytes());
    body.extend_from_slice(b"\"}");
    body
}
