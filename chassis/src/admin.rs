//! The private listener: whether the process is alive and ready, and its metrics.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context as _;
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
    metrics::{Probes, describe_metrics},
    telemetry,
};

/// How often the samples of histograms, which pile up in memory, are aggregated.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder of metrics for a program that is no service, and binds a private listener
/// for them. The future serves it until it is dropped.
pub async fn show_metrics(
    name: &'static str,
    address: SocketAddr,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address}"))?;
    let metrics = telemetry::install_metrics()?;
    describe_metrics();
    let health = Health::new(name, Arc::new(AtomicBool::new(true)), CancellationToken::new());
    Ok(serve(listener, health, metrics, Probes::default()))
}

/// Serves until the future is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: PrometheusHandle,
    probes: Probes,
) -> anyhow::Result<()> {
    let edge = Edge::new(health.clone()).uncounted();
    let handler = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(health)
        .route("/metrics", get(render).with_state((metrics.clone(), probes)));
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

async fn render(State((metrics, probes)): State<(PrometheusHandle, Probes)>) -> Response {
    probes.measure();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}
