//! Spans of what a service does with a message or a command, in the trace that it came with. They
//! are made for sampled traces only, and without an exporter they are nobody's.

use std::sync::LazyLock;

use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedSpan, BoxedTracer},
    trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use proto::trace_context::{is_sampled, of_span_context, to_span_context};

use crate::{
    message::{Message, Trace},
    parked,
};

static TRACER: LazyLock<BoxedTracer> = LazyLock::new(|| global::tracer("mailbox"));

/// How much is shown of an event's type, which a stranger's message may have of any length.
const TYPE_CHARS: usize = 100;

/// One item, from its arrival to its end.
pub(crate) struct ItemSpan(Option<BoxedSpan>);

impl ItemSpan {
    /// A message that is processed.
    pub(crate) fn process(message: &Message) -> Self {
        Self::start(message.trace, || {
            let event_type: String = message.event_type.chars().take(TYPE_CHARS).collect();
            let attributes = vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", message.topic.to_string()),
                KeyValue::new("messaging.destination.partition.id", message.partition.to_string()),
                KeyValue::new("messaging.kafka.offset", message.offset),
                KeyValue::new("messaging.kafka.message.key", parked::key_ref(message).1),
                KeyValue::new("messaging.message.id", message.event_id.to_string()),
                KeyValue::new("cloudevents.event_type", event_type),
            ];
            (format!("process {}", message.topic), SpanKind::Consumer, attributes)
        })
    }

    /// A command that is executed.
    pub(crate) fn execute(trace: Option<Trace>) -> Self {
        Self::start(trace, || ("execute".to_owned(), SpanKind::Internal, Vec::new()))
    }

    fn start(
        trace: Option<Trace>,
        told: impl FnOnce() -> (String, SpanKind, Vec<KeyValue>),
    ) -> Self {
        let Some(parent) = trace.filter(is_sampled) else { return Self(None) };
        let (name, kind, attributes) = told();
        let parent = Context::new().with_remote_span_context(to_span_context(&parent));
        let builder = TRACER.span_builder(name).with_kind(kind).with_attributes(attributes);
        let span = TRACER.build_with_context(builder, &parent);
        Self(Some(span).filter(BoxedSpan::is_recording))
    }

    /// The trace as it goes on from here; `None` without a span.
    pub(crate) fn trace(&self) -> Option<Trace> {
        of_span_context(self.0.as_ref()?.span_context())
    }

    fn context(&self) -> Option<SpanContext> {
        Some(self.0.as_ref()?.span_context().clone())
    }

    /// Ends the span, with what became of the item in this batch.
    pub(crate) fn end(&mut self, outcome: &'static str, batch: &BatchSpan) {
        let Some(mut span) = self.0.take() else { return };
        span.set_attribute(KeyValue::new("shop.outcome", outcome));
        if let Some(batch) = &batch.0 {
            span.add_link(batch.span_context().clone(), Vec::new());
        }
        span.end();
    }
}

/// One attempt at a batch: a trace of its own, linked to those of its items, none of which is its
/// cause.
pub(crate) struct BatchSpan(Option<BoxedSpan>);

impl BatchSpan {
    pub(crate) fn start<'a>(
        path: &'static str,
        items: impl Iterator<Item = &'a ItemSpan>,
        size: usize,
    ) -> Self {
        let links: Vec<_> = items.filter_map(ItemSpan::context).map(Link::with_context).collect();
        if links.is_empty() {
            return Self(None);
        }
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let builder = TRACER
            .span_builder(format!("batch of {path}"))
            .with_attributes([KeyValue::new("messaging.batch.message_count", size)])
            .with_links(links);
        Self(Some(TRACER.build_with_context(builder, &Context::new())))
    }

    /// The attempt failed, and will be made again in one way or another.
    pub(crate) fn fail(mut self, verdict: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(verdict));
        }
    }
}
