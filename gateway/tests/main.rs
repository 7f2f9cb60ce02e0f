//! The gateway in front of small services whose behaviour a test chooses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod begun;
mod console;
mod description;
mod discovery;
mod edge;
mod erasure;
mod expectations;
mod failing;
mod floods;
mod forwarding;
mod hostile;
mod lists;
mod live;
mod restarts;
mod streams;
mod stub;
mod tls;
