//! This service's operations, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, DateTime, ID, delete, get, post, put},
};
use proto::{CustomerId, OrderId};
use serde_json::{Value, json};

use super::{bodies, sagas::SagaState};
use crate::{
    domain::Status,
    views::{EventView, OrderView, SagaView, StatusView},
};

/// What a request for lines may meet in the catalogue.
const LINES: &[Code] = &[
    Code::Forbidden,
    Code::InsufficientInventory,
    Code::PriceChanged,
    Code::InvalidValue,
    Code::UnknownProduct,
    Code::DuplicateLine,
];

/// Every operation of this service but the operators'.
pub fn operations() -> Vec<ApiOperation> {
    [vec![place_order(), amend_order()], changes(), reads(), lists()]
        .into_iter()
        .flatten()
        .collect()
}

fn place_order() -> ApiOperation {
    let mug = json!({"sku": "product-123", "quantity": 2, "unit_price": "29.99"});
    let jug = json!({"product_id": "product-456", "quantity": 1});
    let wrap = json!({"description": "gift wrap", "quantity": 1, "unit_price": "5.00"});
    let of = |payment: Value| json!({"items": [mug], "payment": payment});
    let examples = vec![
        (
            "by card",
            json!({
                "customer_id": "customer-456", "currency": "USD", "note": "leave at the door",
                "items": [mug], "payment": {"method": "card", "token": "tok_visa"},
            }),
        ),
        ("from the wallet", of(json!({"method": "wallet"}))),
        ("paid later", of(json!({"method": "deferred"}))),
        ("for the caller, paid later", json!({"items": [jug], "payment": {}})),
        ("with a line without stock", json!({"customer_id": "customer-456", "items": [mug, wrap]})),
    ];
    let buyer = CustomerId::parse("customer-456").ok();
    post("/v1/orders", "place_order", "Places an order")
        .about(
            "`customer_id` is the caller unless staff say whose order it is. `unit_price` is what \
             the client saw: if it is not the price of the catalogue, the order is refused. Lines \
             without stock are for staff to add. A deferred order waits for `POST /v1/payments`.",
        )
        .waits()
        .body(examples, |fields| {
            let (id, pay_within) = (OrderId::parse(ID).ok()?, time::Duration::HOUR);
            let terms = bodies::OrderTerms { id, pay_within, buyer: buyer.as_ref() };
            bodies::order(fields, &terms)
        })
        .places::<OrderView<'_>>(201, "The order, accepted.")
        .refuses(LINES)
        .refuses(&[Code::MissingField, Code::UnknownCurrency, Code::UnknownPaymentMethod])
}

fn amend_order() -> ApiOperation {
    let examples = vec![("fewer", json!({"items": [{"sku": "product-123", "quantity": 1}]}))];
    // The lines themselves are described where an order is placed.
    of_order(put("/v1/orders/{id}", "amend_order", "Changes what is ordered"))
        .about("While nothing is paid. All lines take today's price.")
        .if_match()
        .body(examples, |fields| bodies::items(fields, proto::Currency::USD))
        .answers::<OrderView<'_>>(200, "The order, with its next revision.")
        .refuses(LINES)
        .refuses(&[Code::NotAmendable])
}

fn changes() -> Vec<ApiOperation> {
    let reason = vec![("in words", json!({"reason": "changed my mind"})), ("silent", json!({}))];
    let shipment = json!({"carrier": "DHL", "tracking_number": "00340434161094042557"});
    let cancelled = "The cancelled order, also the second time.";
    vec![
        of_order(delete("/v1/orders/{id}", "delete_order", "Cancels an order"))
            .if_match()
            .answers::<OrderView<'_>>(200, cancelled)
            .refuses(&[Code::NotCancellable]),
        of_order(post("/v1/orders/{id}/cancel", "cancel_order", "Cancels an order"))
            .about("Until it is shipped: money and stock go back.")
            .optional_body(reason, bodies::reason)
            .answers::<OrderView<'_>>(200, cancelled)
            .refuses(&[Code::NotCancellable]),
        of_order(post("/v1/orders/{id}/ship", "ship_order", "Says that it was shipped"))
            .body(vec![("by parcel", shipment)], bodies::shipment)
            .answers::<OrderView<'_>>(200, "The order, shipped.")
            .refuses(&[Code::NotShippable]),
        of_order(post("/v1/orders/{id}/deliver", "deliver_order", "Says that it was delivered"))
            .optional_body(vec![("nothing", json!({}))], |_nothing| Some(()))
            .answers::<OrderView<'_>>(200, "The order, delivered.")
            .refuses(&[Code::NotShippable]),
    ]
}

