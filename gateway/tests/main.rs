//! The gateway before small services that do what a test asks of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod failing;
mod forwarding;
mod lists;
mod replays;
mod stub;
