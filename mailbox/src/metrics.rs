//! The mailbox's metrics: names and labels; no label ever holds an id.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use time::OffsetDateTime;

use crate::{
    fault::Verdict,
    inbox::made_at,
    message::{Message, Park},
    parked::bounds::ParkedClass,
};

/// What became of an item, in metrics and in spans.
pub(crate) const APPLIED: &str = "applied";
pub(crate) const DUPLICATE: &str = "duplicate";
pub(crate) const PARKED: &str = "parked";
pub(crate) const UNKNOWN: &str = "unknown";

/// The two ways in.
pub(crate) const MESSAGES: &str = "messages";
pub(crate) const COMMANDS: &str = "commands";

const REACTIONS: &str = "reactions_total";
const DUPLICATES: &str = "inbox_duplicates_total";
const INVERSIONS: &str = "inbox_inversions_total";
const MESSAGES_PARKED: &str = "messages_parked_total";
const MESSAGES_UNKNOWN: &str = "messages_unknown_total";
const UNKNOWN_EVENTS: &str = "unknown_events";
const UNKNOWN_OLDEST: &str = "unknown_events_oldest_seconds";
const PARKED_KEYS: &str = "parked_keys";
const PARKED_OLDEST: &str = "parked_oldest_seconds";
const FLOOD: &str = "parked_flood";
const SECONDS: &str = "reaction_seconds";
const BATCH: &str = "reaction_batch";
const RETRIED: &str = "batches_retried_total";
const ROWS_HELD: &str = "rows_held";
const HELD_BACK: &str = "items_held_back";
const LAG: &str = "consumer_lag";
const PAUSED: &str = "consumer_topics_paused";
const STOPPED: &str = "consumer_partitions_stopped";
const RENEWED: &str = "consumer_renewed_total";
const RECEIVED: &str = "event_received_seconds";
const EFFECTIVE: &str = "event_applied_seconds";

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe_metrics() {
    describe_counter!(REACTIONS, "Messages and commands by `result`: what became of them");
    describe_counter!(DUPLICATES, "Messages that had taken effect before");
    describe_counter!(INVERSIONS, "New messages whose version is not above the last of their key");
    describe_counter!(MESSAGES_PARKED, "Messages that were parked");
    describe_counter!(MESSAGES_UNKNOWN, "Events of unknown types that were kept");
    describe_gauge!(UNKNOWN_EVENTS, "Events of types that this build does not know");
    describe_gauge!(UNKNOWN_OLDEST, Unit::Seconds, "Age of the oldest of them");
    describe_gauge!(PARKED_KEYS, "Parked keys by the `class` of their reason, alike everywhere");
    describe_gauge!(PARKED_OLDEST, Unit::Seconds, "For how long the oldest key is parked");
    describe_gauge!(FLOOD, "1 while nothing is consumed because too many keys are parked");
    describe_histogram!(SECONDS, Unit::Seconds, "Transaction of a batch, by `path`: its way in");
    describe_histogram!(BATCH, "Items of a batch, by `path`");
    describe_counter!(RETRIED, "Attempts at batches that failed, by `why`");
    describe_gauge!(ROWS_HELD, "Rows that other sessions hold and a batch needs, by `path`");
    describe_gauge!(HELD_BACK, "Items that wait for rows that other sessions hold, by `path`");
    describe_gauge!(LAG, "Messages of a `topic`'s `partition` that are not consumed yet");
    describe_gauge!(PAUSED, "Topics that an operator has paused");
    describe_gauge!(STOPPED, "Partitions that have stopped by themselves");
    describe_counter!(RENEWED, "Consumers replaced because they stalled or died");
    describe_histogram!(
        RECEIVED,
        Unit::Seconds,
        "From an event's making to its reception, by `topic`"
    );
    describe_histogram!(
        EFFECTIVE,
        Unit::Seconds,
        "From an event's making to the commit of its effect, by `topic`"
    );
    for result in [APPLIED, DUPLICATE, PARKED, UNKNOWN] {
        let _shown = counter!(REACTIONS, "result" => result);
    }
    for verdict in Verdict::ALL {
        let _shown = counter!(RETRIED, "why" => verdict.name());
    }
    for name in [DUPLICATES, INVERSIONS, MESSAGES_PARKED, MESSAGES_UNKNOWN, RENEWED] {
        let _shown = counter!(name);
    }
    for name in [UNKNOWN_EVENTS, UNKNOWN_OLDEST, PARKED_OLDEST, FLOOD, PAUSED, STOPPED] {
        let _shown = gauge!(name);
    }
    for class in Park::CLASSES {
        let _shown = gauge!(PARKED_KEYS, "class" => class);
    }
    for path in [MESSAGES, COMMANDS] {
        held(path, 0, 0);
    }
}

