//! What the four services' edges share: a mailbox behind HTTP, and a mailbox's messages read as events.
//!
//! The mailbox knows no HTTP and the chassis no mailbox; here they meet, so that a request becomes a command, and its
//! answer a response, in the same way everywhere.

mod ask;
mod events;
mod parked;

use chassis::Tasks;
use mailbox::Loop;

pub use ask::{Asked, ended, outcome, refusal, submit, told};
pub use events::{announce, decode, options};
pub use parked::router as parked;

/// Spawns a mailbox's loops. Commands and the wake-up end last: what was accepted over HTTP is still committed and told
/// to the relay.
pub fn spawn(tasks: &mut Tasks, loops: Vec<Loop>) {
    for (name, run) in loops {
        match name {
            "commands" | "wake-up" => tasks.spawn_last(name, run),
            _ => tasks.spawn(name, run),
        }
    }
}
