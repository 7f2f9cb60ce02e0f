//! The mailbox against a real PostgreSQL and a real Kafka, through a toy service.
#![expect(clippy::unwrap_used, reason = "a test has nothing better to do with an error")]

mod bulk;
mod commands;
mod coordinator;
mod failures;
mod flood;
mod group;
mod hammer;
mod held;
mod kafka;
mod lanes;
mod members;
mod messages;
mod offsets;
mod operators;
mod parked;
mod proxy;
mod queue;
mod slow;
mod sweep;
mod toy;
mod unknown;
mod vanish;
mod wake;
