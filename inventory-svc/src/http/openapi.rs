//! This service's operations, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, ID, delete, get, post, put},
};
use proto::{OrderId, ReservationId, Sku, WarehouseId};
use serde_json::{Value, json};

use super::bodies;
use crate::views::{
    AdjustmentView, AvailabilityView, ProductView, ReservationView, StockView, WarehouseView,
};

/// Every operation of this service but the operators'.
pub fn operations() -> Vec<ApiOperation> {
    [products(), warehouses(), reservations()].into_iter().flatten().collect()
}

fn products() -> Vec<ApiOperation> {
    let mug = json!({"name": "Blue mug", "price": {"amount": "29.99", "currency": "USD"}});
    let received = json!({"warehouse": "main", "delta": 50, "reason": "received"});
    vec![
        get("/v1/products", "list_products", "Products")
            .query::<String>("q", "Only those whose name or SKU has this in it.")
            .list::<ProductView<'_>>("Products, by SKU."),
        of_sku(get("/v1/products/{sku}", "get_product", "A product"))
            .resource::<ProductView<'_>>("The product."),
        of_sku(put("/v1/products/{sku}", "put_product", "Lists or changes a product"))
            .about("A product keeps its currency.")
            .keyed()
            .if_match()
            .body(vec![("a mug", mug)], bodies::product)
            .answers::<ProductView<'_>>(201, "Listed.")
            .answers::<ProductView<'_>>(200, "Changed."),
        of_sku(get("/v1/products/{sku}/stock", "get_stock", "A product's pieces"))
            .resource::<StockView<'_>>("What lies there, shelf by shelf."),
        of_sku(post("/v1/products/{sku}/stock", "adjust_stock", "Receives or writes off pieces"))
            .body(vec![("received", received)], bodies::adjustment)
            .answers::<StockView<'_>>(200, "What lies there now.")
            .refuses(&[Code::StockReserved, Code::InvalidValue]),
        of_sku(get(
            "/v1/products/{sku}/stock/adjustments",
            "list_adjustments",
            "What was received and written off",
        ))
        .list::<AdjustmentView<'_>>("Adjustments, the oldest first."),
        post("/v1/availability", "availability", "Whether items are there")
            .body(vec![("some", json!({"items": [mugs(2)]}))], bodies::items)
            .answers::<AvailabilityView<'_>>(200, "Whether all of them are there together."),
    ]
}

fn warehouses() -> Vec<ApiOperation> {
    vec![
        get("/v1/warehouses", "list_warehouses", "Warehouses")
            .list::<WarehouseView<'_>>("Warehouses, by id."),
        put("/v1/warehouses/{id}", "put_warehouse", "Makes or changes a warehouse")
            .path::<WarehouseId>("id", "The warehouse.")
            .about("Stock is taken from the lowest priority number first.")
            .keyed()
            .if_match()
            .body(vec![("the main one", json!({"name": "Main", "priority": 1}))], bodies::warehouse)
            .answers::<WarehouseView<'_>>(201, "Made.")
            .answers::<WarehouseView<'_>>(200, "Changed."),
    ]
}

fn reservations() -> Vec<ApiOperation> {
    let path = "/v1/reservations/{id}";
    let new = vec![
        (
            "for a quarter of an hour",
            json!({
                "reference": "counter 3", "items": [mugs(2)], "expires_in_s": 900,
            }),
        ),
        ("short", json!({"items": [mugs(1)]})),
    ];
    let changes = vec![
        ("other items", json!({"items": [mugs(1)]})),
        ("longer", json!({"expires_in_s": 3600})),
        ("both", json!({"items": [mugs(1)], "expires_in_s": 3600})),
    ];
    vec![
        get("/v1/reservations", "list_reservations", "The reservation of an order")
            .required_query::<OrderId>("order_id", "The order.")
            .list::<ReservationView<'_>>("Its reservation, or none."),
        post("/v1/reservations", "reserve", "Reserves pieces for no order")
            .about("All of them or none.")
            .body(new, bodies::reservation)
            .places::<ReservationView<'_>>(201, "Held.")
            .refuses(&[Code::InsufficientInventory, Code::UnknownProduct, Code::DuplicateLine]),
        of_reservation(get(path, "get_reservation", "A reservation"))
            .resource::<ReservationView<'_>>("The reservation."),
        of_reservation(put(path, "amend_reservation", "Changes a reservation"))
            .keyed()
            .if_match()
            .body(changes, bodies::reservation_change)
            .answers::<ReservationView<'_>>(200, "Changed.")
            .refuses(&[
                Code::InsufficientInventory,
                Code::NotAmendable,
                Code::UnknownProduct,
                Code::DuplicateLine,
            ]),
        of_reservation(delete(path, "release_reservation", "Lets a reservation go"))
            .if_match()
            .answers::<ReservationView<'_>>(200, "Released.")
            .refuses(&[Code::NotAmendable]),
    ]
}

fn of_sku(operation: ApiOperation) -> ApiOperation {
    operation.path::<Sku>("sku", "The product.")
}

fn of_reservation(operation: ApiOperation) -> ApiOperation {
    operation.path::<ReservationId>("id", "The reservation.")
}

fn mugs(quantity: u32) -> Value {
    json!({"sku": "product-123", "quantity": quantity})
}

chassis::examples! {
    ProductView<'_> => {
        "sku": "product-123", "name": "Blue mug",
        "price": {"amount": "29.99", "currency": "USD"}, "available": 48, "version": 3,
    },
    StockView<'_> => {
        "sku": "product-123", "on_hand": 50, "reserved": 2, "available": 48, "sold": 0,
        "warehouses": [
            {"warehouse": "main", "on_hand": 50, "reserved": 2, "available": 48},
        ],
    },
    AdjustmentView<'_> => {
        "id": ID, "warehouse": "main", "delta": 50, "reason": "received", "by": "ann", "at": AT,
    },
    WarehouseView<'_> => {"id": "main", "name": "Main", "priority": 1},
    AvailabilityView<'_> => {
        "available": true, "items": [{"sku": "product-123", "wanted": 2, "available": 48}],
    },
    ReservationView<'_> => {
        "id": ID, "order_id": null, "reference": "counter 3", "status": "held",
        "items": [{"sku": "product-123", "quantity": 2, "warehouse": "main"}],
        "expires_at": AT,
    },
}
