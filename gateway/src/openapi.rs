//! What the gateway answers by itself, described to machines.

use chassis::{
    Code,
    openapi::{ApiOperation, View},
};
use proto::{CustomerId, OrderId};
use serde_json::{Value, json};

use crate::erasure::Erasure;

/// What the gateway answers by itself.
pub fn operations() -> Vec<ApiOperation> {
    let event = json!({"event": "order", "id": "2", "data": "{\"status\":\"confirmed\"}"});
    vec![
        ApiOperation::get("/v1/orders/{id}/stream", "stream_order", "An order, live")
            .path::<OrderId>("id", "The order.")
            .about(
                "Server-sent events: `order` with the order as JSON after each event said about \
                 it (`id` is its version), `saga` between them.",
            )
            .header("Last-Event-ID")
            .events("The present, and then what follows.", event),
        ApiOperation::delete("/v1/customers/{id}", "erase_customer", "Erases a customer's data")
            .path::<CustomerId>("id", "The customer.")
            .about("Contact, addresses and words; orders, money and stock stay under the bare id.")
            .tells::<Erasure>(200, "What this call has erased.")
            .refuses(&[Code::Overloaded]),
    ]
}

impl View for Erasure {
    fn example() -> Value {
        json!({"erased": {"contacts": 1, "notifications": 12, "orders": 3}})
    }
}
