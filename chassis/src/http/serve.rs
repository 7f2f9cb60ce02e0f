//! The server: accepts connections within its limits, and ends them gracefully.
//!
//! The order of ending. First the drain is announced: connections are accepted as before, and every
//! answer says `Connection: close` (GOAWAY over HTTP/2), so that clients with pools of connections
//! go elsewhere, each after an answer. Then the server stops: it takes no new connections, what waits
//! to be accepted is still answered (`http/closing.rs`), idle connections are closed, and requests
//! under way end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout_at,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    closing::{self, LAST_HANDSHAKES},
    connection::Connection,
    edge::{Edge, Handler},
    limits::HttpServer,
    slots::Slots,
};

/// Pause after a failed accept, as when file handles run out: trying at once would only burn CPU
/// time.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves `handler` behind `edge` with the default limits until `stop`, then finishes the requests
/// in hand.
pub async fn serve<S: Handler>(
    listener: TcpListener,
    edge: Edge,
    handler: S,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let server = HttpServer { draining: stop.child_token(), stop, ..HttpServer::default() };
    server.serve(listener, edge, handler).await
}

impl HttpServer {
    /// Serves `handler` behind `edge` until the server is stopped, then finishes the requests in
    /// hand.
    pub async fn serve<S: Handler>(
        self,
        listener: TcpListener,
        edge: Edge,
        handler: S,
    ) -> anyhow::Result<()> {
        let connections = TaskTracker::new();
        let slots = Arc::new(Slots::new(self.connections_max()));
        let take = async |stream: TcpStream, peer| {
            let seat = slots.take(peer).await?;
            let connection = Connection { server: self.clone(), edge: edge.clone(), seat };
            connections.spawn(connection.serve(stream, handler.clone()));
            anyhow::Ok(())
        };
        loop {
            let (stream, peer) = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = accept(&listener) => accepted,
            };
            tokio::select! {
                // A connection in hand is answered, unless there is no room for it.
                biased;
                taken = take(stream, peer) => taken?,
                () = self.stop.cancelled() => break,
            }
        }
        if let Err(error) = closing::refuse_handshakes(&listener) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "clients that connect just now may be reset");
        }
        let last = tokio::time::Instant::now() + LAST_HANDSHAKES;
        while let Ok((stream, peer)) = timeout_at(last, accept(&listener)).await {
            take(stream, peer).await?;
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        Ok(())
    }

    /// As many connections as are set, or half of the files that the process may open: a gateway
    /// needs another connection for a request.
    fn connections_max(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
        self.limits.connections_max.min(usize::try_from(files).unwrap_or(usize::MAX)).max(1)
    }
}

/// The next connection. What fails is tried again: a listener has no error that lasts. Of failures
/// in a row only the first is logged.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut is_told = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "could not accept a connection");
                }
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}
