//! The chassis, as the processes that are built on it use it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod conventions;
mod database;
mod edge;
mod identity;
mod issuers;
mod openapi;
mod providers;
mod server;
mod settings;
mod tasks;
