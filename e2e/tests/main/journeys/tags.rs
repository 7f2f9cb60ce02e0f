//! Entity tags: every single resource has one, and every change that may be conditional is.

use e2e::{Shop, in_the_shop};
use serde_json::{Value, json};

const STALE: &str = "\"another\"";

/// The paths of everything that is a resource by itself, about one confirmed order.
async fn resources(shop: &Shop) -> Vec<String> {
    let mug = shop.lists("5.00", 5).await;
    let customer = shop.welcomes("50.00").await;
    let order = shop.place(customer.wants(1, &mug).from_the_account()).await;
    shop.expect(&order, "confirmed").await;
    let payment = shop.the("payments", &order, "captured").await;
    let reservation = shop.the("reservations", &order, "sold").await;
    let told = shop.notification(&order, "order_confirmation", "sent").await;
    // The order changes once more when order-svc has heard of it.
    let is_told = |saga: &Value| saga["completed_steps"][3] == "notification_sent";
    shop.until(&order.path("/saga"), "told", is_told).await;
    let free = json!({"items": [{"sku": mug.sku, "quantity": 1}]});
    let free = shop.post("/v1/reservations", &free).await.with(201);
    let by_id = |what: &str, it: &Value| format!("/v1/{what}/{}", it["id"].as_str().unwrap());
    vec![
        order.path(""),
        order.path("/status"),
        order.path("/saga"),
        by_id("payments", &payment),
        by_id("reservations", &reservation),
        by_id("reservations", &free),
        by_id("notifications", &told),
        format!("/v1/accounts/{}", customer.id),
        format!("/v1/accounts/{}/balance", customer.id),
        format!("/v1/customers/{}/contact", customer.id),
        format!("/v1/products/{}", mug.sku),
        format!("/v1/products/{}/stock", mug.sku),
    ]
}

#[test]
fn every_single_resource_has_a_tag_and_is_not_sent_twice() {
    in_the_shop(async |shop| {
        for path in resources(shop).await {
            let shown = shop.get(&path).await;
            let tag = shown.header("etag").to_owned();
            assert!(tag.len() > 2, "{path} has no tag: {shown}");

            let same = shop.get(&path).header("if-none-match", &tag).await;
            let other = shop.get(&path).header("if-none-match", STALE).await;

            assert_eq!((same.status, same.text.as_str()), (304, ""), "{path}");
            assert_eq!(same.header("etag"), tag, "{path}");
            assert_eq!((other.status, other.body), (200, shown.body), "{path}");
        }
    });
}

#[test]
fn no_change_is_made_to_another_version_than_was_seen_nor_to_nothing() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        let items = json!({"items": [{"sku": mug.sku, "quantity": 1}]});
        let held = shop.post("/v1/reservations", &items).await.with(201);
        let held = format!("/v1/reservations/{}", held["id"].as_str().unwrap());
        let product = json!({"name": "Red mug", "price": "6.00"});
        let (house, contact) = (json!({"name": "Far", "priority": 9}), json!({"language": "ru"}));
        let changes = [
            ("PUT", order.path(""), Some(&items)),
            ("DELETE", order.path(""), None),
            ("PUT", held.clone(), Some(&items)),
            ("DELETE", held.clone(), None),
            ("PUT", format!("/v1/products/{}", mug.sku), Some(&product)),
            ("PUT", format!("/v1/products/{}", shop.a_name("new")), Some(&product)),
            ("PUT", format!("/v1/warehouses/{}", shop.a_name("new")), Some(&house)),
            ("PUT", format!("/v1/customers/{}/contact", shop.a_stranger().id), Some(&contact)),
        ];

        for (method, path, body) in changes {
            let ask = shop.ask(method, &path).header("if-match", STALE);
            let ask = if let Some(body) = body { ask.json(body) } else { ask };
            ask.await.refused(412, "stale");
        }

        assert_eq!(shop.get(&order.path("")).await.with(200)["revision"], 1);
        assert_eq!(shop.get(&held).await.with(200)["status"], "held");
        let shown = shop.get(&format!("/v1/products/{}", mug.sku)).await.with(200);
        assert_eq!(shown["name"], "Blue mug");
    });
}
