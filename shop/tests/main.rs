//! The commands, against a stack of real backends and stand-ins for the shop's processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod follow;
mod schema;
mod stack;
