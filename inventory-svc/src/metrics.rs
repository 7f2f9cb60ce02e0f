//! What this service counts, beside what the mailbox and the edge count for all.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::collections::BTreeMap;

use metrics::{counter, describe_counter};
use proto::{EVENT_TYPES, topic};

const SAID: &str = "stock_events_total";

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe() {
    describe_counter!(SAID, "Events said about stock and products, by `event`");
    let said = EVENT_TYPES.iter().filter(|it| [topic::STOCK, topic::CATALOGUE].contains(&it.topic));
    for event in said {
        let _shown = counter!(SAID, "event" => event.name);
    }
}

/// Counts the events that a batch has announced.
pub fn said(counts: &BTreeMap<&'static str, u64>) {
    for (event, count) in counts {
        counter!(SAID, "event" => *event).increment(*count);
    }
}
