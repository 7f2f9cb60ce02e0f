//! What this service decides about: facts from other services, the provider's answers, and
//! requests.

use mailbox::{Answer, Trace};
use proto::{Currency, CustomerId, OrderId};
use service_kit::AmountRequest;

use crate::domain::{Event, Instrument};

/// What a message, a provider's answer or a request means to this service.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another service published an event about an order.
    Heard(Box<Fact>),
    /// The provider answered a process that had the call after `attempts` takeovers.
    Answered { order: OrderId, event: Event, attempts: i32, trace: Option<Trace> },
    /// Somebody asks for something.
    Request(Request),
}

/// A fact about an order.
#[derive(Clone, Debug)]
pub struct Fact {
    pub order: OrderId,
    pub source: Source,
    /// The order's customer, whose account may hold money for it or pay it.
    pub customer: Option<CustomerId>,
    pub event: Event,
    pub trace: Option<Trace>,
}

/// The service that published a fact: each counts its own versions of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Stock,
}

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    /// Pay what is due.
    Pay {
        order: OrderId,
        instrument: Instrument,
        amount: Option<AmountRequest>,
        trace: Option<Trace>,
    },
    /// Give captured money back: so much, or all that is left.
    Refund {
        order: OrderId,
        amount: Option<AmountRequest>,
        trace: Option<Trace>,
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
    /// The sweep (`holds.rs`) found a hold that is as old as one may become.
    ExpireHold {
        customer: CustomerId,
        order: OrderId,
    },
    /// Changes nothing; the answer is stored under the request's idempotency key.
    Keep(Answer),
}
