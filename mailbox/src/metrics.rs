//! The mailbox's metrics: names and labels; no label ever holds an id.

/// What became of an item, in metrics and in spans.
pub(crate) const APPLIED: &str = "applied";
pub(crate) const DUPLICATE: &str = "duplicate";
pub(crate) const PARKED: &str = "parked";
pub(crate) const UNKNOWN: &str = "unknown";

/// Items by what became of them.
pub(crate) fn reacted(result: &'static str, count: u64) {
    metrics::counter!("reactions_total", "result" => result).increment(count);
}

/// Messages that took effect before.
pub(crate) fn duplicates(count: u64) {
    metrics::counter!("inbox_duplicates_total").increment(count);
}

/// Messages that were parked.
pub(crate) fn parked(count: u64) {
    metrics::counter!("messages_parked_total").increment(count);
}

/// A new message whose version is not above the last one received of its key.
pub(crate) fn inversion() {
    metrics::counter!("inbox_inversions_total").increment(1);
}

/// Events of types that this build does not know, which were kept for one that does.
pub(crate) fn unknown(count: u64) {
    metrics::counter!("messages_unknown_total").increment(count);
}

/// How many events of unknown types are kept now, and the age of the oldest.
pub(crate) fn unknown_kept(events: i64, oldest_seconds: f64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    metrics::gauge!("unknown_events").set(events as f64);
    metrics::gauge!("unknown_events_oldest_seconds").set(oldest_seconds);
}

/// Whether nothing is consumed because too much is set aside (`flood`).
pub(crate) fn flooded(is_flooded: bool) {
    metrics::gauge!("parked_flood").set(f64::from(u8::from(is_flooded)));
}

/// One batch: how long it took, and how many items it had. `path` is messages or commands.
pub(crate) fn batch(path: &'static str, seconds: f64, entries: u32) {
    metrics::histogram!("reaction_seconds", "path" => path).record(seconds);
    metrics::histogram!("reaction_batch", "path" => path).record(f64::from(entries));
}

/// A failed attempt at a batch, by its verdict.
pub(crate) fn retried(verdict: &'static str) {
    metrics::counter!("batches_retried_total", "why" => verdict).increment(1);
}

/// Rows that other sessions hold, and items that wait for them. `path` is messages or commands.
pub(crate) fn held(path: &'static str, rows: usize, entries: usize) {
    let gauge = |name: &'static str, count: usize| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!(name, "path" => path).set(f64::from(count));
    };
    gauge("rows_held", rows);
    gauge("entries_held_back", entries);
}

/// The lag of a partition, in messages.
pub(crate) fn lag(topic: &str, partition: i32, messages: i64) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    metrics::gauge!("consumer_lag", &labels).set(messages as f64);
}

/// Topics that operators paused, and partitions that stopped by themselves.
pub(crate) fn halted(paused_topics: usize, stopped_partitions: usize) {
    let gauge = |halts: usize| f64::from(u32::try_from(halts).unwrap_or(u32::MAX));
    metrics::gauge!("consumer_topics_paused").set(gauge(paused_topics));
    metrics::gauge!("consumer_partitions_stopped").set(gauge(stopped_partitions));
}

/// A consumer that stalled or died was replaced.
pub(crate) fn consumer_renewed() {
    metrics::counter!("consumer_renewed_total").increment(1);
}
