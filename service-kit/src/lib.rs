//! What the four services share: a mailbox behind HTTP, messages read as events, and the start of a
//! service.
//!
//! The mailbox knows nothing of HTTP, and the chassis nothing of the mailbox. They meet here, so
//! that in every service a request becomes a command, and its answer a response, in the same way.

mod bulk;
mod consumers;
mod desk;
mod erasure;
mod events;
mod health;
mod lanes;
mod money;
pub mod openapi;
mod operations;
mod operators;
mod parked;
mod replays;
mod requests;
mod start;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod waiters;

pub use erasure::finish_erasure;
pub use events::{announce, decode, is_known, money_of, order_of};
pub use money::{AmountFault, AmountRequest};
pub use operators::router as operators;
pub use requests::{
    CommandRequest, RequestInfo, etag, json_answer, new_response, no_customer, outcome_of,
    parse_customer, parse_own_customer, refusal, required_order, response, submit,
    submit_patiently,
};
pub use start::{SealSettings, ServiceSettings, ServiceSpec, options, start};
pub use sweep::{SWEEP_MAX, decide_all, sweep};
pub use waiters::Waiters;
