//! Calls to the provider, and the idempotency key of each.

use std::sync::Arc;

use proto::{Money, OrderId};

use super::Token;

/// A request to the provider, repeated until it answers. Order and operation name the call, never
/// the attempt: that name is the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub order: OrderId,
    pub amount: Money,
    pub operation: Operation,
}

/// What the provider is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Charge { revision: u32, token: Token },
    Refund { number: u32, reference: Arc<str> },
}

impl Call {
    /// The idempotency key: the same however often the provider is asked.
    pub fn key(&self) -> String {
        match &self.operation {
            Operation::Charge { revision, .. } => format!("{}.charge.{revision}", self.order),
            Operation::Refund { number, .. } => format!("{}.refund.{number}", self.order),
        }
    }
}
