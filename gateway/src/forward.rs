//! A request on its way to a service, and the answer on its way back.
//!
//! A request is rebuilt, not passed on raw: headers that mean one connection end here, and the
//! length is that of the body which was read.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, header, uri::PathAndQuery},
    response::Response,
};
use chassis::{
    Problem, TraceParent, body,
    http::{FinishedResponse, HttpResult, RequestId, prefer_wait},
    problem,
};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    forwarded::TrustedProxies,
    instance::{Instance, UpstreamBody},
    routes::Service,
    upstreams::{Patience, Upstreams},
};

/// Headers that mean something for the path that they were sent to, and for no other.
const OF_ONE_PATH: [HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    HeaderName::from_static("prefer"),
];
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request on its way to a service.
pub struct UpstreamRequest {
    pub method: Method,
    pub path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
    /// How long the caller asks to wait, or the service waits by itself, on top of the usual
    /// timeout.
    wait: Duration,
}

impl UpstreamRequest {
    /// Reads a request whole. Bodies are small, and a request that was read whole can be sent to a
    /// second instance when the first cannot be reached; and a slow sender costs no service time.
    pub async fn read(request: Request, proxies: &TrustedProxies) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let wait = prefer_wait(&parts.headers);
        let wait = wait.unwrap_or_else(|| own_wait(&parts.method, parts.uri.path()));
        let mut headers = onward(&parts.headers, &parts.extensions);
        match peer(&parts.extensions) {
            Some(peer) => proxies.tell(peer, &mut headers),
            None => proxies.forget(&mut headers),
        }
        let body = if length_is_zero(&parts.headers, &parts.method) {
            Bytes::new()
        } else {
            body::collect(body).await?
        };
        let path = parts.uri.into_parts().path_and_query;
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        Ok(Self { method: parts.method, path, headers, body, wait })
    }

    /// The headers that are passed on.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A request of the same caller for another path. What the caller asks about the first one (its
    /// conditions, a wait) is not asked again.
    #[must_use]
    pub fn elsewhere(&self, path: PathAndQuery) -> Self {
        let (mut headers, body) = (self.headers.clone(), Bytes::new());
        for name in OF_ONE_PATH {
            headers.remove(name);
        }
        Self { method: Method::GET, path, headers, body, wait: Duration::ZERO }
    }

    /// The body, if this is a POST.
    pub fn posted(&self) -> Option<&[u8]> {
        (self.method == Method::POST).then_some(&*self.body)
    }

    fn request(&self, to: &Instance) -> hyper::Request<Full<Bytes>> {
        let mut request = to.request(self.path.clone(), self.body.clone());
        *request.method_mut() = self.method.clone();
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(header::HOST, to.host());
        request
    }
}

/// The address at the other end of the connection, if there is a connection.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

/// How long a payment or a refund waits for its outcome where the caller names no time.
const OUTCOME_WAIT: Duration = Duration::from_secs(10);

/// How long a service holds a request by itself, although the caller does not ask it to.
fn own_wait(method: &Method, path: &str) -> Duration {
    let refund = path.starts_with("/v1/payments/") && path.ends_with("/refund");
    if method == Method::POST && (path == "/v1/payments" || refund) {
        return OUTCOME_WAIT;
    }
    Duration::ZERO
}

/// Sends requests on to services, each with a deadline.
pub struct Forwarder {
    pub upstreams: Upstreams,
    pub patience: Duration,
}

impl Forwarder {
    /// The service's answer, ready for the caller.
    pub async fn forward(&self, service: Service, asked: &UpstreamRequest) -> HttpResult {
        Ok(Self::pass_on(self.ask(service, asked).await?))
    }

    /// A service's answer, without the headers of the gateway's connection to the service.
    pub fn pass_on(response: hyper::Response<UpstreamBody>) -> Response {
        let (mut parts, body) = response.into_parts();
        strip(&mut parts.headers);
        let problem = parts.headers.get(header::CONTENT_TYPE) == Some(&problem::MEDIA_TYPE);
        if problem {
            // The service's problem has path and trace already, and they are the same for the
            // gateway.
            parts.extensions.insert(FinishedResponse);
        }
        Response::from_parts(parts, Body::new(body))
    }

