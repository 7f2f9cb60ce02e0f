//! What this service decides about: occasions, deliveries and requests.

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
    Occasion(Box<Occasion>),
    /// A notification was delivered, at attempt number `attempts`.
    Delivered {
        order: OrderId,
        id: NotificationId,
        attempts: i32,
    },
    /// Somebody says where a customer can be reached.
    PutContact(PutContact),
}

/// Something that a customer is to be told.
#[derive(Clone, Debug)]
pub struct Occasion {
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
            Self::Occasion(occasion) => Some(occasion.order),
            Self::Delivered { order, .. } => Some(*order),
            Self::PutContact(_) => None,
        }
    }
}

/// Where a customer can be reached from now on.
#[derive(Clone, Debug)]
pub struct PutContact {
    pub customer: CustomerId,
    pub contact: Contact,
    /// The request's `If-Match` headers: the state that the caller wants to replace.
    pub conditions: HeaderMap,
}
