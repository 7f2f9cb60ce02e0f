//! What this service decides about: facts from other services, deliveries and requests.

pub mod webhooks;

use axum::http::HeaderMap;
use mailbox::Trace;
use proto::{CustomerId, NotificationId, OrderId};

use crate::{
    domain::{Channel, Contact, Failure, News, Template},
    templates::TemplateFields,
};

pub use webhooks::{KeptEvent, WebhookRequest};

/// What a message, a delivery or a request means to this service.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another service published something that a customer is to be told.
    Heard(Box<Fact>),
    /// Another service, or this one, published something that webhooks alone are told.
    Overheard(Box<KeptEvent>),
    /// A notification was delivered, or will not be.
    Ended(Box<DeliveryEnd>),
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
    /// The event, for webhooks.
    pub event: Option<KeptEvent>,
}

/// The service that published an event: each counts its own versions of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Payments,
}

/// How a delivery ended, at attempt number `attempts`.
#[derive(Clone, Debug)]
pub struct DeliveryEnd {
    pub id: NotificationId,
    /// The order that the notification is about, if it is about one.
    pub order: Option<OrderId>,
    pub attempts: i32,
    /// The provider's name for what it took, or why it was not delivered.
    pub outcome: Result<Option<String>, (Failure, String)>,
}

impl Input {
    /// The order whose notice this input needs locked.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Heard(fact) => Some(fact.order),
            Self::Ended(end) => end.order,
            Self::Request(Request::Notify(letter)) => letter.order,
            Self::Overheard(_)
            | Self::Request(Request::PutContact { .. } | Request::Webhook(_)) => None,
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
    /// Staff tell somebody something.
    Notify(Letter),
    /// Staff look after webhooks.
    Webhook(WebhookRequest),
}

/// What staff send, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub channel: Channel,
    pub to: String,
    /// `None` for a text of their own, which is in the fields `subject` and `text`.
    pub template: Option<Template>,
    pub fields: TemplateFields,
    /// The order that it is about.
    pub order: Option<OrderId>,
}