    /// The service's answer as JSON of at most `max` bytes, and how many it took; or its refusal,
    /// ready for the caller. Where it is neither, the problem that `unclear` makes of its status.
    pub async fn ask_json<T: DeserializeOwned>(
        &self,
        service: Service,
        asked: &UpstreamRequest,
        max: usize,
        unclear: impl FnOnce(StatusCode) -> Problem,
    ) -> Result<Result<(T, usize), Response>, Problem> {
        let response = self.ask(service, asked).await?;
        let status = response.status();
        if status.is_server_error() {
            return Err(unclear(status));
        }
        if !status.is_success() {
            return Ok(Err(Self::pass_on(response)));
        }
        let body = to_bytes(Body::new(response.into_body()), max).await.ok();
        let read = body.and_then(|body| Some((serde_json::from_slice(&body).ok()?, body.len())));
        read.map(Ok).ok_or_else(|| unclear(status))
    }

    /// The service's answer as it comes, with the headers of its connection.
    pub async fn ask(
        &self,
        service: Service,
        asked: &UpstreamRequest,
    ) -> Result<hyper::Response<UpstreamBody>, Problem> {
        let patience =
            Patience { limit: self.patience + asked.wait, is_safe: asked.method.is_safe() };
        self.upstreams.send(service, patience, |to| asked.request(to)).await
    }
}

/// The headers that are passed on: none of the connection, and the gateway's own for trace and
/// request id.
fn onward(headers: &HeaderMap, extensions: &Extensions) -> HeaderMap {
    let mut onward = HeaderMap::with_capacity(headers.keys_len() + 4);
    for (name, value) in headers {
        if !is_hop(name) && *name != header::HOST && *name != header::CONTENT_LENGTH {
            onward.append(name.clone(), value.clone());
        }
    }
    drop_named(headers, &mut onward);
    if let Some(trace) = extensions.get::<TraceParent>() {
        onward.insert(TRACEPARENT, trace.header());
    }
    if let Some(RequestId(id)) = extensions.get() {
        onward.insert(X_REQUEST_ID, id.clone());
    }
    onward
}

/// Removes the headers of the service's connection from its answer.
fn strip(headers: &mut HeaderMap) {
    if let Some(connection) = headers.remove(header::CONNECTION) {
        let named = HeaderMap::from_iter([(header::CONNECTION, connection)]);
        drop_named(&named, headers);
    }
    for name in HOPS {
        headers.remove(name);
    }
}

/// Removes the headers that `Connection` names.
fn drop_named(of: &HeaderMap, from: &mut HeaderMap) {
    for value in of.get_all(header::CONNECTION) {
        for name in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if let Ok(name) = HeaderName::try_from(name) {
                from.remove(name);
            }
        }
    }
}

/// The headers of one connection (RFC 9110 §7.6.1), and `Expect`, which the gateway has met itself.
const HOPS: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

fn is_hop(name: &HeaderName) -> bool {
    HOPS.contains(&name.as_str())
}

/// Whether the request has no body to read.
fn length_is_zero(headers: &HeaderMap, method: &Method) -> bool {
    let announced = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.contains_key(header::CONTENT_LENGTH);
    !announced && (method == Method::GET || method == Method::HEAD || method == Method::DELETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_and_refunds_have_the_time_that_they_wait_by_themselves() {
        let wait = |method: &Method, path| own_wait(method, path).as_secs();

        assert_eq!(wait(&Method::POST, "/v1/payments"), 10);
        assert_eq!(wait(&Method::POST, "/v1/payments/1/refund"), 10);
        assert_eq!(wait(&Method::GET, "/v1/payments"), 0);
        assert_eq!(wait(&Method::POST, "/v1/orders"), 0);
    }
}
