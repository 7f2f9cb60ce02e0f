//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{HeldRow, Tracked};
use proto::{OrderId, Sku, WarehouseId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Product, Reservation, Shelf, Stock, Warehouse},
    input::Input,
};

/// The reservation of one order, with its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// How many events were announced about the reservation.
    pub version: i64,
    /// The highest version heard from order-svc.
    pub heard_orders: i64,
    pub state: Reservation,
}

impl Root {
    /// When the sweep has to look at this reservation; none if it need not.
    pub fn waits_until(&self) -> Option<OffsetDateTime> {
        match self.state {
            Reservation::Held { expires_at, expired: false, .. } => Some(expires_at),
            Reservation::Held { expired: true, .. }
            | Reservation::Unheard
            | Reservation::Rejected { .. }
            | Reservation::Sold { .. }
            | Reservation::Released { .. } => None,
        }
    }

    /// The SKUs of which the order has pieces that may still move.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        let allocations = match &self.state {
            Reservation::Held { allocations, .. } | Reservation::Sold { allocations, .. } => {
                allocations.as_slice()
            }
            Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Released { .. } => {
                &[]
            }
        };
        allocations.iter().map(|allocation| &allocation.sku)
    }
}

/// Pieces received or written off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub id: Uuid,
    pub sku: Sku,
    pub warehouse: WarehouseId,
    pub delta: i64,
    pub reason: String,
    pub at: OffsetDateTime,
}

/// The rows of one batch.
#[derive(Debug, Default)]
pub struct World {
    /// One for each order of the batch, heard of before or not.
    pub roots: BTreeMap<OrderId, Tracked<Root>>,
    pub products: BTreeMap<Sku, Tracked<Product>>,
    pub stock: Stock,
    pub shelves_found: BTreeMap<(Sku, WarehouseId), Shelf>,
    /// Loaded only when an input may name a warehouse, or a SKU lies in several.
    pub warehouses: BTreeMap<WarehouseId, Tracked<Warehouse>>,
    pub adjustments: Vec<Adjustment>,
    /// Products that will be announced at the end of the batch whatever else happens: their version
    /// is raised already.
    pub to_say: BTreeSet<Sku>,
    /// Reservations and products whose rows another session holds.
    pub held_reservations: BTreeSet<OrderId>,
    pub held_products: BTreeSet<Sku>,
    /// How often each event was announced, for the metrics.
    pub said: BTreeMap<&'static str, u64>,
}

impl World {
    /// The held row for which `input` has to wait, if any.
    pub fn held(&self, input: &Input) -> Option<HeldRow> {
        if let Some(order) = input.order()
            && self.held_reservations.contains(&order)
        {
            return Some(HeldRow::new("reservation", order.to_string()));
        }
        let root = input.order().and_then(|order| self.roots.get(&order));
        let of_root = root.into_iter().flat_map(|root| root.now.skus());
        let mut skus = input.skus().into_iter().chain(of_root);
        let sku = skus.find(|sku| self.held_products.contains(*sku))?;
        Some(HeldRow::new("product", sku.to_string()))
    }
}
