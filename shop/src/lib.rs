//! The command line, one file per command.
//!
//! `up`, `down` and `status` own the processes: `supervise` keeps them alive, `plan` says what each
//! one is started with, `home` is the folder in which a stack is found again, and `processes` finds
//! running processes through the kernel. In containers `compose` does all of that, by the `engine`;
//! `keys`, `provision` and `probe` run in there. The other commands are clients: they read from
//! [`Home::stack`] where the stack is, and talk to it as anybody could.

pub mod compose;
pub mod engine;
pub mod health;
pub mod home;
pub mod keys;
pub mod plan;
pub mod ports;
pub mod process;
pub mod processes;
pub mod progress;
pub mod schema;
pub mod settings;

pub mod broker;
pub mod down;
pub mod faults;
pub mod probe;
pub mod provision;
pub mod status;
pub mod supervise;
pub mod up;

pub mod api;
mod begun;
mod by_id;
pub mod follow;
mod members;
pub mod story;
pub mod telemetry;
pub mod terminal;

pub mod audit;
pub mod consumers;
pub mod demo;
pub mod load;
pub mod order;
pub mod parked;
pub mod replay;
pub mod seed;
pub mod tail;
pub mod token;

pub mod testing;

pub use home::{Backend, Home, Stack};
pub use ports::Ports;
