//! Operators and consumers: what each service reads, a pause by hand, and resuming from an offset.

use backends::testing::eventually;
use e2e::{PlacedOrder, Shop, WITHIN, alone_in_the_shop, in_the_shop};
use proto::topic;
use serde_json::{Value, json};

const PAUSE: &str = "/v1/consumers/order-svc/pause";
const RESUME: &str = "/v1/consumers/order-svc/resume";

/// The partitions of notify-svc's topic that order-svc reads: no order's ending waits for them.
async fn partitions(shop: &Shop) -> Vec<Value> {
    let list = shop.get("/v1/consumers?service=order-svc&limit=200").await.with(200);
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|item| item["topic"] == topic::NOTIFICATIONS).cloned().collect()
}

async fn until_they_are(shop: &Shop, state: &str) -> Vec<Value> {
    eventually(&format!("all are {state}"), WITHIN, async || {
        let items = partitions(shop).await;
        let is_so = !items.is_empty() && items.iter().all(|item| item["state"] == state);
        if is_so { Ok(items) } else { Err(json!(items)) }
    })
    .await
}

fn step(saga: &Value) -> &Value {
    let steps = saga["steps"].as_array().unwrap();
    &steps.iter().find(|step| step["step"] == "notification_sent").unwrap()["state"]
}

/// A confirmed order whose customer was told by mail.
async fn a_confirmed_order(shop: &Shop) -> PlacedOrder {
    let mug = shop.lists("5.00", 5).await;
    let customer = shop.welcomes("10.00").await;
    let order = shop.place(customer.wants(1, &mug).from_the_account()).await;
    shop.expect(&order, "confirmed").await;
    shop.notification(&order, "order_confirmation", "sent").await;
    order
}

/// Alone, because a pause shows in the health, which other tests expect to be good.
#[test]
fn what_is_paused_by_hand_is_not_read_until_it_is_resumed_and_can_be_read_anew() {
    alone_in_the_shop(async |shop| {
        let topic = topic::NOTIFICATIONS;
        until_they_are(shop, "reading").await;
        let reason = shop.a_name("pause");

        let paused = shop.post(PAUSE, &json!({"topic": topic, "reason": reason})).await.with(200);
        assert_eq!((&paused["state"], &paused["topic"]), (&json!("paused"), &json!(topic)));
        let items = until_they_are(shop, "paused").await;
        assert!(items.iter().all(|it| it["reason"] == reason.as_str()), "{items:?}");
        let health = format!("{}/health", shop.stack().service("order-svc").unwrap());
        let health = shop.ask_at("GET", &health).await.with(200);
        assert!(health["problems"].to_string().contains(&reason), "{health}");
        let order = a_confirmed_order(shop).await;
        let saga = shop.get(&order.path("/saga")).await.with(200);
        assert_eq!(step(&saga), "waiting", "{saga}");

        shop.post(RESUME, &json!({"topic": topic, "reason": "it is over"})).await.with(200);
        until_they_are(shop, "reading").await;
        let path = order.path("/saga");
        shop.until(&path, "the mail is known", |saga| step(saga) == "completed").await;

        let events = shop.get(&order.path("/events")).await.with(200);
        shop.post(PAUSE, &json!({"topic": topic, "reason": "once more"})).await.with(200);
        let anew = json!({"topic": topic, "from": "beginning", "reason": "all of it again"});
        shop.post(RESUME, &anew).await.with(200);
        until_they_are(shop, "reading").await;
        let next = a_confirmed_order(shop).await;
        let path = next.path("/saga");
        shop.until(&path, "the next mail is known", |saga| step(saga) == "completed").await;
        let again = shop.get(&order.path("/events")).await.with(200);
        assert_eq!(again, events, "what was read once more happened once");

        let done = shop.get("/v1/operations?service=order-svc&limit=200").await.with(200);
        let again = "all of it again (from the beginning)";
        let done: Vec<_> = done["items"].as_array().unwrap().iter().collect();
        assert!(done.iter().any(|it| it["reason"] == reason.as_str()), "{done:?}");
        assert!(done.iter().any(|it| it["reason"] == again), "{done:?}");
    });
}

#[test]
fn consumers_are_told_of_every_service_and_a_change_needs_a_reason() {
    in_the_shop(async |shop| {
        for service in ["order-svc", "payment-svc", "inventory-svc", "notify-svc"] {
            let path = format!("/v1/consumers?service={service}");
            let list = shop.get(&path).await.with(200);
            let items = list["items"].as_array().unwrap();
            assert!(!items.is_empty() && items.iter().all(|it| it["service"] == service), "{list}");
        }
        let nobody = "/v1/consumers?service=cat-svc";
        shop.get(nobody).await.refused(400, "bad_parameter");
        for path in [PAUSE, RESUME] {
            shop.post(path, &json!({})).await.refused(422, "missing_field");
        }
        let nobody = json!({"reason": "a test"});
        shop.post("/v1/consumers/cat-svc/pause", &nobody).await.refused(404, "not_found");
        let topic = json!({"topic": "shop.cats.v1", "reason": "a test"});
        shop.post(PAUSE, &topic).await.refused(422, "invalid_value");
        let offset = json!({"topic": topic::NOTIFICATIONS, "from": {"offset": 1}, "reason": "x"});
        shop.post(RESUME, &offset).await.refused(422, "missing_field");
    });
}
