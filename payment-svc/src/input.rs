//! What this service decides about.

use mailbox::{Answer, Trace};
use proto::{Currency, CustomerId, OrderId};
use service_kit::AmountRequest;

use crate::domain::{Event, Instrument};

/// What a message, a provider's answer or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody said something about an order.
    Heard {
        order: OrderId,
        source: Source,
        /// Whose order it is: that customer may hold money for it, or pay from an account.
        customer: Option<CustomerId>,
        event: Event,
        trace: Option<Trace>,
    },
    /// The provider answered one who had taken the call over `attempts` times.
    Answered { order: OrderId, event: Event, attempts: i32, trace: Option<Trace> },
    /// Somebody asks for something.
    Request(Request, Option<Trace>),
}

/// Who said it: versions are counted for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Stock,
}

/// A request, read and well-formed.
#[derive(Clone, Debug)]
pub enum Request {
    /// Pay what is due.
    Pay {
        order: OrderId,
        instrument: Instrument,
        amount: Option<AmountRequest>,
    },
    OpenAccount {
        customer: CustomerId,
        currency: Currency,
    },
    Deposit {
        customer: CustomerId,
        amount: AmountRequest,
    },
    Hold {
        customer: CustomerId,
        order: OrderId,
        amount: AmountRequest,
    },
    Release {
        customer: CustomerId,
        order: OrderId,
    },
    /// Nobody asks for this: the hold is as old as one may become.
    ExpireHold {
        customer: CustomerId,
        order: OrderId,
    },
    /// Nothing changes; what was found out is kept under the request's key.
    Keep(Answer),
}
