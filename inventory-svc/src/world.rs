//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{HeldRow, Tracked};
use proto::{CustomerId, OrderId, ReservationId, Sku, WarehouseId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        Allocation, ManualReservation, Motion, Product, Reservation, Shelf, Stock, Warehouse,
    },
    input::Input,
};

/// The reservation of one order, with its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The reservation's own id; none until something is heard about the order.
    pub id: Option<ReservationId>,
    /// The order's customer; none if the event that was heard first names nobody.
    pub customer: Option<CustomerId>,
    /// How many events were announced about the reservation.
    pub version: i64,
    /// The highest version heard from order-svc.
    pub heard_orders: i64,
    pub state: Reservation,
}

impl Root {
    /// What the sweep has to wait for, if anything.
    pub fn wait(&self, order: OrderId) -> Option<Wait> {
        match self.state {
            Reservation::Held { expires_at: until, expired: false, .. } => {
                Some(Wait { until, reservation: self.id?, order: Some(order) })
            }
            Reservation::Held { expired: true, .. }
            | Reservation::Unheard
            | Reservation::Rejected { .. }
            | Reservation::Sold { .. }
            | Reservation::Released { .. }
            | Reservation::Tombstone { .. } => None,
        }
    }

    /// The pieces that its row tells of: those of the last reserved revision, and those beside.
    pub fn pieces(&self) -> (&[Allocation], &[Allocation]) {
        match &self.state {
            Reservation::Held { allocations, surplus, .. } => (allocations, surplus),
            Reservation::Sold { allocations, .. } | Reservation::Released { allocations, .. } => {
                (allocations, &[])
            }
            Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Tombstone { .. } => {
                (&[], &[])
            }
        }
    }

    /// The SKUs of which the order has pieces that may still move.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        skus_of(self.state.pieces())
    }
}

/// A reservation, and when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub until: OffsetDateTime,
    pub reservation: ReservationId,
    /// None for a reservation without an order.
    pub order: Option<OrderId>,
}

/// The SKU of each allocation; one that lies in several warehouses comes several times.
pub fn skus_of<'a>(
    allocations: impl IntoIterator<Item = &'a Allocation>,
) -> impl Iterator<Item = &'a Sku> {
    allocations.into_iter().map(|allocation| &allocation.sku)
}

/// Pieces received or written off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub id: Uuid,
    pub sku: Sku,
    pub warehouse: WarehouseId,
    /// Pieces received, or written off if below 0.
    pub delta: i64,
    pub reason: String,
    /// Who asked for it.
    pub caller: String,
    pub at: OffsetDateTime,
}

/// The rows of one batch.
#[derive(Debug, Default)]
pub struct World {
    /// One for each order of the batch, heard of before or not.
    pub roots: BTreeMap<OrderId, Tracked<Root>>,
    /// The reservations without an order that the batch names or makes.
    pub manual: BTreeMap<ReservationId, Tracked<ManualReservation>>,
    /// The reservations that the batch names and that are of orders.
    pub of_orders: BTreeMap<ReservationId, OrderId>,
    pub products: BTreeMap<Sku, Tracked<Product>>,
    pub stock: Stock,
    /// The shelves as they were found, to tell which have changed.
    pub shelves_found: BTreeMap<(Sku, WarehouseId), Shelf>,
    /// Loaded only when an input may name a warehouse, or a SKU lies in several.
    pub warehouses: BTreeMap<WarehouseId, Tracked<Warehouse>>,
    pub adjustments: Vec<Adjustment>,
    /// Products that will be announced at the end of the batch whatever else happens: their version
    /// is raised already.
    pub to_say: BTreeSet<Sku>,
    /// Reservations and products whose rows another session holds.
    pub held_reservations: BTreeSet<OrderId>,
    pub held_manual: BTreeSet<ReservationId>,
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
        if let Some(id) = input.reservation()
            && self.held_manual.contains(&id)
        {
            return Some(HeldRow::new("reservation", id.to_string()));
        }
        let root = input.order().and_then(|order| self.roots.get(&order));
        let of_root = root.into_iter().flat_map(|root| root.now.skus());
        let manual = input.reservation().and_then(|id| self.manual.get(&id));
        let of_manual = manual.into_iter().flat_map(|row| skus_of(&row.now.allocations));
        let mut skus = input.skus().into_iter().chain(of_root).chain(of_manual);
        let sku = skus.find(|sku| self.held_products.contains(*sku))?;
        Some(HeldRow::new("product", sku.to_string()))
    }

    /// Moves pieces on their shelves.
    pub fn apply(&mut self, motions: &[(Motion, Vec<Allocation>)]) {
        for (motion, pieces) in motions {
            self.stock.apply(*motion, pieces);
        }
    }

    /// Has a product announced at the end of the batch, whatever else happens to it. Its version
    /// rises at once, so that an answer shows the one that will be announced.
    pub fn say(&mut self, sku: &Sku) {
        if let Some(product) = self.products.get_mut(sku) {
            product.now.version += i64::from(self.to_say.insert(sku.clone()));
        }
    }
}
