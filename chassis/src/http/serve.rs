//! The server: hyper with the limits that `axum::serve` lacks, and a graceful end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::edge::{Edge, Handler};

/// Limit for the head of a request: slow senders would hold their connections for good. It is also
/// how long an idle connection is kept, so a client that pools connections has to drop idle ones
/// sooner.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const HEADERS_MAX: usize = 64;
/// Size of hyper's buffer, in which any head that we accept fits; hyper refuses larger ones.
const BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Connections at once; more wait in the kernel's queue until one ends.
const CONNECTIONS_MAX: usize = 8_192;
/// Pause after a failed accept, as when file handles run out: trying at once would only burn CPU
/// time.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves `handler` behind `edge` until `stop`, then finishes the requests in hand.
pub async fn serve<S: Handler>(
    listener: TcpListener,
    edge: Edge,
    handler: S,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&room).acquire_owned() => permit?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = Connection { edge: edge.clone(), stop: stop.clone(), permit };
                connections.spawn(connection.serve(stream, handler.clone()));
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not accept a connection"
                );
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

struct Connection {
    edge: Edge,
    stop: CancellationToken,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve<S: Handler>(self, stream: TcpStream, handler: S) {
        // Without TCP_NODELAY a small response may wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended at once");
            return;
        }
        let edge = self.edge;
        let service = service_fn(move |request: Request<Incoming>| {
            let (edge, handler) = (edge.clone(), handler.clone());
            async move { Ok::<_, Infallible>(edge.answer(handler, request.map(Body::new)).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
        }
        drop(self.permit);
    }
}