fn reads() -> Vec<ApiOperation> {
    vec![
        of_order(get("/v1/orders/{id}", "get_order", "An order"))
            .waits()
            .resource::<OrderView<'_>>("The order."),
        of_order(get("/v1/orders/{id}/status", "get_status", "An order's status"))
            .resource::<StatusView>("The order's status."),
        of_order(get("/v1/orders/{id}/saga", "get_saga", "How far an order has come"))
            .resource::<SagaView>("The order, seen as steps."),
    ]
}

fn lists() -> Vec<ApiOperation> {
    let newest = "Orders, the newest first.";
    vec![
        filtered(get("/v1/orders", "list_orders", "Orders"))
            .about("A customer's are their own.")
            .query::<CustomerId>("customer_id", "Whose.")
            .list::<OrderView<'_>>(newest),
        filtered(get(
            "/v1/customers/{id}/orders",
            "list_orders_of_customer",
            "A customer's orders",
        ))
        .path::<CustomerId>("id", "The customer.")
        .list::<OrderView<'_>>(newest),
        of_order(get("/v1/orders/{id}/events", "list_events", "What was said of an order"))
            .list::<EventView>("All that was said or heard about it, the oldest first."),
        of_order(get("/v1/orders/{id}/history", "list_history", "An order's past"))
            .query::<u32>("after", "Only what followed this version.")
            .list::<OrderView<'_>>("The order as it stood after each event, the oldest first."),
        get("/v1/sagas", "list_sagas", "How far orders have come")
            .query::<SagaState>("state", "`stuck`: late, to be settled by staff, or parked.")
            .list::<SagaView>("Orders, seen as steps; of what is not finished, the oldest first."),
    ]
}

fn of_order(operation: ApiOperation) -> ApiOperation {
    operation.path::<OrderId>("id", "The order.")
}

fn filtered(operation: ApiOperation) -> ApiOperation {
    operation
        .query::<Status>("status", "Only those with this status.")
        .query::<DateTime>("created_from", "Only those placed then or later.")
        .query::<DateTime>("created_to", "Only those placed before.")
}

chassis::examples! {
    OrderView<'_> => {
        "id": ID, "customer_id": "customer-456", "status": "pending",
        "revision": 1, "version": 1,
        "items": [{
            "line": 1, "sku": "product-123", "name": "Blue mug", "quantity": 2,
            "unit_price": {"amount": "29.99", "currency": "USD"},
            "total": {"amount": "59.98", "currency": "USD"},
        }],
        "total_amount": {"amount": "59.98", "currency": "USD"},
        "payment": {"method": "card", "payment_id": null},
        "cancellation": null, "shipment": null, "amendment": null,
        "note": "leave at the door", "created_at": AT, "updated_at": AT,
    },
    StatusView => {"id": ID, "status": "confirmed", "revision": 1, "updated_at": AT},
    EventView => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "type": "shop.orders.v1.OrderConfirmed",
        "source": "/shop/order-svc", "version": 2, "at": AT, "data": {"orderId": ID},
    },
    SagaView => {
        "order_id": ID, "status": "compensating",
        "steps": [
            {"step": "inventory_reserved", "state": "compensated", "at": AT,
                "compensated_at": AT},
            {"step": "payment_processed", "state": "failed", "at": AT,
                "detail": "card_declined"},
            {"step": "order_confirmed", "state": "failed", "at": AT,
                "detail": "order_cancelled"},
            {"step": "notification_sent", "state": "failed", "at": AT,
                "detail": "order_cancelled"},
        ],
        "completed_steps": ["inventory_reserved"], "compensated_steps": ["inventory_reserved"],
        "expected": {"step": "payment_undone", "from": "payment-svc", "by": AT, "late": false},
        "parked": false, "version": 2,
        "heard": {"inventory-svc": 2, "payment-svc": 1, "notify-svc": 0},
        "started_at": AT, "updated_at": AT, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    },
}
