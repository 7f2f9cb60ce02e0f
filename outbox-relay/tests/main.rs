//! The relay against real servers: each fact that it relies on has a test that fails without it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may end where it is")]

mod crash;
mod delivery;
mod flood;
mod headers;
mod held;
mod leaders;
mod leaves;
mod order;
mod paused;
mod plans;
mod refused;
mod replays;
mod restore;
mod stage;
mod unknown;
mod vanish;
mod wake_ups;
