//! The whole shop: its journeys, its outages, what it refuses and what it sets aside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod consumers;
mod journeys;
mod kills;
mod plants;
mod poison;
mod refusals;
mod replays;
