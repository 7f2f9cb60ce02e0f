//! What this service decides about: facts from other services, requests, and what its sweep found.

use std::sync::Arc;

use axum::http::HeaderMap;
use chassis::Caller;
use proto::{Event as Wire, OrderId, Sku, orders::Sealed};
use uuid::Uuid;

use crate::domain::{Event, LineRequest, OrderRequest, Product};

/// What a message, a request or a find of the sweep means to this service.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another service published an event about an order.
    Heard(Box<Fact>),
    /// A product as it is now, published by inventory-svc.
    ProductChanged(Sku, Product),
    /// The sweep found an order whose time to pay is over.
    DeadlinePassed(OrderId),
    /// Somebody asks for something.
    Request(Request),
}

impl Input {
    /// The order whose row this input needs locked; none for a new order or a product.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Heard(fact) => Some(fact.order),
            Self::DeadlinePassed(order) => Some(*order),
            Self::Request(Request::Change(change)) => Some(change.order),
            Self::Request(Request::Place(_)) | Self::ProductChanged(..) => None,
        }
    }

    /// The SKUs that a request names.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        let lines = match self {
            Self::Request(Request::Place(asked)) => &*asked.request.lines,
            Self::Request(Request::Change(ChangeOrder {
                change: Change::Amend(wanted), ..
            })) => &*wanted.lines,
            _ => &[],
        };
        lines.iter().filter_map(LineRequest::sku).map(Sku::as_str)
    }
}

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    Place(PlaceOrder),
    Change(ChangeOrder),
}

/// A request for an order, read and well-formed.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    pub request: Arc<OrderRequest>,
    /// What the customer wants to be known; may be empty.
    pub note: Arc<str>,
    /// The card's details, sealed: only payment-svc opens them.
    pub details: Option<Sealed>,
    pub trace_id: Option<[u8; 16]>,
    /// Who asks, and the idempotency key of the request, if it has one.
    pub request_key: Option<Arc<str>>,
    /// For each line, the JSON member that named its product, so that a refusal can point at it.
    pub names: Arc<[&'static str]>,
    /// False while new orders are refused (`pressure.rs`). Then only a stored answer to the same
    /// idempotency key is given again.
    pub is_admitted: bool,
}

/// A request to change an order.
#[derive(Clone, Debug)]
pub struct ChangeOrder {
    pub order: OrderId,
    pub caller: Caller,
    pub change: Change,
    /// The request's `If-Match` headers: the state of the order that the caller wants to change.
    pub conditions: HeaderMap,
}

/// What is to become of an order.
#[derive(Clone, Debug)]
pub enum Change {
    Amend(AmendedLines),
    Cancel {
        /// Why, in the caller's words; may be empty.
        words: Arc<str>,
    },
    Ship {
        carrier: Arc<str>,
        tracking_number: Arc<str>,
    },
    Deliver,
}

/// The lines that an order is to have.
#[derive(Clone, Debug)]
pub struct AmendedLines {
    pub lines: Arc<[LineRequest]>,
    /// For each line, the JSON member that named its product, so that a refusal can point at it.
    pub names: Arc<[&'static str]>,
}

/// A fact about an order, with everything that the order's history needs of its event.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub order: OrderId,
    pub source: Source,
    pub event: Event,
    /// The event as it was published, for the history.
    pub wire: Wire,
    pub event_id: Uuid,
    pub version: i64,
}

/// The service that published a fact: each counts its own versions of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stock,
    Payments,
    Notifications,
}
