//! Triggers of the consumers' alerts that need messages of another's.

use std::time::Duration;

use chassis::clock::new_id;
use e2e::Shop;
use futures::future::join_all;
use proto::{cloud_events, topic};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Alerts, until_changed};

/// More keys than may stop within a minute.
const KEYS: usize = 1_100;
/// Who hears payments.
const HEAR_PAYMENTS: [&str; 2] = ["order-svc", "notify-svc"];

fn producer(shop: &Shop) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shop.stack().kafka()).set("partitioner", "murmur2_random");
    config.create().unwrap()
}

/// Everything that comes is undecodable: it cannot be the messages.
pub(super) async fn all_messages_are_poison(shop: &Shop, alerts: &Alerts) {
    let producer = producer(shop);
    let keys: Vec<String> = (0..KEYS).map(|_| Uuid::new_v4().to_string()).collect();
    let send = |key| {
        let record = FutureRecord::to(topic::PAYMENTS).key(key).payload(b"\xff\xff".as_slice());
        producer.send(record, Duration::from_secs(30))
    };
    for sent in join_all(keys.iter().map(send)).await {
        sent.unwrap();
    }
    alerts.raised(&["ParkedFlood"]).await;
    for service in HEAR_PAYMENTS {
        discard_all(shop, service).await;
    }
    alerts.none(&["ParkedFlood", "ParkedKeys"]).await;
}

/// Discards what is parked at a service until nothing is: what stopped during a flood is read when
/// the flood is over.
async fn discard_all(shop: &Shop, service: &str) {
    let parked = format!("/v1/parked?service={service}&limit=1");
    let none_is_left = async || shop.get(&parked).await.with(200)["items"] == json!([]);
    let lag_is_over = async || {
        let list = shop.get(&format!("/v1/consumers?service={service}&limit=200")).await.with(200);
        list["items"].as_array().unwrap().iter().all(|it| it["lag"] == 0)
    };
    while !(lag_is_over().await && none_is_left().await) {
        let mut wish = json!({
            "action": "discard", "filter": {"service": service}, "reason": "a drill",
        });
        let preview = shop.post("/v1/parked/bulk", &wish).await.with(200);
        wish["expected"] = preview["keys"].clone();
        let begun = shop.post("/v1/parked/bulk", &wish).await;
        // More may have stopped since it was counted.
        if begun.status == 202 {
            let path = format!("/v1/parked/bulk/{}", begun.body["id"].as_str().unwrap());
            let is_over = |it: &Value| it["state"] == "ended";
            shop.until(&path, "the end of the discards", is_over).await;
        }
    }
}

/// An event of a type that no build knows has been kept for hours.
pub(super) async fn an_event_is_unknown(shop: &Shop, alerts: &Alerts) {
    let headers = [
        (cloud_events::ID, new_id().to_string()),
        (cloud_events::SOURCE, "/shop/payment-svc".to_owned()),
        (cloud_events::SPECVERSION, "1.0".to_owned()),
        (cloud_events::TYPE, "shop.payments.v1.PaymentFramed".to_owned()),
        (cloud_events::VERSION, "1".to_owned()),
    ];
    let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
        all.insert(Header { key, value: Some(value) })
    });
    let key = new_id().to_string();
    // A member that no event of the topic has.
    let payload = b"\xfa\x3f\x00".as_slice();
    let record = FutureRecord::to(topic::PAYMENTS).key(&key).headers(headers).payload(payload);
    producer(shop).send(record, Duration::from_secs(30)).await.unwrap();
    let older = "update unknown_events set at = at - interval '2 hours' \
        where at > now() - interval '1 hour'";
    for database in ["orders", "notify"] {
        until_changed(shop, database, older).await;
    }
    alerts.raised(&["UnknownEventsOld"]).await;
    for database in ["orders", "notify"] {
        until_changed(shop, database, "delete from unknown_events").await;
    }
    alerts.none(&["UnknownEventsOld"]).await;
}
