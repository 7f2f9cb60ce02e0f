//! Reads topics as anybody could: every partition directly, in no group, from a given offset.
//!
//! "From the end" is never left to the broker: the client resolves it some time after it was asked,
//! and events in between would be missed. The high watermarks are read first and assigned as
//! offsets.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::{Event, cloud_events, topic};
use rdkafka::{
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _, Message as _},
    topic_partition_list::{Offset, TopicPartitionList},
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// How long to wait for a broker: longer than its start, shorter than a person's patience.
const BROKER_PATIENCE: Duration = Duration::from_secs(15);

/// The bounds of a partition: the first offset, and the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub low: i64,
    pub high: i64,
}

/// An event as it is stored in its topic.
#[derive(Clone, Debug)]
pub struct TopicEvent {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The key as text; `none` if there is none.
    pub key: String,
    pub id: Option<Uuid>,
    /// The type's full name: `shop.orders.v1.OrderPlaced`.
    pub full_name: String,
    pub version: Option<i64>,
    /// `ce_time`, as it was written.
    pub time: String,
    /// When this process read the event.
    pub read_at: Instant,
    pub payload: Vec<u8>,
}

impl TopicEvent {
    /// The type's short name: `OrderPlaced`.
    pub fn name(&self) -> &str {
        self.full_name.rsplit('.').next().unwrap_or_default()
    }

    /// The content as JSON; if it does not decode, an object that says so.
    pub fn content(&self) -> serde_json::Value {
        match Event::decode(&self.topic, &self.payload) {
            Ok(Some(event)) => event.to_json(),
            Ok(None) => serde_json::json!({ "unknown_to_this_build": self.payload.len() }),
            Err(error) => serde_json::json!({ "does_not_decode": error.to_string() }),
        }
    }
}

/// A consumer that belongs to no group. librdkafka wants a group name all the same; no offset is
/// ever committed under it.
pub fn consumer(kafka: &str, settings: &[(&str, &str)]) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", "shop-command-line")
        .set("client.id", "shop")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "false")
        // Both default to a second of waiting where none is needed.
        .set("fetch.queue.backoff.ms", "10")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("log_level", "3");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().context("cannot make a Kafka consumer")
}

/// The bounds of every partition of a topic, in order.
pub fn bounds(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<Bounds>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), BROKER_PATIENCE)
        .with_context(|| format!("Kafka does not tell about {topic}"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = found.map_or(0, |found| found.partitions().len());
    anyhow::ensure!(count > 0, "there is no topic {topic}");
    (0..i32::try_from(count)?)
        .map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition, BROKER_PATIENCE)?;
            Ok(Bounds { low, high })
        })
        .collect()
}

/// Reads each topic's partitions from the offsets given for it.
pub fn assign(consumer: &BaseConsumer, topics: &[(&str, Vec<i64>)]) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    for (topic, offsets) in topics {
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(topic, partition, Offset::Offset(*offset))?;
        }
    }
    consumer.assign(&list).context("Kafka does not take the assignment")
}

/// Everything that is published to these topics from now on: the watermarks are read before this
/// returns. Reading ends when the receiver is dropped.
pub fn live(kafka: &str, topics: &[&str]) -> anyhow::Result<mpsc::UnboundedReceiver<TopicEvent>> {
    let consumer = consumer(kafka, &[("fetch.wait.max.ms", "100")])?;
    let mut from = Vec::new();
    for topic in topics {
        from.push((*topic, bounds(&consumer, topic)?.iter().map(|bound| bound.high).collect()));
    }
    assign(&consumer, &from)?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while !sender.is_closed() {
            // An error means that the broker is away or busy: librdkafka tries again by itself.
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
                sender.send(seen(&message)).ok();
            }
        }
    });
    Ok(receiver)
}

/// The topics that `name` stands for: one, in full or as `orders`; without a name all of them.
pub fn topics(name: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    let Some(name) = name else { return Ok(topic::ALL.to_vec()) };
    let found =
        topic::ALL.iter().find(|known| **known == name || **known == format!("shop.{name}.v1"));
    let found =
        found.with_context(|| format!("no topic {name}: there are {}", topic::ALL.join(", ")))?;
    Ok(vec![*found])
}

/// A message with the headers of its envelope read.
pub fn seen(message: &BorrowedMessage<'_>) -> TopicEvent {
    let header = |name| header(message, name).unwrap_or_default();
    TopicEvent {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map_or("none".into(), |key| String::from_utf8_lossy(key).into_owned()),
        id: Uuid::try_parse(header(cloud_events::ID)).ok(),
        full_name: header(cloud_events::TYPE).to_owned(),
        version: header(cloud_events::VERSION).parse().ok(),
        time: header(cloud_events::TIME).to_owned(),
        read_at: Instant::now(),
        payload: message.payload().unwrap_or_default().to_owned(),
    }
}

/// The value of a header, if the header is there and is text.
pub fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
