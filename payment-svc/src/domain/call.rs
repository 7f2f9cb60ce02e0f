//! What is asked of the provider, and what the provider knows it by.

use std::sync::Arc;

use proto::{Money, OrderId};

use super::Token;

/// Something to ask of the provider until it answers. What is asked names itself by the order and
/// the operation, never by the try: that name is the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub order: OrderId,
    pub amount: Money,
    pub operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Charge { revision: u32, token: Token },
    Refund { number: u32, reference: Arc<str> },
}

impl Call {
    /// What the provider knows the operation by: the same however often it is asked.
    pub fn key(&self) -> String {
        match &self.operation {
            Operation::Charge { revision, .. } => format!("{}.charge.{revision}", self.order),
            Operation::Refund { number, .. } => format!("{}.refund.{number}", self.order),
        }
    }
}
