//! The mailbox against a real PostgreSQL and a real Kafka, through a toy service.
#![expect(clippy::unwrap_used, reason = "a test has nothing better to do with an error")]

mod commands;
mod flood;
mod hammer;
mod kafka;
mod messages;
mod operators;
mod parked;
mod proxy;
mod sweep;
mod toy;
mod unknown;
