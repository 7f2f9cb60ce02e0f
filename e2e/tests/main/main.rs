//! The whole shop: journeys, outages, refusals and parked messages.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod attacks;
mod console;
mod consumers;
mod description;
mod drills;
mod faults;
mod journeys;
mod kills;
mod plants;
mod poison;
mod refusals;
mod repeats;
mod replays;
mod rolling;
mod secrets;
mod secure;
mod settings;
mod storms;
mod streams;
mod subscribers;
mod telemetry;
mod topics;
mod traces;
mod webhooks;
