//! Logs to standard error, metrics for Prometheus, and traces over OTLP if an endpoint is set.

use std::{io, panic, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{
    Context as OtelContext, KeyValue, global,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use proto::trace_context::{of_span_context, to_span_context};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{
    config::{LogFormat, Settings},
    log,
    spans::{Ids, LinkedSampler},
    trace::TraceParent,
};

/// Target of the spans that are made for each request or message. They are at debug level and made
/// only when traces are sent, because thousands of them a second cost more than the requests
/// themselves.
pub(crate) const REQUESTS: &str = "shop::request";
/// Buckets of all histograms in seconds, the same everywhere so that figures compare: 5 ms to 10 s,
/// and two more for what is fast.
const BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of histograms that count the items of a batch: their names end in `_batch`.
const SIZES: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];
/// Limit of the last flush: a collector that is away holds the end of the process up no longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The exporter of traces, which has to be flushed at the end.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    pub(crate) async fn flush(self) {
        let Some(provider) = self.0 else { return };
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not send the last traces"
            );
        }
    }
}

/// Starts the log and, if an endpoint is set, the export of traces. Call it inside the runtime.
pub(crate) fn start(name: &'static str, settings: &Settings) -> anyhow::Result<Telemetry> {
    let filter: EnvFilter = settings.log.parse().context("could not read the log filter")?;
    let lines = log::layer(settings.log_format, io::stderr).with_filter(filter);
    if settings.log_format == LogFormat::Json {
        panic::set_hook(Box::new(log::panicked));
    }
    let provider = provider(name, settings)?;
    if let Some(provider) = &provider {
        global::set_tracer_provider(provider.clone());
    }
    let spans = provider.as_ref().map(|provider| {
        let wanted = Targets::new().with_default(Level::INFO).with_target(REQUESTS, Level::DEBUG);
        tracing_opentelemetry::layer().with_tracer(provider.tracer(name)).with_filter(wanted)
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(spans)
        .try_init()
        .context("could not install the log")?;
    Ok(Telemetry(provider))
}

/// The exporter; `None` if no endpoint is set. What it cannot send in time it drops: telemetry
/// never holds up work.
fn provider(name: &'static str, settings: &Settings) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = settings.otlp_endpoint.as_deref() else { return Ok(None) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("could not make the exporter of traces")?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(LinkedSampler::new(settings.trace_sample_ratio))
        .with_id_generator(Ids::default())
        .with_resource(
            Resource::builder()
                .with_service_name(name)
                .with_attribute(KeyValue::new("service.instance.id", settings.instance()))
                .build(),
        )
        .build();
    Ok(Some(provider))
}

/// Installs the process's metrics recorder.
pub(crate) fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(|it| it.set_buckets_for_metric(Matcher::Suffix("_batch".to_owned()), &SIZES))
        .and_then(PrometheusBuilder::install_recorder)
        .context("could not install the metrics recorder")
}

/// The trace that `span` belongs to, as a continuation of `parent`. Without an exporter there is no
/// such span, and the trace is carried on all the same.
pub(crate) fn join(span: &Span, parent: Option<TraceParent>) -> TraceParent {
    let alone = || parent.map_or_else(TraceParent::start, TraceParent::child);
    if span.is_disabled() {
        return alone();
    }
    if let Some(parent) = parent {
        let remote = to_span_context(&parent.to_bytes());
        // This fails for a span that is not exported; the trace then goes on without it.
        drop(span.set_parent(OtelContext::new().with_remote_span_context(remote)));
    }
    let context = span.context();
    of_span_context(context.span().span_context())
        .map_or_else(alone, |own| TraceParent::from_bytes(&own))
}
