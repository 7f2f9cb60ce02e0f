//! The trace of an order, as Jaeger has it, for pages that may not ask Jaeger themselves.

use std::collections::HashMap;

use axum::http::{StatusCode, uri::PathAndQuery};
use chassis::{
    Code, Problem,
    clock::Timestamp,
    http::{HttpResult, Params, json},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    forward::{Forwarder, UpstreamRequest},
    observers::Observer,
    routes::Service,
};

/// Larger than any saga.
const SAGA_BYTES_MAX: usize = 64 * 1024;

/// The trace of an order's way through the shop, as far as it was recorded and has arrived.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OrderTrace {
    trace_id: Option<String>,
    spans: Vec<TraceSpan>,
    /// Why there are no spans.
    missing: Option<&'static str>,
}

/// A piece of work, and how long it took.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TraceSpan {
    span_id: String,
    parent_span_id: Option<String>,
    service: String,
    operation: String,
    /// With microseconds.
    started_at: Timestamp,
    duration_us: u64,
    error: bool,
}

#[derive(Deserialize)]
struct Saga {
    trace_id: Option<String>,
}

/// Jaeger's answer, as far as it is used: its query API, `GET /api/traces/{id}`.
#[derive(Deserialize)]
struct JaegerAnswer {
    data: Vec<JaegerTrace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerTrace {
    spans: Vec<JaegerSpan>,
    processes: HashMap<String, JaegerProcess>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerProcess {
    service_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan {
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    /// Microseconds since 1970.
    start_time: u64,
    duration: u64,
    #[serde(rename = "processID")]
    process_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: serde_json::Value,
}

/// The trace of an order that the caller may see: order-svc tells which it is.
pub(crate) async fn find(
    jaeger: Option<&Observer>,
    forwarder: &Forwarder,
    asked: &UpstreamRequest,
) -> HttpResult {
    Params::parse(asked.path.query().unwrap_or_default())?.finish()?;
    let order = asked.path.path().trim_end_matches("/trace");
    let path = PathAndQuery::try_from(format!("{order}/saga")).map_err(|_| Problem::internal())?;
    let unclear = |_| Problem::new(Code::Overloaded, "order-svc did not answer").retry_after(1);
    let (service, asked) = (Service::Order, asked.elsewhere(path));
    let saga = match forwarder.ask_json(service, &asked, SAGA_BYTES_MAX, unclear).await? {
        Ok((Saga { trace_id }, _)) => trace_id,
        Err(refusal) => return Ok(refusal),
    };
    let none = |missing, trace_id| {
        json(StatusCode::OK, &OrderTrace { trace_id, spans: Vec::new(), missing: Some(missing) })
    };
    let Some(jaeger) = jaeger else {
        return Ok(none("traces go nowhere here: there is no Jaeger", saga));
    };
    let Some(id) = saga else { return Ok(none("this order has no trace", None)) };
    let found: Option<JaegerAnswer> = jaeger.ask(&format!("api/traces/{id}"), &[]).await?;
    let spans: Vec<TraceSpan> = found.into_iter().flat_map(|it| it.data).flat_map(spans).collect();
    if spans.is_empty() {
        let why = "Jaeger has no trace of it: it was not sampled, or is not there yet";
        return Ok(none(why, Some(id)));
    }
    Ok(json(StatusCode::OK, &OrderTrace { trace_id: Some(id), spans, missing: None }))
}

fn spans(trace: JaegerTrace) -> impl Iterator<Item = TraceSpan> {
    let JaegerTrace { spans, processes } = trace;
    spans.into_iter().map(move |span| {
        let parent = span.references.into_iter().find(|it| it.ref_type == "CHILD_OF");
        let service = processes.get(&span.process_id).map(|it| it.service_name.clone());
        let nanoseconds = i128::from(span.start_time) * 1_000;
        let started = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
        TraceSpan {
            span_id: span.span_id,
            parent_span_id: parent.map(|it| it.span_id),
            service: service.unwrap_or_default(),
            operation: span.operation_name,
            started_at: started.unwrap_or(OffsetDateTime::UNIX_EPOCH).into(),
            duration_us: span.duration,
            error: span.tags.iter().any(|tag| tag.key == "error" && tag.value == true),
        }
    })
}
