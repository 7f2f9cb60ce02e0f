//! What this service decides about: facts from order-svc, requests, and what its sweeps found.

use axum::http::HeaderMap;
use proto::{CustomerId, OrderId, ReservationId, Sku, WarehouseId, orders};
use service_kit::AmountRequest;
use time::Duration;

use crate::domain::{Event, SkuQuantity, Warehouse};

/// What a message, a find of a sweep or a request means to this service.
#[derive(Clone, Debug)]
pub enum Input {
    /// order-svc published an event about an order.
    Heard(Box<Fact>),
    /// The sweep (`deadlines.rs`) found that the time of an order's reservation is over.
    HoldRanOut(OrderId),
    /// The sweep found that the time of a reservation without an order is over.
    ReservationRanOut(ReservationId),
    /// A product to announce again, because the catalogue's topic was made anew (`relisting.rs`).
    SayAnew(Sku),
    /// Somebody asks for something.
    Request(Request),
}

impl Input {
    /// The order whose reservation this input needs locked.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Heard(fact) => Some(fact.order),
            Self::HoldRanOut(order) => Some(*order),
            Self::ReservationRanOut(_) | Self::SayAnew(_) | Self::Request(_) => None,
        }
    }

    /// The reservation that this input names itself, and needs locked if it is no order's.
    pub fn reservation(&self) -> Option<ReservationId> {
        match self {
            Self::ReservationRanOut(id) => Some(*id),
            Self::Request(request) => request.reservation(),
            Self::Heard(_) | Self::HoldRanOut(_) | Self::SayAnew(_) => None,
        }
    }

    /// The SKUs that this input names itself; those of a reservation come from its row.
    pub fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::Heard(fact) => match &fact.event {
                Event::OrderPlaced { lines, .. } | Event::OrderAmended { lines, .. } => {
                    lines.iter().map(|line| &line.sku).collect()
                }
                _ => Vec::new(),
            },
            Self::HoldRanOut(_) | Self::ReservationRanOut(_) => Vec::new(),
            Self::SayAnew(sku) => vec![sku],
            Self::Request(request) => request.skus(),
        }
    }

    /// Whether the warehouses have to be loaded for this input.
    pub fn names_warehouse(&self) -> bool {
        matches!(self, Self::Request(request) if request.names_warehouse())
    }
}

/// A fact about an order.
#[derive(Clone, Debug)]
pub struct Fact {
    pub order: OrderId,
    /// Whose order it is; only order-svc says so.
    pub customer: Option<CustomerId>,
    pub event: Event,
    /// How the order is to be paid: only passed on.
    pub terms: Option<orders::Terms>,
}

impl Fact {
    /// A fact with nothing but its event.
    pub fn of(order: OrderId, event: Event) -> Self {
        Self { order, customer: None, event, terms: None }
    }
}

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    PutProduct {
        sku: Sku,
        name: String,
        price: AmountRequest,
        conditions: HeaderMap,
    },
    AdjustStock {
        sku: Sku,
        warehouse: WarehouseId,
        /// Pieces received, or written off if below 0.
        delta: i64,
        reason: String,
        caller: String,
    },
    PutWarehouse {
        id: WarehouseId,
        warehouse: Warehouse,
        conditions: HeaderMap,
    },
    /// Only with an Idempotency-Key, which asks for the first answer: a mere read needs no batch.
    AskAvailability {
        items: Vec<SkuQuantity>,
    },
    /// Pieces are to be held for no order.
    Reserve {
        reference: Option<String>,
        items: Vec<SkuQuantity>,
        /// How long the pieces are held.
        hold: Duration,
    },
    /// A reservation without an order is to hold other pieces, or for another time from now.
    AmendReservation {
        id: ReservationId,
        items: Option<Vec<SkuQuantity>>,
        /// How long the pieces are held from now on; as before without it.
        hold: Option<Duration>,
        conditions: HeaderMap,
    },
    ReleaseReservation {
        id: ReservationId,
        conditions: HeaderMap,
    },
}

impl Request {
    /// The SKUs that the request is about.
    pub fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::PutProduct { sku, .. } | Self::AdjustStock { sku, .. } => vec![sku],
            Self::AskAvailability { items }
            | Self::Reserve { items, .. }
            | Self::AmendReservation { items: Some(items), .. } => {
                items.iter().map(|item| &item.sku).collect()
            }
            Self::PutWarehouse { .. }
            | Self::AmendReservation { items: None, .. }
            | Self::ReleaseReservation { .. } => Vec::new(),
        }
    }

    /// The reservation that the request names.
    pub fn reservation(&self) -> Option<ReservationId> {
        match self {
            Self::AmendReservation { id, .. } | Self::ReleaseReservation { id, .. } => Some(*id),
            Self::PutProduct { .. }
            | Self::AdjustStock { .. }
            | Self::PutWarehouse { .. }
            | Self::AskAvailability { .. }
            | Self::Reserve { .. } => None,
        }
    }

    /// Whether the warehouses have to be loaded for this request.
    pub fn names_warehouse(&self) -> bool {
        match self {
            Self::AdjustStock { .. } | Self::PutWarehouse { .. } => true,
            Self::PutProduct { .. }
            | Self::AskAvailability { .. }
            | Self::Reserve { .. }
            | Self::AmendReservation { .. }
            | Self::ReleaseReservation { .. } => false,
        }
    }
}
