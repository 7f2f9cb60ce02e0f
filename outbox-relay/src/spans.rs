//! Spans of sampled events: how long each waited in its outbox, and the batch that it was sent in.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use chassis::{clock, spans};
use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedTracer},
    trace::{Link, Span as _, SpanKind, Tracer as _},
};
use proto::trace_context::{self, TraceContext};
use uuid::Uuid;

use crate::{envelope::POSTGRES_EPOCH, poll::Row};

static TRACER: LazyLock<BoxedTracer> = LazyLock::new(|| global::tracer("outbox-relay"));

/// An event of a sampled trace that is in flight.
pub(crate) struct SampledEvent {
    row: TraceContext,
    event_id: [u8; 16],
    topic: Arc<str>,
    /// As in [`Row`].
    created_at: i64,
}

impl SampledEvent {
    /// `None` if the row's trace is not sampled, or if it has none.
    pub(crate) fn of(row: &Row<'_>, topic: &Arc<str>) -> Option<Self> {
        let context: TraceContext = row.trace?.try_into().ok()?;
        trace_context::is_sampled(&context).then(|| Self {
            row: context,
            event_id: row.event_id,
            topic: Arc::clone(topic),
            created_at: row.created_at,
        })
    }
}

/// The batch was read at `read_at`, and Kafka has acknowledged it.
pub(crate) fn published(events: &[SampledEvent], rows: u32, read_at: Instant) {
    if events.is_empty() {
        return;
    }
    let context = |event: &SampledEvent| trace_context::published(&event.row, &event.event_id);
    let links = events.iter().map(context).map(|it| trace_context::to_span_context(&it));
    let builder = TRACER
        .span_builder("send")
        .with_kind(SpanKind::Client)
        .with_start_time(SystemTime::from(clock::now()) - read_at.elapsed())
        .with_attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.batch.message_count", i64::from(rows)),
        ])
        .with_links(links.map(Link::with_context).collect());
    let mut send = TRACER.build_with_context(builder, &Context::new());
    for event in events {
        let builder = TRACER
            .span_builder(format!("outbox {}", event.topic))
            .with_kind(SpanKind::Producer)
            .with_start_time(instant(event.created_at))
            .with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "outbox"),
                KeyValue::new("messaging.destination.name", event.topic.to_string()),
                KeyValue::new("messaging.message.id", Uuid::from_bytes(event.event_id).to_string()),
            ])
            .with_links(vec![Link::with_context(send.span_context().clone())]);
        spans::start_as(&TRACER, builder, &context(event), &event.row).end();
    }
    send.end();
}

/// From microseconds since 2000.
fn instant(microseconds: i64) -> SystemTime {
    let micros = u64::try_from(microseconds).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(POSTGRES_EPOCH) + Duration::from_micros(micros)
}
