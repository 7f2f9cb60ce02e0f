//! What settling writes to the log: each failure once, where it is handled.

use std::error::Error;

use proto::trace_context;

use crate::{
    fault::{Fault, Verdict},
    message::{Message, Park, Trace},
    message_key::key_text,
};

/// Which message has stopped its key, and why.
pub(crate) fn parked(message: &Message, park: &Park) {
    let Message { topic, partition, offset, event_id, event_type, .. } = message;
    let trace_id = trace_id(message.trace.as_ref());
    let key = key_text(message.key.as_deref());
    let Park { class, reason } = park;
    tracing::error!(
        %topic, partition, offset, key, %event_id, event_type, trace_id, class, reason,
        "a message is parked, and its key waits for an operator: see docs/runbooks/parked_keys.md"
    );
}

/// A command that will never succeed. Its client is told that it failed, and no more.
pub(crate) fn gave_up(trace: Option<&Trace>, error: &(dyn Error + 'static)) {
    tracing::error!(trace_id = trace_id(trace), error, "a command failed for good");
}

/// An attempt at a batch that failed, for the `count`th time in a row. What is tried again and
/// again for hours is logged ever more rarely: at the 1st, 2nd, 4th, 8th time, and so on.
pub(crate) fn failed(path: &'static str, verdict: Verdict, fault: &Fault, count: u32) {
    if !count.is_power_of_two() {
        return;
    }
    let error = fault as &dyn Error;
    match verdict {
        // Redelivery is ordinary, and `held` logs a held row by its name.
        Verdict::Collision | Verdict::RowHeld => {
            tracing::debug!(path, count, error, "a batch has to be done again");
        }
        Verdict::WaitForOperator => {
            tracing::error!(path, count, error, "only a person can mend what a batch waits for");
        }
        // The item to blame is found next: it is parked, or its client is told, with an error.
        Verdict::Suspect { .. } => {
            tracing::warn!(path, count, error, "the database or the service refuses a batch");
        }
        Verdict::Wait | Verdict::MissingPartition | Verdict::TooSlow => {
            tracing::warn!(path, count, error, "a batch has to be done again");
        }
    }
}

/// The trace id as people search for it.
fn trace_id(trace: Option<&Trace>) -> Option<String> {
    let text = trace_context::text(trace?);
    std::str::from_utf8(&text[3..35]).ok().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_the_middle_of_a_traceparent() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let trace = trace_context::parse(text);

        assert_eq!(trace_id(trace.as_ref()).unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
}
