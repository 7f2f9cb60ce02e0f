//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::collections::{BTreeMap, BTreeSet};

use proto::{OrderId, Sku, WarehouseId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Product, Reservation, Shelf, Stock};

/// A row and what it was.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    was: Option<T>,
    pub now: T,
}

impl<T: Clone + PartialEq> Kept<T> {
    /// A row as it was found.
    pub fn found(row: T) -> Self {
        Self { was: Some(row.clone()), now: row }
    }

    /// A row that is not there yet.
    pub fn new(row: T) -> Self {
        Self { was: None, now: row }
    }

    pub fn is_new(&self) -> bool {
        self.was.is_none()
    }

    /// Whether it was there and differs now.
    pub fn is_changed(&self) -> bool {
        self.was.as_ref().is_some_and(|was| *was != self.now)
    }

    pub fn was(&self) -> Option<&T> {
        self.was.as_ref()
    }
}

/// What is known of one order, with its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// How many events were said about it.
    pub version: i64,
    /// The last version heard from order-svc.
    pub heard: i64,
    pub state: Reservation,
}

impl Root {
    /// Until when the sweep has to wait before it looks at this one.
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
}

/// A place where stock lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warehouse {
    pub name: String,
    pub priority: i32,
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
    /// One for each order of the batch, known or not.
    pub roots: BTreeMap<OrderId, Kept<Root>>,
    pub products: BTreeMap<Sku, Kept<Product>>,
    pub stock: Stock,
    shelves_found: BTreeMap<(Sku, WarehouseId), Shelf>,
    /// Only where a request may name one.
    pub warehouses: BTreeMap<WarehouseId, Kept<Warehouse>>,
    pub adjustments: Vec<Adjustment>,
    /// Products of which it is certain that they are said at the end of the batch: their version is
    /// raised already.
    pub to_say: BTreeSet<Sku>,
    /// Reservations and products that another session holds.
    pub held_reservations: BTreeSet<OrderId>,
    pub held_products: BTreeSet<Sku>,
    /// How often each event was said.
    pub said: BTreeMap<&'static str, u64>,
}

impl World {
    /// Adds a shelf as it was found.
    pub fn found_shelf(&mut self, sku: Sku, warehouse: WarehouseId, found: Shelf) {
        self.shelves_found.insert((sku.clone(), warehouse.clone()), found);
        self.stock.set(sku, warehouse, found);
    }

    /// Shelves that were there and differ now, in the order of locks.
    pub fn changed_shelves(&self) -> impl Iterator<Item = (&Sku, &WarehouseId, &Shelf)> {
        self.shelves(|found, now| found.is_some_and(|found| found != now))
    }

    /// Shelves that were not there, in the order of locks.
    pub fn new_shelves(&self) -> impl Iterator<Item = (&Sku, &WarehouseId, &Shelf)> {
        self.shelves(|found, _| found.is_none())
    }

    fn shelves(
        &self,
        wanted: fn(Option<&Shelf>, &Shelf) -> bool,
    ) -> impl Iterator<Item = (&Sku, &WarehouseId, &Shelf)> {
        self.stock.shelves().filter(move |(sku, warehouse, shelf)| {
            let place = ((*sku).clone(), (*warehouse).clone());
            wanted(self.shelves_found.get(&place), shelf)
        })
    }
}
