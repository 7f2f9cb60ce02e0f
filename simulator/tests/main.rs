//! The simulator, through its HTTP API and its file.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly, its helpers too")]

mod charges;
mod file;
mod harness;
mod knobs;
mod refunds;
mod stripe;
