//! What the four services' edges share: a mailbox behind HTTP, and a mailbox's messages read as
//! events.
//!
//! The mailbox knows no HTTP and the chassis no mailbox; here they meet, so that a request becomes
//! a command, and its answer a response, in the same way everywhere.

mod ask;
mod events;
mod operators;
mod page;
mod parked;

use chassis::{Chassis, clock::rfc3339};
use mailbox::{Loop, Mailbox, Reactor, UnknownEvents};

pub use ask::{Asked, ended, outcome, refusal, submit, told};
pub use events::{announce, decode, is_known, options};
pub use operators::router as operators;

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
    for (name, run) in loops {
        match name {
            "commands" | "wake-up" => chassis.tasks.spawn_last(name, run),
            _ => chassis.tasks.spawn(name, run),
        }
    }
}
