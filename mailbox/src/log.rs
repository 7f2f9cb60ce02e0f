//! What settling writes to the log: each failure once, where it is handled.

use proto::trace_context;

use crate::{
    fault::{Fault, Verdict},
    message::{Message, Park},
    message_key::key_text,
};

/// Which message has stopped its key, and why.
pub(crate) fn parked(message: &Message, park: &Park) {
    let Message { topic, partition, offset, event_id, event_type, .. } = message;
    let trace = message.trace.as_ref().map(trace_context::text);
    let trace_id = trace.as_ref().and_then(|text| std::str::from_utf8(&text[3..35]).ok());
    let key = key_text(message.key.as_deref());
    let Park { class, reason } = park;
    tracing::error!(
        %topic, partition, offset, key, %event_id, event_type, trace_id, class, reason,
        "a message is parked, and its key waits for an operator: see docs/runbooks/parked_keys.md"
    );
}

/// An attempt at a batch that failed, for the `count`th time in a row.
pub(crate) fn failed(path: &'static str, verdict: Verdict, fault: &Fault, count: u32) {
    let error = fault as &dyn std::error::Error;
    match verdict {
        // Redelivery is ordinary, and `held` logs a held row by its name.
        Verdict::Collision | Verdict::RowHeld => {
            tracing::debug!(path, count, error, "a batch has to be done again");
        }
        Verdict::WaitForOperator => {
            tracing::error!(path, count, error, "only a person can mend what a batch waits for");
        }
        Verdict::Suspect { .. } => {
            tracing::error!(path, count, error, "the database or the service refuses a batch");
        }
        Verdict::Wait | Verdict::MissingPartition | Verdict::TooSlow => {
            tracing::warn!(path, count, error, "a batch has to be done again");
        }
    }
}
