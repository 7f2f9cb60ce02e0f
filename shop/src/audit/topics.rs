//! Reads a topic from its first message to the end that it has when asked, and how far the services
//! have read.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Message as _},
    topic_partition_list::{Offset, TopicPartitionList},
};

use super::{facts::TOPICS, judge::ConsumerPositions};
use crate::follow::{self, Bounds};

/// After this long without a message Kafka must be away.
const SILENCE: Duration = Duration::from_secs(30);

/// Who hears each topic of [`TOPICS`]: the consumer groups, which have the services' names.
const HEARERS: [&[&str]; 4] = [
    &["inventory-svc", "payment-svc", "notify-svc"],
    &["order-svc", "payment-svc", "notify-svc"],
    &["order-svc", "notify-svc"],
    &["order-svc", "notify-svc"],
];

/// A topic, and how far it has been read.
pub(super) struct Topic {
    /// The index of the topic among those about orders.
    pub(super) at: usize,
    pub(super) name: &'static str,
    consumer: BaseConsumer,
    bounds: Vec<Bounds>,
    next: Vec<i64>,
}

impl Topic {
    pub(super) fn open(kafka: &str, at: usize, name: &'static str) -> anyhow::Result<Self> {
        let settings = [("enable.partition.eof", "true"), ("queued.max.messages.kbytes", "16384")];
        let consumer = follow::consumer(kafka, &settings)?;
        let bounds = follow::bounds(&consumer, name)?;
        let next = bounds.iter().map(|bound| bound.low).collect();
        Ok(Self { at, name, consumer, bounds, next })
    }

    /// Whether retention has removed messages from the topic.
    pub(super) fn is_trimmed(&self) -> bool {
        self.bounds.iter().any(|bound| bound.low > 0)
    }

    /// Whether retention has removed messages, for each partition.
    pub(super) fn trimmed(&self) -> Vec<bool> {
        self.bounds.iter().map(|bound| bound.low > 0).collect()
    }

    /// Reads on to where the topic ends now.
    pub(super) fn read(
        &mut self,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> anyhow::Result<()> {
        let now = follow::bounds(&self.consumer, self.name)?;
        let ends: Vec<i64> = now.iter().map(|bound| bound.high).collect();
        follow::assign(&self.consumer, &[(self.name, self.next.clone())])?;
        let mut heard = Instant::now();
        while self.next.iter().zip(&ends).any(|(next, end)| next < end) {
            match self.consumer.poll(Duration::from_millis(500)) {
                Some(Ok(message)) => {
                    let at = usize::try_from(message.partition())?;
                    if message.offset() < ends[at] {
                        each(&message);
                        self.next[at] = message.offset() + 1;
                    }
                    heard = Instant::now();
                }
                // A compacted partition may end before its high watermark.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let at = usize::try_from(partition)?;
                    self.next[at] = self.next[at].max(ends[at]);
                }
                Some(Err(error)) if heard.elapsed() > SILENCE => {
                    return Err(error).with_context(|| format!("cannot read {}", self.name));
                }
                None if heard.elapsed() > SILENCE => {
                    anyhow::bail!("cannot read {}: Kafka is silent", self.name)
                }
                Some(Err(_)) | None => {}
            }
        }
        self.consumer.unassign().context("Kafka does not take the assignment back")
    }
}

/// How far every service has read the topics about orders, by its committed offsets.
pub(super) fn consumed(kafka: &str, topics: &[Topic]) -> anyhow::Result<ConsumerPositions> {
    let mut consumed = ConsumerPositions {
        offsets: std::array::from_fn(|at| vec![i64::MAX; topics[at].bounds.len()]),
    };
    for group in ["order-svc", "payment-svc", "inventory-svc", "notify-svc"] {
        let client = follow::consumer(kafka, &[("group.id", group)])?;
        let mut list = TopicPartitionList::new();
        for (name, topic) in TOPICS.iter().zip(topics) {
            list.add_partition_range(name, 0, i32::try_from(topic.bounds.len())? - 1);
        }
        let committed = client
            .committed_offsets(list, SILENCE)
            .with_context(|| format!("Kafka does not tell how far {group} has read"))?;
        let heard = TOPICS.iter().enumerate().filter(|(at, _)| HEARERS[*at].contains(&group));
        for (at, name) in heard {
            for element in committed.elements_for_topic(name) {
                let read = match element.offset() {
                    Offset::Offset(offset) => offset,
                    _ => 0,
                };
                let place = &mut consumed.offsets[at][usize::try_from(element.partition())?];
                *place = (*place).min(read);
            }
        }
    }
    Ok(consumed)
}
