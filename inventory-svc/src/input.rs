//! What this service decides about.

use axum::http::HeaderMap;
use proto::{OrderId, Sku, WarehouseId, orders};
use service_kit::AmountRequest;

use crate::domain::{Event, SkuQuantity, Warehouse};

/// What a message, the sweep or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    /// order-svc said something about an order. The terms are only passed on.
    Order { order: OrderId, event: Event, terms: Option<Box<orders::Terms>> },
    /// The sweep found that an order's hold is over.
    HoldRanOut(OrderId),
    /// The catalogue's topic has lost what was said of a product.
    SayAnew(Sku),
    /// Somebody asks for something.
    Request(Request),
}

impl Input {
    /// The order whose reservation it needs.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Order { order, .. } | Self::HoldRanOut(order) => Some(*order),
            Self::SayAnew(_) | Self::Request(_) => None,
        }
    }

    /// The SKUs that it names itself; those of a reservation come from its row.
    pub fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::Order { event: Event::OrderPlaced { lines, .. }, .. } => {
                lines.iter().map(|line| &line.sku).collect()
            }
            Self::Order { .. } | Self::HoldRanOut(_) => Vec::new(),
            Self::SayAnew(sku) => vec![sku],
            Self::Request(request) => request.skus(),
        }
    }

    /// Whether it needs to know the warehouses.
    pub fn names_warehouse(&self) -> bool {
        matches!(self, Self::Request(request) if request.names_warehouse())
    }
}

/// A request that goes through a batch.
#[derive(Clone, Debug)]
pub enum Request {
    PutProduct {
        sku: Sku,
        name: String,
        price: AmountRequest,
        headers: HeaderMap,
    },
    AdjustStock {
        sku: Sku,
        warehouse: WarehouseId,
        delta: i64,
        reason: String,
    },
    PutWarehouse {
        id: WarehouseId,
        warehouse: Warehouse,
        headers: HeaderMap,
    },
    /// Only where an Idempotency-Key asks for the first answer: a look needs no batch.
    AskAvailability {
        items: Vec<SkuQuantity>,
    },
}

impl Request {
    /// The SKUs that it is about.
    pub fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::PutProduct { sku, .. } | Self::AdjustStock { sku, .. } => vec![sku],
            Self::AskAvailability { items } => items.iter().map(|item| &item.sku).collect(),
            Self::PutWarehouse { .. } => Vec::new(),
        }
    }

    /// Whether it needs to know the places.
    pub fn names_warehouse(&self) -> bool {
        match self {
            Self::AdjustStock { .. } | Self::PutWarehouse { .. } => true,
            Self::PutProduct { .. } | Self::AskAvailability { .. } => false,
        }
    }
}
