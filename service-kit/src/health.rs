//! What a service's health check says of its mailbox.

use std::future::ready;

use chassis::{Health, clock::rfc3339};
use mailbox::{HeldRow, HeldSince, Mailbox, Reactor, UnknownEvents};

/// Held rows that are listed: with more of them, what is wrong is not a row.
const ROWS_TOLD: usize = 10;

/// Which rows other sessions hold, and since when.
fn said_of(held: &[HeldSince]) -> String {
    let rows: Vec<String> = held
        .iter()
        .take(ROWS_TOLD)
        .map(|HeldSince { row, since, waiting }| {
            let HeldRow { kind, id } = row;
            let since = rfc3339(*since);
            format!("{kind} {id} is held by another session since {since}; {waiting} wait for it")
        })
        .collect();
    let more = held.len().saturating_sub(ROWS_TOLD);
    if more == 0 { rows.join("; ") } else { format!("{}; and {more} more", rows.join("; ")) }
}

/// Adds the mailbox's probes. What is wrong with it is shown, and the service works on; only a
/// service that has not joined its consumer group is not ready.
pub(crate) fn watch<R: Reactor>(health: &Health, mailbox: &Mailbox<R>) {
    let seen = mailbox.clone();
    health.notice_known("kafka", move || {
        seen.kafka_fault().map(|why| format!("away: events wait in the outbox ({why})"))
    });
    let consumed = mailbox.clone();
    health.notice_known("consumers", move || consumed.not_consumed());
    let flooded = mailbox.clone();
    health.notice_known("parked_flood", move || {
        flooded.flood().map(|why| format!("nothing is heard: {why}"))
    });
    let keeping = mailbox.clone();
    health.notice_known("unknown_events", move || {
        let UnknownEvents { count, since } = keeping.unknown_events()?;
        let since = rfc3339(since);
        Some(format!("{count} events of unknown types are kept, the oldest since {since}"))
    });
    let joining = mailbox.clone();
    health.probe("messages", move || {
        ready(joining.has_joined().then_some(()).ok_or_else(|| "joining the consumer group".into()))
    });
    let waiting = mailbox.clone();
    health.notice_known("held_rows", move || {
        let held = waiting.held_rows();
        (!held.is_empty()).then(|| said_of(&held))
    });
}
