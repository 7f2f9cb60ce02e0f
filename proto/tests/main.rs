//! The published language as its users see it: bytes that may not change, and the whole registry.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly, its helpers too")]

mod golden;
mod readable;
mod registry;
mod samples;
mod words;
