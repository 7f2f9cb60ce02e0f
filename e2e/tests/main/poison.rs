//! A message that does not decode, put on a topic by hand: it stops its own key, nothing else, until it is dropped.

use std::time::Duration;

use e2e::{Placed, Shop, eventually};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

const TOPIC: &str = "shop.stock.v1";

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_message_stops_its_own_order_only() {
    let shop = Shop::open(&[]).await.unwrap();
    let order = shop.place(1, 1, json!({"method": "deferred"})).await.unwrap();
    shop.expect(&order, "payment_pending").await.unwrap();

    poison(&shop, &order).await;
    for service in ["order-svc", "payment-svc"] {
        parked(&shop, service, &order, 1).await;
    }
    let other = shop.place(2, 2, json!({"method": "wallet"})).await.unwrap();
    shop.expect(&other, "confirmed").await.unwrap();

    // What comes after it waits behind it.
    let cancel = format!("/v1/orders/{}/cancel", order.id);
    shop.api.post(&cancel, &json!({})).await.unwrap().ok().unwrap();
    parked(&shop, "order-svc", &order, 2).await;
    let saga = shop.api.get(&format!("/v1/orders/{}/saga", order.id)).await.unwrap().ok().unwrap();
    assert_eq!(saga["status"], "compensating", "{saga}");

    for service in ["order-svc", "payment-svc"] {
        let path = format!("/v1/parked/{service}/{TOPIC}/{}", order.id);
        let messages = shop.api.get(&path).await.unwrap().ok().unwrap();
        assert!(messages.to_string().contains("offset"), "{messages}");
        let reason = json!({"reason": "put there by hand"});
        shop.api.post(&format!("{path}/discard"), &reason).await.unwrap().ok().unwrap();
        let released = shop.api.post(&format!("{path}/release"), &json!({})).await.unwrap();
        // A key whose only message was discarded has nothing left to release.
        assert!(released.is_ok() || released.status == 404, "{released:?}");
    }
    shop.expect_saga(&order, "compensated").await.unwrap();
    assert!(shop.api.list("/v1/parked").await.unwrap().is_empty());
    shop.close().await.unwrap();
}

async fn poison(shop: &Shop, order: &Placed) {
    let kafka = shop.driven().stack().unwrap().kafka();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka).set("partitioner", "murmur2_random");
    let producer: FutureProducer = config.create().unwrap();
    let record = FutureRecord::to(TOPIC).key(&order.id).payload(b"\xff\xff\xff".as_slice());
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

async fn parked(shop: &Shop, service: &str, order: &Placed, messages: u64) {
    let look = async || {
        let keys = shop.api.list(&format!("/v1/parked?service={service}")).await.map_err(|it| it.to_string())?;
        let is_it = |key: &&Value| key["key"] == order.id.as_str() && key["messages"] == messages;
        keys.iter().find(is_it).map(drop).ok_or_else(|| format!("{keys:?}"))
    };
    eventually(&format!("{messages} messages parked at {service}"), look).await.unwrap();
}
