//! Calls to the provider, and the idempotency key of each.

use std::{fmt, sync::Arc};

use proto::{Money, OrderId};

use super::{PaymentProvider, Token};

/// A request to the provider, repeated until it answers. Order and operation name the call, never
/// the attempt: that name is the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub order: OrderId,
    pub amount: Money,
    pub provider: PaymentProvider,
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
        let order = self.order;
        let name = match &self.operation {
            Operation::Charge { revision, .. } => CallName::Charge { order, revision: *revision },
            Operation::Refund { number, .. } => CallName::Refund { order, number: *number },
        };
        name.to_string()
    }
}

/// Which call a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallName {
    Charge { order: OrderId, revision: u32 },
    Refund { order: OrderId, number: u32 },
}

impl CallName {
    /// Reads a key as it was written; `None` for any other text.
    pub fn parse(key: &str) -> Option<Self> {
        let (order, rest) = key.split_once('.')?;
        let (kind, number) = rest.split_once('.')?;
        let (order, number) = (OrderId::parse(order).ok()?, number.parse().ok()?);
        let name = match kind {
            "charge" => Self::Charge { order, revision: number },
            "refund" => Self::Refund { order, number },
            _ => return None,
        };
        // Not every spelling of a number is the one that was written.
        (name.to_string() == key).then_some(name)
    }

    /// The order that the call is about.
    pub fn order(self) -> OrderId {
        match self {
            Self::Charge { order, .. } | Self::Refund { order, .. } => order,
        }
    }
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Charge { order, revision } => write!(f, "{order}.charge.{revision}"),
            Self::Refund { order, number } => write!(f, "{order}.refund.{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_call_and_no_other_text_does() {
        let order = OrderId::parse("01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f").unwrap();
        for name in
            [CallName::Charge { order, revision: 3 }, CallName::Refund { order, number: 12 }]
        {
            assert_eq!(CallName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "",
            "charge.1",
            "a.charge.1",
            "{}.charge",
            "{}.charge.01",
            "{}.charge.+1",
            "{}.charge.-1",
            "{}.capture.1",
            "{}.charge.1.1",
            "{}.charge.4294967296",
        ] {
            let other = other.replace("{}", &order.to_string());
            assert_eq!(CallName::parse(&other), None, "{other}");
        }
    }
}
