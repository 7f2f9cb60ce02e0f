//! Messages that do not decode, put on a topic by hand: each parks its own key, and nothing else,
//! until an operator discards it.

use std::time::Duration;

use e2e::{PlacedOrder, Shop, in_the_shop};
use proto::{Role, topic};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};
use shop::follow;

/// The services that hear inventory-svc's events about an order.
const HEAR_STOCK: [&str; 3] = ["order-svc", "payment-svc", "notify-svc"];
/// The services that hear order-svc's events.
const HEAR_ORDERS: [&str; 3] = ["inventory-svc", "payment-svc", "notify-svc"];
/// The services that hear payment-svc's events.
const HEAR_PAYMENTS: [&str; 2] = ["order-svc", "notify-svc"];

#[test]
fn a_poisoned_message_stops_its_own_order_only() {
    in_the_shop(async |shop| {
        let order = an_order_that_waits(shop).await;

        poison(shop, topic::STOCK, &order).await;

        for service in HEAR_STOCK {
            let key = parked(shop, service, topic::STOCK, &order, 1).await;
            assert_eq!((&key["order_id"], &key["key"]), (&json!(order.id), &json!(order.id)));
            assert!(!key["reason"].as_str().unwrap().is_empty() && key["since"].is_string());
        }
        let mug = shop.lists("5.00", 5).await;
        let other = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&other, "confirmed").await;
        // The cancellation waits behind the parked message.
        shop.delete(&order.path("")).await.with(200);
        parked(shop, "order-svc", topic::STOCK, &order, 2).await;
        assert_eq!(shop.get(&order.path("/saga")).await.with(200)["status"], "compensating");

        for service in HEAR_STOCK {
            discard_and_release(shop, service, topic::STOCK, &order).await;
        }
        shop.saga(&order, "compensated").await;
    });
}

#[test]
fn a_poisoned_order_goes_on_in_order_once_the_message_is_dropped() {
    in_the_shop(async |shop| {
        let order = an_order_that_waits(shop).await;
        poison(shop, topic::ORDERS, &order).await;
        for service in HEAR_ORDERS {
            parked(shop, service, topic::ORDERS, &order, 1).await;
        }

        // Neither stock nor money can go back: the cancellation waits behind the parked message.
        shop.delete(&order.path("")).await.with(200);
        for service in HEAR_ORDERS {
            parked(shop, service, topic::ORDERS, &order, 2).await;
        }
        assert_eq!(shop.the("reservations", &order, "held").await["order_id"], order.id);

        for service in HEAR_ORDERS {
            discard_and_release(shop, service, topic::ORDERS, &order).await;
        }
        shop.saga(&order, "compensated").await;
        shop.the("reservations", &order, "released").await;
        shop.notification(&order, "order_cancelled", "failed").await;
    });
}

#[test]
fn a_replaced_message_is_heard_in_its_place() {
    in_the_shop(async |shop| {
        let order = an_order_that_waits(shop).await;
        let kafka = shop.stack().kafka();
        let reserved = said(&kafka, topic::STOCK, &order).await;
        poison(shop, topic::STOCK, &order).await;
        for service in HEAR_STOCK {
            parked(shop, service, topic::STOCK, &order, 1).await;
        }
        shop.delete(&order.path("")).await.with(200);
        parked(shop, "order-svc", topic::STOCK, &order, 2).await;

        let viewer = shop.token("auditor", &[Role::Viewer]);
        for service in HEAR_STOCK {
            let place = format!("/v1/parked/{service}/{}/{}", topic::STOCK, order.id);
            shop.post(&format!("{place}/release"), &json!({})).await.refused(422, "invalid_value");
            let body = json!({"payload": base64(&reserved), "reason": "the bytes that were meant"});
            shop.post(&format!("{place}/replace"), &body).await.with(200);
            // Without its version the message would take effect and be missing from the order's
            // history.
            shop.post(&format!("{place}/release"), &json!({})).await.refused(422, "invalid_value");
            let mut body = body;
            body["version"] = json!(1);
            shop.post(&format!("{place}/replace"), &body).await.with(200);
            let messages = shop.get(&place).await.with(200);
            assert!(messages["items"][0]["data"].to_string().contains(&order.id), "{messages}");
            // Who may only look sees that it is there, and not what it says.
            let masked = shop.get(&place).with_token(&viewer).await.with(200);
            let (masked, whole) = (&masked["items"][0], &messages["items"][0]);
            assert_eq!((&masked["data"], &masked["payload"]), (&Value::Null, &Value::Null));
            assert_eq!(masked["parked_id"], whole["parked_id"]);
            shop.post(&format!("{place}/release"), &json!({})).await.with(200);
        }
        shop.saga(&order, "compensated").await;
    });
}

