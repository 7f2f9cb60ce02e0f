//! The chassis, seen from the processes that stand on it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod conventions;
mod database;
mod edge;
mod server;
mod settings;
mod tasks;
