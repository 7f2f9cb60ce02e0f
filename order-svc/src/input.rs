//! What this service decides about.

use std::sync::Arc;

use axum::http::HeaderMap;
use proto::{Event as Wire, OrderId, Sku, orders::Sealed};
use uuid::Uuid;

use crate::domain::{By, Event, LineRequest, Product, Request};

/// What a message, the sweep or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody places an order.
    Place(PlaceOrder),
    /// Somebody cancels one.
    Cancel(CancelOrder),
    /// Somebody said something about an order.
    Heard(Box<Fact>),
    /// A product as it now is.
    ProductChanged(Sku, Product),
    /// The sweep found an order whose time to pay is over.
    DeadlinePassed(OrderId),
}

impl Input {
    /// The order whose row it needs.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Cancel(CancelOrder { order, .. }) | Self::DeadlinePassed(order) => Some(*order),
            Self::Heard(fact) => Some(fact.order),
            Self::Place(_) | Self::ProductChanged(..) => None,
        }
    }
}

/// A request for an order, read and well-formed.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    pub request: Arc<Request>,
    /// A card's details, for payment-svc alone.
    pub details: Option<Sealed>,
    pub trace_id: Option<[u8; 16]>,
    /// By what name each line called its product, for refusals that point at it.
    pub names: Arc<[&'static str]>,
    /// Not when too much waits: then only a first answer under the key is told again.
    pub is_admitted: bool,
}

impl PlaceOrder {
    /// The SKUs that it names.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        self.request.lines.iter().filter_map(|line| match line {
            LineRequest::Product { sku, .. } => Some(sku.as_str()),
            LineRequest::Extra { .. } => None,
        })
    }
}

/// A request to cancel an order.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    pub order: OrderId,
    pub by: By,
    pub text: Arc<str>,
    /// The state that the caller wants to cancel, as `If-Match` names it.
    pub conditions: HeaderMap,
}

/// Something that was said about an order, with what its history needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub order: OrderId,
    pub source: Source,
    pub event: Event,
    /// As it was said.
    pub wire: Wire,
    pub event_id: Uuid,
    pub version: i64,
}

/// Who said it: versions are counted for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stock,
    Payments,
    Notifications,
}
