//! Kafka: topics of one's own, and nothing lost by a kill.

use std::time::Duration;

use backends::{testing, topics};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    message::Message as _,
    producer::{FutureProducer, FutureRecord},
};

async fn send(bootstrap: &str, topic: &str, payload: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .create()
        .unwrap();
    let record = FutureRecord::to(topic).key("k").payload(payload);
    producer.send(record, Duration::from_secs(20)).await.unwrap();
}

fn first(bootstrap: &str, topic: &str) -> String {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    // A poll also serves rebalances, so it may return nothing before its time.
    let message = (0..20).find_map(|_| consumer.poll(Duration::from_secs(1))).unwrap().unwrap();
    String::from_utf8(message.payload().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_is_sent_to_a_topic_of_ones_own_arrives() {
    let kafka = testing::kafka().await;
    let [topic] = kafka.topics("backends", [("notes", 3)]).await;
    let [other] = kafka.topics("backends", [("notes", 3)]).await;
    assert_ne!(topic, other);

    send(&kafka.bootstrap(), &topic, "hello").await;

    let bootstrap = kafka.bootstrap();
    let heard = tokio::task::spawn_blocking(move || first(&bootstrap, &topic)).await.unwrap();
    assert_eq!(heard, "hello");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let kafka = testing::private_kafka().await;
    let [topic] = testing::create_topics(&kafka, "backends", [("notes", 1)]).await;
    send(&kafka.bootstrap(), &topic, "kept").await;

    kafka.kill9().unwrap();
    kafka.restart().await.unwrap();

    let bootstrap = kafka.bootstrap();
    let heard = tokio::task::spawn_blocking(move || first(&bootstrap, &topic)).await.unwrap();
    assert_eq!(heard, "kept");
}

#[tokio::test]
async fn the_shops_topics_can_be_made_again_and_again() {
    let kafka = testing::kafka().await;
    let wanted = topics::of_the_shop().unwrap();
    assert_eq!(wanted.len(), 5);
    assert!(wanted.iter().all(|topic| topic.partitions == 12));

    topics::create(&kafka.bootstrap(), &wanted).await.unwrap();
    topics::create(&kafka.bootstrap(), &wanted).await.unwrap();

    let [unknown] = ["shop.never.v1"];
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let metadata = client.fetch_metadata(None, Duration::from_secs(5)).unwrap();
    assert!(metadata.topics().iter().any(|topic| topic.name() == "shop.catalogue.v1"));
    assert!(metadata.topics().iter().all(|topic| topic.name() != unknown));
}
