//! How log lines are written: as tracing-subscriber writes them, with two things that it leaves
//! out. A line that is written while a request is answered has the request's trace id, whether or
//! not its trace is recorded. And an error has its causes in JSON, too.

use std::{error::Error, fmt, panic::PanicHookInfo};

use tokio::task::futures::TaskLocalFuture;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    registry::LookupSpan,
};

use crate::{config::LogFormat, trace::TraceParent};

/// The field of the trace id; a line that has one of its own gets no other.
const TRACE_ID: &str = "trace_id";

tokio::task_local! {
    /// The trace of the request that is answered.
    static TRACE: TraceParent;
}

/// Answers a request of this trace: the lines that are written meanwhile have its id.
pub(crate) fn within<F: Future>(trace: TraceParent, answer: F) -> TaskLocalFuture<TraceParent, F> {
    TRACE.scope(trace, answer)
}

/// Writes lines of this form to `writer`.
pub(crate) fn layer<W>(format: LogFormat, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    match format {
        LogFormat::Text => {
            lines.with_ansi(false).map_event_format(|inner| LineFormat { inner, format }).boxed()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(|inner| LineFormat { inner, format }).boxed()
        }
    }
}

/// Logs a panic where it happens. Without this, a log of JSON has other lines among its own.
pub(crate) fn panicked(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    tracing::error!(place, reason = panic.payload_as_str(), "panicked");
}

struct LineFormat<F> {
    inner: F,
    format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for LineFormat<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let has_own = event.metadata().fields().field(TRACE_ID).is_some();
        let trace_id = TRACE.try_with(TraceParent::trace_id).ok().filter(|_| !has_own);
        let line = line.trim_end();
        match self.format {
            LogFormat::Text => {
                out.write_str(line)?;
                if let Some(trace_id) = trace_id {
                    write!(out, " {TRACE_ID}=\"{trace_id}\"")?;
                }
            }
            LogFormat::Json => {
                out.write_str(line.strip_suffix('}').ok_or(fmt::Error)?)?;
                if let Some(trace_id) = trace_id {
                    write!(out, ",\"{TRACE_ID}\":\"{trace_id}\"")?;
                }
                let mut causes = Causes::default();
                event.record(&mut causes);
                if !causes.0.is_empty() {
                    let causes = serde_json::to_string(&causes.0).map_err(|_| fmt::Error)?;
                    // The name that text has for them.
                    write!(out, ",\"error.sources\":{causes}")?;
                }
                out.write_char('}')?;
            }
        }
        writeln!(out)
    }
}

/// The causes of an event's error, the nearest first.
#[derive(Default)]
struct Causes(Vec<String>);

impl Visit for Causes {
    fn record_error(&mut self, _: &Field, error: &(dyn Error + 'static)) {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        self.0.extend(causes.map(ToString::to_string));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[derive(Debug, thiserror::Error)]
    #[error("the answer is lost")]
    struct Lost(#[source] io::Error);

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `act` logs while a request is answered whose trace is not recorded.
    fn logged(format: LogFormat, act: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::registry().with(layer(format, move || writer.clone()));
        let trace = TraceParent::parse(TRACEPARENT).unwrap();
        tracing::subscriber::with_default(lines, || TRACE.sync_scope(trace, act));
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    fn lose() {
        let error = Lost(io::Error::other("no route {to} \"it\""));
        tracing::error!(error = &error as &dyn Error, order_id = 7, "could not ask");
    }

    #[test]
    fn a_line_of_text_has_trace_and_causes() {
        let line = logged(LogFormat::Text, lose);

        assert!(line.ends_with(&format!(" trace_id=\"{ID}\"\n")), "{line}");
        assert!(line.contains("could not ask error=the answer is lost error.sources=["), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_line_of_json_has_trace_and_causes() {
        let line = logged(LogFormat::Json, lose);

        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["level"], &read["message"]), (&json!("ERROR"), &json!("could not ask")));
        assert_eq!((&read["trace_id"], &read["order_id"]), (&json!(ID), &json!(7)));
        assert_eq!(read["error"], "the answer is lost");
        assert_eq!(read["error.sources"], json!(["no route {to} \"it\""]));
        assert!(line.ends_with("}\n"));
    }

    #[test]
    fn a_line_with_a_trace_of_its_own_keeps_that_alone() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format, || tracing::info!(trace_id = "another", "taken over"));

            assert!(line.contains("another") && !line.contains(ID), "{line}");
        }
    }
}
