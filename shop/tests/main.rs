//! What a person types, against a stack of real backends and stand-ins for our processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod follow;
mod schema;
mod stack;
