//! Kafka loses what was in a topic: the relay or the consumers stop there, an operator brings it back
//! from the outbox, and afterwards nothing is missing (the shop's end audits it).

use backends::{testing::eventually, topics};
use e2e::{Shop, WITHIN, in_a_shop_of_its_own};
use proto::topic;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use serde_json::{Value, json};

/// Who hears the topic of payments.
const READERS: [&str; 2] = ["order-svc", "notify-svc"];

#[test]
fn a_topic_that_was_made_anew_is_filled_from_the_outbox() {
    in_a_shop_of_its_own(&[], async |shop| {
        let mug = shop.lists("5.00", 10).await;
        let before = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&before, "confirmed").await;

        make_anew(shop, topic::PAYMENTS).await;
        eventually("the lane and the consumers to stop", WITHIN, async || {
            let lanes = shop.get("/v1/lanes").await.with(200);
            let lane = among(&lanes, |lane| lane["service"] == "payment-svc");
            let stopped = [lane[0]["state"] == "stopped", is_stopped(shop).await];
            if stopped == [true; 2] { Ok(()) } else { Err(json!(lane)) }
        })
        .await;
        let after = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;

        bring_back(shop).await;
        shop.expect(&after, "confirmed").await;
    });
}

/// What a consumer has not read is deleted, as Kafka does it with what is a week old.
#[test]
fn what_kafka_dropped_before_it_was_read_is_brought_back() {
    in_a_shop_of_its_own(&[], async |shop| {
        let mug = shop.lists("5.00", 10).await;
        for service in READERS {
            let topic = json!({"topic": topic::PAYMENTS, "reason": "a test"});
            shop.post(&format!("/v1/consumers/{service}/pause"), &topic).await.with(200);
        }
        eventually("nobody to read payments", WITHIN, async || {
            let left = readers(shop, "reading").await;
            if left.is_empty() { Ok(()) } else { Err(json!(left)) }
        })
        .await;
        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        let path = format!("/v1/payments?order_id={}", order.id);
        shop.until(&path, "the payment is captured", |found| {
            found["items"][0]["status"] == "captured"
        })
        .await;
        eventually("the capture to be in Kafka", WITHIN, async || {
            let lagging = readers(shop, "paused").await;
            if lagging.iter().any(|it| it["lag"] != 0) { Ok(()) } else { Err(json!(lagging)) }
        })
        .await;

        drop_all(shop, topic::PAYMENTS).await;
        for service in READERS {
            let on = json!({"topic": topic::PAYMENTS, "reason": "the test goes on"});
            shop.post(&format!("/v1/consumers/{service}/resume"), &on).await.with(200);
        }
        eventually("the consumers to stop", WITHIN, async || {
            if is_stopped(shop).await { Ok(()) } else { Err("they read") }
        })
        .await;
        assert_ne!(shop.get(&order.path("")).await.with(200)["status"], "confirmed");

        bring_back(shop).await;
        shop.expect(&order, "confirmed").await;
    });
}

/// Publishes all payment events once more, and lets their readers begin anew.
pub(crate) async fn bring_back(shop: &Shop) {
    let reason = "Kafka has lost it";
    let replay = json!({
        "service": "payment-svc", "topic": topic::PAYMENTS, "dry_run": false, "reason": reason,
    });
    shop.post("/v1/replays", &replay).await.with(202);
    for service in READERS {
        let from = json!({"topic": topic::PAYMENTS, "from": "beginning", "reason": reason});
        eventually("the partitions go on", WITHIN, async || {
            let told = shop.post(&format!("/v1/consumers/{service}/resume"), &from).await;
            if told.status == 200 { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

/// Deletes a topic and makes it again.
pub(crate) async fn make_anew(shop: &Shop, name: &str) {
    admin(shop).delete_topics(&[name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let mut topics = topics::of_the_shop().unwrap();
    topics.retain(|topic| topic.name == name);
    topics::create(&shop.stack().kafka(), &topics).await.unwrap();
}

/// Deletes all messages of a topic.
async fn drop_all(shop: &Shop, name: &str) {
    let topics = topics::of_the_shop().unwrap();
    let partitions = topics.iter().find(|topic| topic.name == name).unwrap().partitions;
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(name, partition, Offset::End).unwrap();
    }
    let dropped = admin(shop).delete_records(&all, &AdminOptions::new()).await.unwrap();
    for partition in dropped.elements() {
        partition.error().unwrap();
    }
}

fn admin(shop: &Shop) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", shop.stack().kafka()).create().unwrap()
}

/// The partitions of the payments' topic that its readers have in this state.
async fn readers(shop: &Shop, state: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for service in READERS {
        let list = shop.get(&format!("/v1/consumers?service={service}&limit=200")).await.with(200);
        found.extend(among(&list, |it| it["topic"] == topic::PAYMENTS && it["state"] == state));
    }
    found
}

/// Whether each reader of the payments' topic has stopped at some partition of it.
async fn is_stopped(shop: &Shop) -> bool {
    let stopped = readers(shop, "stopped").await;
    READERS.iter().all(|reader| stopped.iter().any(|it| it["service"] == *reader))
}

fn among(list: &Value, is_one: impl Fn(&Value) -> bool) -> Vec<Value> {
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|item| is_one(item)).cloned().collect()
}