/// Nobody else in these tests poisons this topic: a bulk operation is about all its keys.
#[test]
fn many_keys_go_on_together_at_the_gateway() {
    in_the_shop(async |shop| {
        let mut orders = Vec::new();
        for _ in 0..3 {
            let order = an_order_that_waits(shop).await;
            poison(shop, topic::PAYMENTS, &order).await;
            for service in HEAR_PAYMENTS {
                parked(shop, service, topic::PAYMENTS, &order, 1).await;
            }
            // The event that the order's money is back waits behind the parked message.
            shop.delete(&order.path("")).await.with(200);
            parked(shop, "order-svc", topic::PAYMENTS, &order, 2).await;
            orders.push(order);
        }
        for service in HEAR_PAYMENTS {
            let wish = |action: &str, expected: Option<i64>| {
                json!({"action": action, "reason": "put there by hand", "expected": expected,
                    "filter": {"service": service, "topic": topic::PAYMENTS}})
            };
            let counted = shop.post("/v1/parked/bulk", &wish("discard", None)).await.with(200);
            assert_eq!(counted["keys"], 3, "{counted}");
            let refused = shop.post("/v1/parked/bulk", &wish("discard", Some(4))).await;
            refused.refused(409, "unexpected_count");
            assert_eq!(bulk(shop, &wish("discard", Some(3))).await, json!({"discarded": 3}));
            let left = shop.post("/v1/parked/bulk", &wish("release", None)).await.with(200);
            let left = left["keys"].as_i64().unwrap();
            let released = bulk(shop, &wish("release", Some(left))).await;
            assert_eq!(released, if left == 0 { json!({}) } else { json!({"released": left}) });
        }
        for order in &orders {
            shop.saga(order, "compensated").await;
        }
    });
}

/// Carries out a bulk operation; how many keys ended how.
async fn bulk(shop: &Shop, wish: &Value) -> Value {
    let begun = shop.post("/v1/parked/bulk", wish).await;
    let path = begun.header("location").to_owned();
    begun.with(202);
    let ended = shop.until(&path, "ended", |bulk| bulk["state"] == "ended").await;
    let keys = shop.get(&format!("{path}/keys")).await.with(200);
    assert_eq!(json!(keys["items"].as_array().map(Vec::len)), ended["keys"], "{keys}");
    ended["outcomes"].clone()
}

#[test]
fn operators_are_told_what_they_may_not_do() {
    in_the_shop(async |shop| {
        let nothing = "/v1/parked/order-svc/shop.stock.v1/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";
        shop.get(nothing).await.refused(404, "not_found");
        shop.post(&format!("{nothing}/release"), &json!({})).await.refused(404, "not_found");
        let reason = json!({"reason": "none"});
        shop.post(&format!("{nothing}/discard"), &reason).await.refused(404, "not_found");
        shop.get("/v1/parked?service=nobody").await.refused(400, "bad_parameter");
        shop.get("/v1/parked?service=order-svc").await.with(200);
    });
}

