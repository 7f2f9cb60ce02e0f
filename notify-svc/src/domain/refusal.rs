//! Why a request is refused.

use proto::OrderId;

/// What the state of things does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing has happened to the order of which its customer is told.
    #[error("nothing is known of order {0} here")]
    UnknownOrder(OrderId),
}
