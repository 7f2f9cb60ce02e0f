//! Spans that are made with OpenTelemetry's own API: their ids are given, they are linked to other
//! traces, or what caused them is a row and not a caller.

use std::cell::Cell;

use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedSpan, BoxedTracer},
    trace::{Link, SpanBuilder, SpanId, SpanKind, TraceContextExt as _, TraceId, Tracer as _},
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingResult, ShouldSample,
};
use proto::trace_context::{TraceContext, is_sampled, to_span_context};

thread_local! {
    /// The id that the next span of this thread gets.
    static GIVEN: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Starts a span with the id in `own`, a child of `parent`. Whoever reads `own` in a message finds
/// this span, also if it was made later, or twice.
pub fn start_as(
    tracer: &BoxedTracer,
    builder: SpanBuilder,
    own: &TraceContext,
    parent: &TraceContext,
) -> BoxedSpan {
    GIVEN.set(Some(to_span_context(own).span_id()));
    let parent = Context::new().with_remote_span_context(to_span_context(parent));
    let span = tracer.build_with_context(builder, &parent);
    // Without an exporter nobody has taken it.
    GIVEN.set(None);
    span
}

/// A call to somebody outside of the shop, caused by what this trace is about; `None` if it is not
/// sampled. The span ends when it is dropped.
pub fn call(name: &'static str, trace: Option<&TraceContext>) -> Option<BoxedSpan> {
    let parent = trace.filter(|trace| is_sampled(trace))?;
    let parent = Context::new().with_remote_span_context(to_span_context(parent));
    let tracer = global::tracer("calls");
    let builder = tracer.span_builder(name).with_kind(SpanKind::Client);
    Some(tracer.build_with_context(builder, &parent))
}

/// Random ids, but for spans whose id is given.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Samples what continues a sampled trace, what is linked to one, and a share of all new traces.
#[derive(Clone, Debug)]
pub(crate) struct LinkedSampler(Sampler);

impl LinkedSampler {
    pub(crate) fn new(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for LinkedSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_linked = links.iter().any(|link| link.span_context.is_sampled());
        let sampler = if is_linked { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
