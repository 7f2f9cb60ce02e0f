//! How products, stock and reservations are written in JSON.

use proto::{Money, OrderId, Sku, WarehouseId};
use serde::Serialize;
use time::OffsetDateTime;

use crate::domain::{Allocation, Product, Reservation, SkuQuantity, Stock, Warehouse};

/// A product as it is told over HTTP.
#[derive(Debug, Serialize)]
pub struct ProductView<'a> {
    sku: &'a Sku,
    name: &'a str,
    price: Money,
    available: i64,
    version: i64,
}

impl<'a> ProductView<'a> {
    pub fn new(product: &'a Product, available: i64) -> Self {
        let Product { sku, name, price, version, .. } = product;
        Self { sku, name, price: *price, available, version: *version }
    }
}

/// A product's pieces, shelf by shelf.
#[derive(Debug, Serialize)]
pub struct StockView<'a> {
    sku: &'a Sku,
    on_hand: i64,
    reserved: i64,
    available: i64,
    sold: i64,
    warehouses: Vec<ShelfView<'a>>,
}

#[derive(Debug, Serialize)]
struct ShelfView<'a> {
    warehouse: &'a WarehouseId,
    on_hand: i64,
    reserved: i64,
    available: i64,
}

impl<'a> StockView<'a> {
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
#[derive(Debug, Serialize)]
pub struct WarehouseView<'a> {
    id: &'a WarehouseId,
    name: &'a str,
    priority: i32,
}

impl<'a> WarehouseView<'a> {
    pub fn new(id: &'a WarehouseId, warehouse: &'a Warehouse) -> Self {
        Self { id, name: &warehouse.name, priority: warehouse.priority }
    }
}

/// Whether all items asked for are there.
#[derive(Debug, Serialize)]
pub struct AvailabilityView<'a> {
    available: bool,
    items: Vec<AvailableView<'a>>,
}

#[derive(Debug, Serialize)]
struct AvailableView<'a> {
    sku: &'a Sku,
    wanted: u32,
    available: i64,
}

impl<'a> AvailabilityView<'a> {
    pub fn new(items: &'a [SkuQuantity], stock: &Stock) -> Self {
        let line = |item: &'a SkuQuantity| AvailableView {
            sku: &item.sku,
            wanted: item.quantity,
            available: stock.available(&item.sku),
        };
        // All items are allocated together: the same SKU twice needs the pieces of both.
        let available = stock.allocate(items).is_ok();
        Self { available, items: items.iter().map(line).collect() }
    }
}

/// An order's reservation as it is told over HTTP.
#[derive(Debug, Serialize)]
pub struct ReservationView<'a> {
    id: OrderId,
    order_id: OrderId,
    reference: Option<&'a str>,
    status: &'static str,
    items: Vec<AllocationView<'a>>,
    #[serde(serialize_with = "chassis::clock::serialize_option")]
    expires_at: Option<OffsetDateTime>,
}

#[derive(Debug, Serialize)]
struct AllocationView<'a> {
    sku: &'a Sku,
    quantity: u32,
    warehouse: &'a WarehouseId,
}

impl<'a> ReservationView<'a> {
    /// `None` for an order for which nothing was ever reserved.
    pub fn new(order: OrderId, state: &'a Reservation) -> Option<Self> {
        let (status, allocations, expires_at) = match state {
            Reservation::Held { allocations, expires_at, .. } => {
                ("held", allocations, Some(*expires_at))
            }
            Reservation::Sold { allocations, .. } => ("sold", allocations, None),
            Reservation::Released { allocations, .. } if !allocations.is_empty() => {
                ("released", allocations, None)
            }
            Reservation::Released { .. } | Reservation::Unheard | Reservation::Rejected { .. } => {
                return None;
            }
        };
        let item = |Allocation { sku, warehouse, quantity }: &'a Allocation| AllocationView {
            sku,
            quantity: *quantity,
            warehouse,
        };
        let items = allocations.iter().map(item).collect();
        Some(Self { id: order, order_id: order, reference: None, status, items, expires_at })
    }
}