/// A key that is parked at order-svc behind a message that an operator has discarded since: it can
/// be released.
pub(crate) async fn a_key_that_can_be_released(shop: &Shop) -> String {
    let order = an_order_that_waits(shop).await;
    poison(shop, topic::STOCK, &order).await;
    for service in HEAR_STOCK {
        parked(shop, service, topic::STOCK, &order, 1).await;
    }
    shop.delete(&order.path("")).await.with(200);
    parked(shop, "order-svc", topic::STOCK, &order, 2).await;
    let place = format!("order-svc/{}/{}", topic::STOCK, order.id);
    let reason = json!({"reason": "put there by hand"});
    shop.post(&format!("/v1/parked/{place}/discard"), &reason).await.with(200);
    place
}

pub(crate) async fn an_order_that_waits(shop: &Shop) -> PlacedOrder {
    let mug = shop.lists("5.00", 5).await;
    let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
    shop.expect(&order, "payment_pending").await;
    // By now every event that the shop publishes about the order by itself has been heard.
    shop.notification(&order, "payment_due", "failed").await;
    order
}

pub(crate) async fn poison(shop: &Shop, topic: &str, order: &PlacedOrder) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shop.stack().kafka()).set("partitioner", "murmur2_random");
    let producer: FutureProducer = config.create().unwrap();
    let record = FutureRecord::to(topic).key(&order.id).payload(b"\xff\xff\xff".as_slice());
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

/// Waits until `messages` messages of the order are parked at the service.
async fn parked(
    shop: &Shop,
    service: &str,
    topic: &str,
    order: &PlacedOrder,
    messages: u64,
) -> Value {
    let find = |list: &Value| {
        let mut keys = list["items"].as_array()?.iter();
        keys.find(|key| {
            key["service"] == service
                && key["topic"] == topic
                && key["key"] == order.id.as_str()
                && key["messages"] == messages
        })
        .cloned()
    };
    let what = format!("{messages} parked of {} at {service}", order.id);
    let list = shop.until("/v1/parked?limit=200", &what, |list| find(list).is_some()).await;
    find(&list).unwrap()
}

async fn discard_and_release(shop: &Shop, service: &str, topic: &str, order: &PlacedOrder) {
    let place = format!("/v1/parked/{service}/{topic}/{}", order.id);
    let messages = shop.get(&place).await.with(200);
    let messages = messages["items"].as_array().unwrap();
    assert!(messages[0]["data"].is_null(), "{messages:?}");
    assert!(messages[1..].iter().all(|message| message["data"].is_object()), "{messages:?}");
    let reason = json!({"reason": "put there by hand"});
    let discard = async || {
        let once =
            shop.post(&format!("{place}/discard"), &reason).header("Idempotency-Key", "once");
        once.await
    };
    discard().await.with(200);
    let again = discard().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{again}");
    let released = shop.post(&format!("{place}/release"), &json!({})).await;
    // A key whose only message was discarded has nothing left to release.
    assert!(
        released.status == 200 || (released.status == 404 && messages.len() == 1),
        "{released}"
    );
}

/// The bytes of the first message about the order on a topic.
async fn said(kafka: &str, topic: &'static str, order: &PlacedOrder) -> Vec<u8> {
    let (kafka, id) = (kafka.to_owned(), order.id.clone());
    tokio::task::spawn_blocking(move || {
        use rdkafka::Message as _;
        let consumer = follow::consumer(&kafka, &[]).unwrap();
        let bounds = follow::bounds(&consumer, topic).unwrap();
        let from = bounds.iter().map(|bound| bound.low).collect();
        follow::assign(&consumer, &[(topic, from)]).unwrap();
        loop {
            if let Some(Ok(message)) = consumer.poll(Duration::from_secs(1))
                && message.key() == Some(id.as_bytes())
            {
                return message.payload().unwrap().to_vec();
            }
        }
    })
    .await
    .unwrap()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
