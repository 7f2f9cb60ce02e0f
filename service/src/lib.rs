//! What the four services' edges share: a mailbox behind HTTP, and a mailbox's messages read as events.
//!
//! The mailbox knows no HTTP and the chassis no mailbox; here they meet, so that a request becomes a command, and its
//! answer a response, in the same way everywhere.

mod ask;
mod events;
mod parked;

pub use ask::{Asked, ended, outcome, refusal, submit, told};
pub use events::{announce, decode, options};
pub use parked::router as parked;
