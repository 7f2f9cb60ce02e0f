//! The private listener: whether the process is alive and ready, and its metrics.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    http::{self, Edge},
};

/// How often the samples of histograms, which pile up in memory, are aggregated.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves until the future is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: PrometheusHandle,
) -> anyhow::Result<()> {
    let edge = Edge::new(health.clone()).uncounted();
    let handler = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(health)
        .route("/metrics", get(render).with_state(metrics.clone()));
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            metrics.run_upkeep();
        }
    };
    tokio::select! {
        ended = http::serve(listener, edge, handler, CancellationToken::new()) => ended,
        () = upkeep => Ok(()),
    }
}

async fn ready(State(health): State<Health>) -> Response {
    http::health(&health.readiness().await)
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}
