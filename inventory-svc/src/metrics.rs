//! What this service counts, beside what the mailbox and the edge count for all.

use std::collections::BTreeMap;

use metrics::{counter, describe_counter};

const SAID: &str = "stock_events_total";

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!(SAID, "Events said about stock and products, by event");
}

/// Counts the events that a batch has announced.
pub fn said(counts: &BTreeMap<&'static str, u64>) {
    for (event, count) in counts {
        counter!(SAID, "event" => *event).increment(*count);
    }
}
