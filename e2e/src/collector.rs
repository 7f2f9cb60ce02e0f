//! A collector of traces, as processes send them: OTLP over gRPC.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
    trace::v1::Span,
};
use tonic::{Request, Response, Status, transport::Server};

/// A span that was sent.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    /// The traces that the span is linked to.
    pub links: Vec<String>,
    pub took: Duration,
}

/// Keeps every span.
#[derive(Clone, Debug, Default)]
pub struct Collector(Arc<Mutex<Vec<SpanRecord>>>);

impl Collector {
    /// Serves on a listener until the test ends. Before that, whoever sends there waits.
    #[expect(clippy::disallowed_methods, reason = "nothing waits for the end of a test's server")]
    pub fn serve(listener: TcpListener) -> Self {
        let collector = Self::default();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        collector
    }

    /// The spans of a trace, so far.
    pub fn of_trace(&self, trace: &str) -> Vec<SpanRecord> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// The spans of other traces that are linked to this one, so far.
    pub fn linked_to(&self, trace: &str) -> Vec<SpanRecord> {
        let spans = self.0.lock().unwrap();
        let is_linked = |span: &&SpanRecord| span.links.iter().any(|link| link == trace);
        spans.iter().filter(|span| span.trace != trace).filter(is_linked).cloned().collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for of_process in request.into_inner().resource_spans {
            let service = service(of_process.resource.as_ref());
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(record(&service, span));
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn service(resource: Option<&Resource>) -> String {
    let named = |name: &str| {
        let value = resource?.attributes.iter().find(|it| it.key == name)?.value.as_ref()?;
        match value.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    named("service.name").unwrap_or_default()
}

fn record(service: &str, span: Span) -> SpanRecord {
    let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    SpanRecord {
        service: service.to_owned(),
        name: span.name,
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        links: span.links.into_iter().map(|link| hex::encode(link.trace_id)).collect(),
        took: Duration::from_nanos(took),
    }
}
