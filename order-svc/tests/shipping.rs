//! Goods on their way: shipped and delivered, once each and in that order.

use order_svc::domain::Method;
use serde_json::{Value, json};

use super::http::{Server, a_server};

#[tokio::test]
async fn a_confirmed_order_is_shipped_and_delivered_once() {
    let Server { mut shop, http, commands: _commands, .. } = a_server().await;
    let id = shop.place(Method::Wallet).await;
    let at = format!("/v1/orders/{id}");
    let (ship, deliver) = (format!("{at}/ship"), format!("{at}/deliver"));
    let parcel = json!({"carrier": "post", "tracking_number": "1Z"});
    let refused = (409, "not_shippable");

    assert_eq!(http.post(&ship, &parcel).await.code(), refused, "it is not confirmed yet");
    let messages = [shop.reserved(id), shop.captured(id)];
    shop.hear(messages).await;
    assert_eq!(http.post(&deliver, json!({})).await.code(), refused, "nothing has left");
    let shipped = http.post(&ship, &parcel).await;
    let order = &shipped.body;
    assert_eq!((shipped.status.as_u16(), &order["status"]), (200, &json!("shipped")));
    let shipment = &order["shipment"];
    assert_eq!(
        (&shipment["carrier"], &shipment["tracking_number"]),
        (&json!("post"), &json!("1Z"))
    );
    assert_eq!(
        (&shipment["shipped_at"], &shipment["delivered_at"]),
        (&order["updated_at"], &Value::Null)
    );
    let read = http.get(&at).await;
    assert_eq!((&read.body, read.header("etag")), (order, shipped.header("etag")));
    assert_eq!(http.post(&ship, &parcel).await.code(), refused);
    assert_eq!(http.ask("DELETE", &at, &[], None).await.code(), (409, "not_cancellable"));
    assert_eq!(http.put(&at, json!({"items": [{"sku": "mug", "quantity": 1}]})).await.status, 409);

    // A body is optional where it says nothing.
    let delivered = http.ask("POST", &deliver, &[], None).await;
    assert_eq!((delivered.status.as_u16(), &delivered.body["status"]), (200, &json!("delivered")));
    assert!(delivered.body["shipment"]["delivered_at"].is_string());
    assert_eq!(http.post(&deliver, json!({})).await.code(), refused);
    assert_eq!(
        shop.names(id).await,
        ["OrderPlaced", "OrderConfirmed", "OrderShipped", "OrderDelivered"]
    );
    let saga = http.get(&format!("{at}/saga")).await.body;
    assert_eq!((&saga["status"], &saga["expected"]), (&json!("completed"), &Value::Null));
}

#[tokio::test]
async fn a_shipment_has_a_carrier_and_its_number() {
    let Server { mut shop, http, commands: _commands, .. } = a_server().await;
    let id = shop.place(Method::Wallet).await;
    let ship = format!("/v1/orders/{id}/ship");
    for (body, code) in [
        (json!({"carrier": "post"}), "missing_field"),
        (json!({"tracking_number": "1Z"}), "missing_field"),
        (json!({"carrier": "", "tracking_number": "1Z"}), "invalid_value"),
        (json!({"carrier": "x".repeat(201), "tracking_number": "1Z"}), "invalid_value"),
        (json!({"carrier": "post", "tracking_number": "1Z", "by": "air"}), "unknown_field"),
    ] {
        assert_eq!(http.post(&ship, &body).await.code(), (422, code), "{body}");
    }
    let nobodys = format!("/v1/orders/{}/ship", super::an_id());
    let parcel = json!({"carrier": "post", "tracking_number": "1Z"});
    assert_eq!(http.post(&nobodys, &parcel).await.code(), (404, "not_found"));
    assert_eq!(http.post("/v1/orders/1/deliver", json!({})).await.code(), (404, "not_found"));
}

#[tokio::test]
async fn shipped_and_delivered_orders_are_listed_as_such() {
    let Server { mut shop, http, commands: _commands, .. } = a_server().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let id = shop.place(Method::Wallet).await;
        let messages = [shop.reserved(id), shop.captured(id)];
        shop.hear(messages).await;
        orders.push(id);
    }
    shop.ship(orders[0]).await;
    shop.ship(orders[1]).await;
    http.post(&format!("/v1/orders/{}/deliver", orders[1]), json!({})).await;

    for (status, order) in [("shipped", 0), ("delivered", 1), ("confirmed", 2)] {
        for list in ["/v1/orders", "/v1/customers/customer-456/orders"] {
            let found = http.get(&format!("{list}?status={status}")).await.body;
            let ids: Vec<_> =
                found["items"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
            assert_eq!(ids, [&json!(orders[order])], "{list} {status}");
        }
    }
}
