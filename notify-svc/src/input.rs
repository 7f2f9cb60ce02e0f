//! What this service decides about: facts from other services, deliveries and requests.

use axum::http::HeaderMap;
use mailbox::Trace;
use proto::{CustomerId, NotificationId, OrderId};

use crate::{
    domain::{Contact, News},
    templates::TemplateFields,
};

/// What a message, a delivery or a request means to this service.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another service published something that a customer is to be told.
    Heard(Box<Fact>),
    /// A notification was delivered, at attempt number `attempts`.
    Delivered { order: OrderId, id: NotificationId, attempts: i32 },
    /// Somebody asks for something.
    Request(Request),
}

/// A fact about an order, of which its customer is to be told.
#[derive(Clone, Debug)]
pub struct Fact {
    pub order: OrderId,
    pub source: Source,
    pub customer: CustomerId,
    pub news: News,
    pub fields: TemplateFields,
    pub trace: Option<Trace>,
}

/// The service that published an event: each counts its own versions of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Payments,
}

impl Input {
    /// The order whose notice this input needs locked.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Heard(fact) => Some(fact.order),
            Self::Delivered { order, .. } => Some(*order),
            Self::Request(_) => None,
        }
    }
}

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    /// Where a customer can be reached from now on.
    PutContact {
        customer: CustomerId,
        contact: Contact,
        /// The request's `If-Match` headers: the state that the caller wants to replace.
        conditions: HeaderMap,
    },
}
