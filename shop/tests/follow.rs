//! Following topics: from exactly where they end, in order, with the envelope read.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use shop::follow::{self, Bounds};

const PATIENCE: Duration = Duration::from_secs(20);

struct Sender {
    producer: FutureProducer,
    topic: String,
}

impl Sender {
    async fn say(&self, version: i64) {
        let version = version.to_string();
        let headers = [
            ("ce_id", "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f"),
            ("ce_type", "shop.orders.v1.OrderPlaced"),
            ("ce_version", version.as_str()),
            ("ce_time", "2026-11-20T10:00:00.000000Z"),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record =
            FutureRecord::to(&self.topic).key("k").payload(b"x".as_slice()).headers(headers);
        self.producer.send(record, PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_said_before_is_not_followed_and_nothing_after_is_missed() {
    let kafka = backends::testing::kafka().await;
    let [topic] = kafka.topics("follow", [("said", 3)]).await;
    let mut config = ClientConfig::new();
    let producer = config.set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let sender = Sender { producer, topic: topic.clone() };
    sender.say(1).await;
    sender.say(2).await;

    let mut events = follow::live(&kafka.bootstrap(), &[&topic]).unwrap();
    for version in 3..=5 {
        sender.say(version).await;
    }

    for version in 3..=5 {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        assert_eq!((event.version, event.key.as_str()), (Some(version), "k"));
        assert_eq!((event.name(), event.offset), ("OrderPlaced", version - 1));
        assert_eq!(event.time, "2026-11-20T10:00:00.000000Z");
        assert!(event.id.is_some());
    }
    let consumer = follow::consumer(&kafka.bootstrap(), &[]).unwrap();
    let bounds = follow::bounds(&consumer, &topic).unwrap();
    assert_eq!(bounds.len(), 3);
    assert!(bounds.contains(&Bounds { low: 0, high: 5 }), "{bounds:?}");
    assert!(follow::bounds(&consumer, "no-such-topic").is_err());
}

#[test]
fn topics_have_short_names() {
    assert_eq!(follow::topics(Some("stock")).unwrap(), ["shop.stock.v1"]);
    assert_eq!(follow::topics(Some("shop.stock.v1")).unwrap(), ["shop.stock.v1"]);
    assert_eq!(follow::topics(None).unwrap().len(), 5);
    assert!(follow::topics(Some("weather")).is_err());
}
