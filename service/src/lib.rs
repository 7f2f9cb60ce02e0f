//! What the four services' edges share: a mailbox behind HTTP, and a mailbox's messages read as
//! events.
//!
//! The mailbox knows no HTTP and the chassis no mailbox; here they meet, so that a request becomes
//! a command, and its answer a response, in the same way everywhere.

mod ask;
mod consumers;
mod events;
mod lanes;
mod money;
mod operations;
mod operators;
mod parked;
mod replays;

use chassis::{Chassis, clock::rfc3339};
use mailbox::{HeldRow, HeldSince, Loop, Mailbox, Reactor, UnknownEvents};

pub use ask::{RequestInfo, ended, outcome, refusal, submit, told};
pub use events::{announce, decode, is_known, options};
pub use money::{AmountFault, AmountRequest};
pub use operators::router as operators;

/// Rows that are told of at once: with more, what is wrong is not a row.
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

/// Spawns a mailbox's loops, and tells in the health when Kafka is away: the service works on
/// without it. Commands and the wake-up end last: what was accepted over HTTP is still committed
/// and told to the relay.
pub fn spawn<R: Reactor>(chassis: &mut Chassis, mailbox: &Mailbox<R>, loops: Vec<Loop>) {
    let seen = mailbox.clone();
    chassis.health.notice("kafka", move || {
        let near = seen.is_kafka_near();
        async move {
            near.then_some(()).ok_or_else(|| "away: events wait in the outbox".to_owned())
        }
    });
    let consumed = mailbox.clone();
    chassis.health.notice("consumers", move || {
        let halted = consumed.not_consumed();
        async move { halted.map_or(Ok(()), Err) }
    });
    let flooded = mailbox.clone();
    chassis.health.notice("parked_flood", move || {
        let why = flooded.flood();
        async move { why.map_or(Ok(()), |why| Err(format!("nothing is heard: {why}"))) }
    });
    let keeping = mailbox.clone();
    chassis.health.notice("unknown_events", move || {
        let kept = keeping.unknown_events();
        async move {
            kept.map_or(Ok(()), |UnknownEvents { count, since }| {
                let since = rfc3339(since);
                Err(format!("{count} events of unknown types are kept, the oldest since {since}"))
            })
        }
    });
    let joining = mailbox.clone();
    chassis.health.probe("messages", move || {
        let joined = joining.has_joined();
        async move { joined.then_some(()).ok_or_else(|| "joining the consumer group".to_owned()) }
    });
    let waiting = mailbox.clone();
    chassis.health.notice("held_rows", move || {
        let held = waiting.held_rows();
        async move { if held.is_empty() { Ok(()) } else { Err(said_of(&held)) } }
    });
    for (name, run) in loops {
        match name {
            "commands" | "wake-up" => chassis.tasks.spawn_last(name, run),
            _ => chassis.tasks.spawn(name, run),
        }
    }
}
