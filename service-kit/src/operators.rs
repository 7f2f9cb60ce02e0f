//! The operators' side of a service over HTTP: what has stopped, and what a person may do about it.

use axum::Router;
use mailbox::{Mailbox, Reactor};

use crate::{bulk, consumers, lanes, operations, parked, replays};

/// All routes of one service that are for operators.
pub fn router<R: Reactor>(mailbox: &Mailbox<R>, service: &'static str) -> Router {
    parked::router(mailbox.clone(), service)
        .merge(bulk::router(mailbox.clone(), service))
        .merge(consumers::router(mailbox.clone(), service))
        .merge(lanes::router(mailbox.clone(), service))
        .merge(operations::router(mailbox.clone(), service))
        .merge(replays::router(mailbox.clone(), service))
}
