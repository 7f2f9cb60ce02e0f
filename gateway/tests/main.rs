//! The gateway in front of small services whose behaviour a test chooses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod erasure;
mod failing;
mod forwarding;
mod lists;
mod replays;
mod stub;
