//! The servers that tests get: real, separate from one another, and gone afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kafka;
mod postgres;
mod watchdog;
