//! The access log: one line for a request, once its answer's body has gone.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode, Uri},
    response::Response,
};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

use super::headers::RequestId;
use crate::trace::TraceParent;

/// The address of the client that a request came from, perhaps through proxies: an extension of a
/// response, for its line in the log. Without it, the line has the connection's address.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Which requests are logged.
#[derive(Debug)]
pub(super) struct AccessLog {
    percent: u64,
    seen: AtomicU64,
}

impl Clone for AccessLog {
    fn clone(&self) -> Self {
        Self { percent: self.percent, seen: AtomicU64::new(0) }
    }
}

impl AccessLog {
    pub(super) fn of(percent: u8) -> Self {
        Self { percent: percent.min(100).into(), seen: AtomicU64::new(0) }
    }

    /// Whether the next request is logged: so many of each hundred, spread evenly.
    pub(super) fn takes_next(&self) -> bool {
        if self.percent == 0 {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) % 100;
        (seen + 1) * self.percent / 100 > seen * self.percent / 100
    }
}

/// What the log says of a request.
pub(super) struct AccessLine {
    method: Method,
    uri: Uri,
    peer: Option<IpAddr>,
    request_id: Option<RequestId>,
    trace: TraceParent,
    started: Instant,
}

impl AccessLine {
    pub(super) fn of(request: &Request, trace: TraceParent, started: Instant) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: peer.map(|peer| peer.0.ip()),
            request_id: request.extensions().get().cloned(),
            trace,
            started,
        }
    }

    /// Writes the line when the body of `response` has gone.
    pub(super) fn follow(mut self, response: Response) -> Response {
        if let Some(ClientAddress(address)) = response.extensions().get() {
            self.peer = Some(*address);
        }
        let status = response.status();
        let logged = |body| LoggedBody { body, line: self, status, bytes: 0, is_whole: false };
        response.map(|body| Body::new(logged(body)))
    }
}

/// A body that writes its request's line when it has gone, or its client has.
struct LoggedBody {
    body: Body,
    line: AccessLine,
    status: StatusCode,
    bytes: usize,
    is_whole: bool,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, Bytes::len);
                self.is_whole = self.body.is_end_stream();
            }
            Poll::Ready(None) => self.is_whole = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let line = &self.line;
        let ms = u64::try_from(line.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let id = line.request_id.as_ref().and_then(|id| id.0.to_str().ok()).unwrap_or_default();
        // Neither query nor headers: they may hold what is nobody's business.
        tracing::info!(
            method = %line.method,
            path = line.uri.path(),
            status = self.status.as_u16(),
            ms,
            bytes = self.bytes,
            client = line.peer.map(tracing::field::display),
            request_id = id,
            trace_id = line.trace.trace_id(),
            whole = self.is_whole || self.body.is_end_stream(),
            "request"
        );
    }
}
