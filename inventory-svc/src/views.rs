//! How products, stock and reservations are written in JSON.

use chassis::clock::Timestamp;
use proto::{Money, OrderId, ReservationId, Sku, WarehouseId, words};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        Allocation, ManualPhase, ManualReservation, Pieces, Product, Reservation, SkuQuantity,
        Stock, Warehouse,
    },
    world::{Adjustment, Root},
};

/// A product as it is told over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProductView<'a> {
    sku: &'a Sku,
    name: &'a str,
    price: Money,
    available: i64,
    version: i64,
}

impl<'a> ProductView<'a> {
    /// The product, of which `available` pieces can be reserved.
    pub fn new(product: &'a Product, available: i64) -> Self {
        let Product { sku, name, price, version, .. } = product;
        Self { sku, name, price: *price, available, version: *version }
    }
}

/// A product's pieces, shelf by shelf.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StockView<'a> {
    sku: &'a Sku,
    on_hand: i64,
    reserved: i64,
    available: i64,
    sold: i64,
    warehouses: Vec<ShelfView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ShelfView<'a> {
    warehouse: &'a WarehouseId,
    on_hand: i64,
    reserved: i64,
    available: i64,
}

impl<'a> StockView<'a> {
    /// The shelves of one SKU.
    pub fn new(sku: &'a Sku, stock: &'a Stock) -> Self {
        let mut view =
            Self { sku, on_hand: 0, reserved: 0, available: 0, sold: 0, warehouses: Vec::new() };
        for (warehouse, shelf) in stock.of(sku) {
            let (on_hand, reserved, available) = (shelf.on_hand, shelf.reserved, shelf.available());
            view.on_hand += on_hand;
            view.reserved += reserved;
            view.available += available;
            view.sold += shelf.sold;
            view.warehouses.push(ShelfView { warehouse, on_hand, reserved, available });
        }
        view
    }
}

/// A warehouse as it is told over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WarehouseView<'a> {
    id: &'a WarehouseId,
    name: &'a str,
    priority: i32,
}

impl<'a> WarehouseView<'a> {
    /// The warehouse with this id.
    pub fn new(id: &'a WarehouseId, warehouse: &'a Warehouse) -> Self {
        Self { id, name: &warehouse.name, priority: warehouse.priority }
    }
}

/// Whether all items asked for are there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AvailabilityView<'a> {
    available: bool,
    items: Vec<AvailableView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AvailableView<'a> {
    sku: &'a Sku,
    wanted: u32,
    available: i64,
}

impl<'a> AvailabilityView<'a> {
    /// Whether `stock` has all of `items`.
    pub fn new(items: &'a [SkuQuantity], stock: &Stock) -> Self {
        let line = |item: &'a SkuQuantity| AvailableView {
            sku: &item.sku,
            wanted: item.quantity,
            available: stock.available(&item.sku),
        };
        // All items are allocated together: the same SKU twice needs the pieces of both.
        let available = stock.allocate(items, &Pieces::default()).is_ok();
        Self { available, items: items.iter().map(line).collect() }
    }
}

words! {
    /// How a reservation stands.
    pub enum ReservationStatus {
        Held = "held",
        Sold = "sold",
        Released = "released",
        Expired = "expired",
    }
}

/// A reservation as it is told over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReservationView<'a> {
    id: ReservationId,
    order_id: Option<OrderId>,
    reference: Option<&'a str>,
    status: ReservationStatus,
    items: Vec<AllocationView<'a>>,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AllocationView<'a> {
    sku: &'a Sku,
    quantity: u32,
    warehouse: &'a WarehouseId,
}

impl<'a> ReservationView<'a> {
    /// `None` for an order for which nothing was ever reserved.
    pub fn of_order(order: OrderId, root: &'a Root) -> Option<Self> {
        let (status, allocations, expires_at) = match &root.state {
            Reservation::Held { allocations, expires_at, .. } => {
                (ReservationStatus::Held, allocations, Some(*expires_at))
            }
            Reservation::Sold { allocations, .. } => (ReservationStatus::Sold, allocations, None),
            Reservation::Released { allocations, .. } => {
                (ReservationStatus::Released, allocations, None)
            }
            Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Tombstone { .. } => {
                return None;
            }
        };
        let (order_id, items) = (Some(order), items(allocations));
        let expires_at = expires_at.map(Timestamp::from);
        Some(Self { id: root.id?, order_id, reference: None, status, items, expires_at })
    }

    /// A reservation without an order.
    pub fn manual(id: ReservationId, reservation: &'a ManualReservation) -> Self {
        let (status, expires_at) = match reservation.phase {
            ManualPhase::Held { until } => (ReservationStatus::Held, Some(until)),
            ManualPhase::Released => (ReservationStatus::Released, None),
            ManualPhase::Expired { since } => (ReservationStatus::Expired, Some(since)),
        };
        let reference = reservation.reference.as_deref();
        let items = items(&reservation.allocations);
        let expires_at = expires_at.map(Timestamp::from);
        Self { id, order_id: None, reference, status, items, expires_at }
    }
}

fn items(allocations: &[Allocation]) -> Vec<AllocationView<'_>> {
    let items = allocations.iter().map(|Allocation { sku, warehouse, quantity }| AllocationView {
        sku,
        quantity: *quantity,
        warehouse,
    });
    items.collect()
}

/// Pieces received or written off, as they are told over HTTP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdjustmentView<'a> {
    id: Uuid,
    warehouse: &'a WarehouseId,
    delta: i64,
    reason: &'a str,
    by: &'a str,
    at: Timestamp,
}

impl<'a> AdjustmentView<'a> {
    /// An adjustment as it was booked.
    pub fn new(adjustment: &'a Adjustment) -> Self {
        let Adjustment { id, warehouse, delta, reason, caller, at, .. } = adjustment;
        Self { id: *id, warehouse, delta: *delta, reason, by: caller, at: (*at).into() }
    }
}