/// Items by what became of them.
pub(crate) fn reacted(result: &'static str, count: u64) {
    counter!(REACTIONS, "result" => result).increment(count);
}

/// Messages that took effect before.
pub(crate) fn duplicates(count: u64) {
    counter!(DUPLICATES).increment(count);
}

/// Messages that were parked.
pub(crate) fn parked(count: u64) {
    counter!(MESSAGES_PARKED).increment(count);
}

/// A new message whose version is not above the last one received of its key.
pub(crate) fn inversion() {
    counter!(INVERSIONS).increment(1);
}

/// Events of types that this build does not know, which were kept for one that does.
pub(crate) fn unknown(count: u64) {
    counter!(MESSAGES_UNKNOWN).increment(count);
}

/// How many events of unknown types are kept now, and the age of the oldest.
pub(crate) fn unknown_kept(events: i64, oldest: time::Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    gauge!(UNKNOWN_EVENTS).set(events as f64);
    gauge!(UNKNOWN_OLDEST).set(oldest.as_seconds_f64());
}

/// Whether nothing is consumed because too much is set aside (`flood`).
pub(crate) fn flooded(is_flooded: bool) {
    gauge!(FLOOD).set(f64::from(u8::from(is_flooded)));
}

/// The keys that are parked now by class, and since when the oldest is. `shown` are the classes that
/// were shown before: one that has gone is shown at 0.
pub(crate) fn keys_parked(
    classes: Vec<ParkedClass>,
    shown: &mut BTreeSet<String>,
    now: OffsetDateTime,
) {
    let oldest = classes.iter().map(|class| now - class.since).max().unwrap_or_default();
    gauge!(PARKED_OLDEST).set(oldest.as_seconds_f64());
    for class in shown.iter().filter(|it| classes.iter().all(|class| class.name != **it)) {
        gauge!(PARKED_KEYS, "class" => class.clone()).set(0);
    }
    for ParkedClass { name, keys, .. } in classes {
        #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
        gauge!(PARKED_KEYS, "class" => name.clone()).set(keys as f64);
        shown.insert(name);
    }
}

/// One batch: how long it took, and how many items it had.
pub(crate) fn batch(path: &'static str, seconds: f64, items: u32) {
    histogram!(SECONDS, "path" => path).record(seconds);
    histogram!(BATCH, "path" => path).record(f64::from(items));
}

/// A failed attempt at a batch, by its verdict.
pub(crate) fn retried(verdict: &'static str) {
    counter!(RETRIED, "why" => verdict).increment(1);
}

/// Rows that other sessions hold, and items that wait for them.
pub(crate) fn held(path: &'static str, rows: usize, items: usize) {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    gauge!(ROWS_HELD, "path" => path).set(count(rows));
    gauge!(HELD_BACK, "path" => path).set(count(items));
}

/// The lag of a partition, in messages.
pub(crate) fn lag(topic: &str, partition: i32, messages: i64) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    gauge!(LAG, &labels).set(messages as f64);
}

/// Topics that operators paused, and partitions that stopped by themselves.
pub(crate) fn halted(paused_topics: usize, stopped_partitions: usize) {
    let count = |halts: usize| f64::from(u32::try_from(halts).unwrap_or(u32::MAX));
    gauge!(PAUSED).set(count(paused_topics));
    gauge!(STOPPED).set(count(stopped_partitions));
}

/// A consumer that stalled or died was replaced.
pub(crate) fn consumer_renewed() {
    counter!(RENEWED).increment(1);
}

/// A message that was received. Times are those of the hosts' clocks, to a millisecond.
pub(crate) fn received(message: &Message, now: OffsetDateTime) {
    since_made(RECEIVED, message, now);
}

/// A message whose effect is committed.
pub(crate) fn applied(message: &Message, now: OffsetDateTime) {
    since_made(EFFECTIVE, message, now);
}

fn since_made(name: &'static str, message: &Message, now: OffsetDateTime) {
    let Some(made) = made_at(message.event_id) else { return };
    let since = Duration::try_from(now - made).unwrap_or_default();
    histogram!(name, "topic" => Arc::clone(&message.topic)).record(since);
}
