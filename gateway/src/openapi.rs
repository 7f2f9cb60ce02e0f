//! What the gateway answers by itself, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, delete, get},
};
use proto::{CustomerId, OrderId};
use serde_json::json;

use crate::{erasure::Erasure, order_trace::OrderTrace, pipeline::Pipeline};

/// What the gateway answers by itself.
pub fn operations() -> Vec<ApiOperation> {
    let event = json!({"event": "order", "id": "2", "data": "{\"status\":\"confirmed\"}"});
    vec![
        get("/v1/orders/{id}/stream", "stream_order", "An order, live")
            .path::<OrderId>("id", "The order.")
            .about(
                "Server-sent events: `order` with the order as JSON after each event said about \
                 it (`id` is its version), `saga` between them; `published`: where an event about it \
                 was seen in Kafka.",
            )
            .header("Last-Event-ID")
            .events("The present, and then what follows.", event),
        get("/v1/orders/{id}/trace", "get_trace", "The trace of an order's way")
            .path::<OrderId>("id", "The order.")
            .about("For pages: Jaeger tells. Where it has none, `missing` says why.")
            .tells::<OrderTrace>(200, "What was recorded, in no order.")
            .refuses(&[Code::Overloaded]),
        get("/v1/pipeline", "get_pipeline", "How orders go through the shop now")
            .about("For pages: Prometheus tells. 404 where there is none.")
            .tells::<Pipeline>(200, "What it knows.")
            .refuses(&[Code::NotFound, Code::Overloaded]),
        delete("/v1/customers/{id}", "erase_customer", "Erases a customer's data")
            .path::<CustomerId>("id", "The customer.")
            .about("Contact, addresses and words; orders, money and stock stay under the bare id.")
            .tells::<Erasure>(200, "What this call has erased.")
            .refuses(&[Code::Overloaded]),
    ]
}

chassis::examples! {
    Erasure => {"erased": {"contacts": 1, "notifications": 12, "orders": 3}},
    OrderTrace => {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spans": [{
            "span_id": "00f067aa0ba902b7", "parent_span_id": null, "service": "gateway",
            "operation": "POST /v1/orders", "started_at": "2026-11-20T10:00:00.000250Z",
            "duration_us": 2300, "error": false,
        }],
        "missing": null,
    },
    Pipeline => {
        "at": AT, "orders_per_second": 12.5, "success_ratio": 0.93,
        "in_flight": 3.0,
        "outbox": [{"database": "orders", "pending": 0.0, "oldest_seconds": 0.0}],
        "consumers": [{"service": "order-svc", "topic": "shop.stock.v1", "lag": 0.0}],
        "stages": [{"stage": "accepted", "p50": 0.003, "p95": 0.008, "p99": null}],
    },
}
