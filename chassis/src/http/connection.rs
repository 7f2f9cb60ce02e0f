//! One connection, HTTP/1.1 or HTTP/2, and what ends it: its client, its limits, or the server.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, header},
};
use hyper::{
    Request, Response, Version,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{
    edge::{Edge, Handler},
    limits::HttpServer,
    observed::ObservedStream,
    slots::{GuardedBody, Seat, Slot},
    tls::ServerTls,
};

/// Size of hyper's buffer, in which any head that we accept fits; hyper refuses larger ones.
const BUFFER_BYTES_MAX: usize = 32 * 1024;
/// What a client of HTTP/2 sends first (RFC 9113 §3.4), as far as it tells it from HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// Pause between two looks at a preface that has not come whole.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// Windows of HTTP/2: a stream's has room for any body that is taken, a connection's for some.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that was accepted just before the end may take to send something.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// How long the handshake of such a connection may take: two ways to the client and back.
const LAST_HANDSHAKE: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) server: HttpServer,
    pub(super) edge: Edge,
    pub(super) seat: Seat,
}

impl Connection {
    pub(super) async fn serve<S: Handler>(self, stream: TcpStream, handler: S) {
        // Without TCP_NODELAY a small response may wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended at once");
            return;
        }
        match &self.server.tls {
            None => {
                let Some(version) = self.version(&stream).await else { return };
                self.converse(stream, version, handler).await;
            }
            Some(tls) => {
                let Some((stream, is_http2)) = self.handshake(tls, stream).await else { return };
                let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
                self.converse(stream, version, handler).await;
            }
        }
    }

    /// Shakes hands within the time that the head of a request has; `None` if the client does not.
    async fn handshake(
        &self,
        tls: &ServerTls,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, bool)> {
        let HttpServer { limits, stop, .. } = &self.server;
        tokio::select! {
            biased;
            shaken = tls.accept(stream) => {
                shaken
                    .inspect_err(|error| {
                        let error = error as &dyn std::error::Error;
                        tracing::debug!(error, peer = %self.seat.slot.peer, "no TLS with a client");
                    })
                    .ok()
            }
            () = self.seat.slot.evicted.notified() => None,
            () = async { stop.cancelled().await; tokio::time::sleep(LAST_HANDSHAKE).await } => None,
            () = tokio::time::sleep(limits.header_timeout) => None,
        }
    }

    /// Answers requests until the connection ends.
    async fn converse<S, IO>(&self, stream: IO, version: Version, handler: S)
    where
        S: Handler,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let slot = Arc::clone(&self.seat.slot);
        let io = TokioIo::new(ObservedStream { stream, slot: Arc::clone(&slot) });
        let (edge, draining) = (self.edge.clone(), self.server.draining.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (edge, handler, draining) = (edge.clone(), handler.clone(), draining.clone());
            let (guard, peer) = (slot.enter(), slot.peer);
            async move {
                let is_http1 = request.version() <= Version::HTTP_11;
                request.extensions_mut().insert(ConnectInfo(peer));
                let mut response = edge.answer(handler, request.map(Body::new)).await;
                if is_http1 && draining.is_cancelled() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                let response = response.map(|body| GuardedBody { body, guard });
                Ok::<Response<GuardedBody>, Infallible>(response)
            }
        });
        let limits = &self.server.limits;
        if version == Version::HTTP_2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(u32::try_from(limits.streams_max).unwrap_or(u32::MAX))
                .max_pending_accept_reset_streams(limits.resets_max)
                .max_local_error_reset_streams(limits.resets_max)
                .max_header_list_size(u32::try_from(BUFFER_BYTES_MAX).unwrap_or(u32::MAX))
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(BUFFER_BYTES_MAX)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .serve_connection(io, service);
            self.drive(connection, version).await;
        } else {
            // The time-out of a head is ours (`Slot`): hyper's would also end idle connections.
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(BUFFER_BYTES_MAX)
                .serve_connection(io, service);
            self.drive(connection, version).await;
        }
    }

    /// What the client speaks, as its first bytes tell; `None` if it ends, or none come.
    async fn version(&self, stream: &TcpStream) -> Option<Version> {
        let HttpServer { limits, stop, .. } = &self.server;
        let mut first = [0; PREFACE.len()];
        let mut began = None;
        loop {
            let read = tokio::select! {
                biased;
                read = stream.peek(&mut first) => read.ok()?,
                () = self.seat.slot.evicted.notified() => return None,
                () = async { stop.cancelled().await; tokio::time::sleep(LAST_LOOK).await } => {
                    return None;
                }
                () = tokio::time::sleep(limits.idle_timeout) => return None,
            };
            let came = &first[..read];
            if came == PREFACE {
                return Some(Version::HTTP_2);
            }
            if came.is_empty() {
                return None;
            }
            if !PREFACE.starts_with(came) {
                return Some(Version::HTTP_11);
            }
            let began = *began.get_or_insert_with(tokio::time::Instant::now);
            if began.elapsed() > limits.header_timeout {
                return None;
            }
            tokio::time::sleep(PREFACE_PAUSE).await;
        }
    }

    /// Runs a connection to its end.
    async fn drive<C>(&self, connection: C, version: Version)
    where
        C: GracefulConnection,
        C::Error: std::error::Error + 'static,
    {
        let HttpServer { limits, draining, stop, .. } = &self.server;
        // HTTP/1 closes after its next answer; HTTP/2 says goodbye as soon as it can.
        let goodbye = if version == Version::HTTP_2 { draining } else { stop };
        let look_every = limits.header_timeout.min(limits.idle_timeout) / 2;
        let mut connection = pin!(connection);
        let mut is_ending = false;
        loop {
            tokio::select! {
                // What has come is read before the connection is told to end.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, "a connection ended");
                    }
                    return;
                }
                () = self.seat.slot.evicted.notified() => {
                    if self.seat.slot.is_idle() {
                        return;
                    }
                }
                () = goodbye.cancelled(), if !is_ending => {
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                }
                () = tokio::time::sleep(look_every) => {
                    let slot = &self.seat.slot;
                    let is_slow = self.is_slow(slot, version);
                    if is_slow || (is_ending && slot.is_idle()) {
                        tracing::debug!(peer = %slot.peer, is_slow, "a connection was closed");
                        return;
                    }
                    if !is_ending && slot.is_idle() && slot.quiet_for() > limits.idle_timeout {
                        connection.as_mut().graceful_shutdown();
                        is_ending = true;
                    }
                }
            }
        }
    }

    /// Whether the client takes too long to send a head, or to take its answer.
    fn is_slow(&self, slot: &Slot, version: Version) -> bool {
        let limits = &self.server.limits;
        let is_slow = if version == Version::HTTP_2 {
            // Bytes may be no request's. A window that stays closed stalls no socket: only that no
            // answer moves on shows it. Nor does one that a service is asked to wait for, but for
            // less long.
            slot.quiet_for() > limits.idle_timeout + limits.write_timeout
        } else {
            slot.head_takes() > limits.header_timeout
        };
        is_slow || slot.stalls_for() > limits.write_timeout
    }
}
