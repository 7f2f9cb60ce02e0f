//! A lane's Kafka producer, for one stretch of publishing.
//!
//! Nothing may overtake a failed message of its key. So the first failure breaks the whole
//! producer: with `enable.gapless.guarantee` librdkafka itself sends nothing after it, and what is
//! in flight behind it the broker refuses (but for a partition's first, see `partitions`). Each lane
//! has a producer of its own, from one start at a tick to whatever ends the stretch: a failure
//! concerns one lane, what is in flight is purged after the lane's last send, and the next stretch
//! finds nothing of the old one in flight. Kafka being away is no failure: messages do not expire
//! (one that expired after it was sent might be overtaken), they wait, and the lane stops reading
//! meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, KafkaResult},
};
use tokio::sync::Notify;

use crate::{
    acknowledged::AcknowledgedEnds,
    client::{Client, PartitionCounts},
    config::RelayOptions,
    delivery::{Batch, Deliveries, Receipt, Way},
    envelope::Kind,
    poll::Row,
    traffic::Traffic,
};

/// Bytes that a message in flight counts as (`traffic`), besides its key and payload.
const MESSAGE_COST: usize = 700;

/// How long the end of a producer is waited for: its threads may be in the middle of a name
/// look-up.
const CLOSE: Duration = Duration::from_secs(2);

/// An idempotent producer until its first failure. Underneath are two librdkafka producers, one for
/// each `linger.ms`: 0 for polls and 8 ms for scans, made at the first scan. The lane switches only
/// when nothing is in flight, or a key's order could be lost.
pub(crate) struct Producer {
    config: ClientConfig,
    polls: Arc<Client>,
    scans: Option<Client>,
    deliveries: Arc<Deliveries>,
    partitions: PartitionCounts,
}

impl Producer {
    /// Makes a producer, which notes in `ends` what Kafka acknowledges.
    pub(crate) fn create(
        options: &RelayOptions,
        traffic: &Arc<Traffic>,
        ends: Arc<AcknowledgedEnds>,
    ) -> KafkaResult<Self> {
        let mut config: ClientConfig = options.kafka.properties().collect();
        config
            .set("client.id", "outbox-relay")
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("max.in.flight", "5")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            // Above what `traffic` lets all lanes have in flight, so the queue is never full.
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "1048576")
            .set("compression.type", options.compression.word())
            .set("message.timeout.ms", "0")
            .set("socket.keepalive.enable", "true")
            // A Kafka that was away is found again within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000");
        let deliveries = Deliveries::new(traffic, ends);
        // A poll's rows are the batch: waiting for more would only add latency.
        config.set("linger.ms", "0");
        let polls = Arc::new(Client::create(&config, &deliveries)?);
        Ok(Self { config, polls, scans: None, deliveries, partitions: PartitionCounts::new() })
    }

    /// Makes the librdkafka producer for scans, if no scan has come before.
    pub(crate) fn prepare_scan(&mut self) -> KafkaResult<()> {
        if self.scans.is_none() {
            // At 8 ms a partition's request holds about a hundred events of a scan's windows; at 50
            // ms the scan waits for room in flight.
            self.config.set("linger.ms", "8");
            let scans = Client::create(&self.config, &self.deliveries)?;
            scans.set_partitions(&self.partitions);
            self.scans = Some(scans);
        }
        Ok(())
    }

    /// Opens a batch; `wake` is notified when the batch has ended.
    pub(crate) fn batch(&self, way: Way, wake: &Arc<Notify>) -> (Arc<Batch>, Receipt) {
        Batch::open(&self.deliveries, way, wake)
    }

    /// Queues one message; returns the bytes that it counts as.
    pub(crate) fn send(
        &self,
        batch: &Arc<Batch>,
        kind: &Kind,
        row: &Row<'_>,
    ) -> Result<usize, KafkaError> {
        let client = match (batch.way, &self.scans) {
            (Way::Scan, Some(scans)) => scans,
            (Way::Scan, None) | (Way::Poll, _) => &*self.polls,
        };
        client.send(batch, kind, row)?;
        Ok(row.key.len() + row.payload.len() + MESSAGE_COST)
    }

    /// Sends what needs wait no longer for the first message of its partition (`partitions`). Called
    /// whenever a batch's `wake` was notified.
    pub(crate) fn send_admitted(&self) {
        self.polls.send_admitted();
        if let Some(scans) = &self.scans {
            scans.send_admitted();
        }
    }

    /// Whether there is room in flight for another batch. A lane with nothing in flight need not
    /// ask.
    pub(crate) fn has_room(&self) -> bool {
        self.deliveries.traffic.has_room(self.deliveries.in_flight.load(Ordering::Relaxed))
    }

    /// Events a second that all lanes together had acknowledged in the last full second.
    pub(crate) fn rate(&self) -> u64 {
        self.deliveries.traffic.rate()
    }

    /// How many messages Kafka has acknowledged to this producer.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.deliveries.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends when the producer is broken.
    pub(crate) async fn broken(&self) {
        self.deliveries.broken.cancelled().await;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.deliveries.broken.is_cancelled()
    }

    /// Why the producer is broken.
    pub(crate) fn failure(&self) -> String {
        self.deliveries.failure()
    }

    /// Finds out how many partitions the topics have, before anything is sent; returns those that
    /// do not exist (yet).
    pub(crate) async fn find_topics(&mut self, wanted: &[Arc<str>]) -> KafkaResult<Vec<Arc<str>>> {
        let found = self.topics().await?;
        let partitions_of = |name: &Arc<str>| Some((Arc::clone(name), *found.get(&**name)?));
        self.partitions = wanted.iter().filter_map(partitions_of).collect();
        self.polls.set_partitions(&self.partitions);
        Ok(wanted.iter().filter(|name| !self.partitions.contains_key(*name)).cloned().collect())
    }

    /// Why Kafka was last not reached.
    pub(crate) fn away(&self) -> String {
        self.deliveries.away()
    }

    /// Whether Kafka answers.
    pub(crate) async fn is_answered(&self) -> bool {
        self.topics().await.is_ok()
    }

    /// How many partitions each topic of Kafka has.
    async fn topics(&self) -> KafkaResult<HashMap<String, usize>> {
        let client = Arc::clone(&self.polls);
        let look = move || {
            let metadata = client.metadata()?;
            let topics = metadata.topics().iter().filter(|topic| !topic.partitions().is_empty());
            Ok(topics.map(|it| (it.name().to_owned(), it.partitions().len())).collect())
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Ends the producer. The lane sends no more by now, so nothing can follow what is purged here.
    pub(crate) async fn close(self) {
        self.polls.purge();
        if let Some(scans) = &self.scans {
            scans.purge();
        }
        // Outside of the runtime's threads, because dropping waits for librdkafka's own threads.
        let ended = tokio::task::spawn_blocking(move || drop(self));
        if tokio::time::timeout(CLOSE, ended).await.is_err() {
            tracing::debug!("a producer takes long to end");
        }
    }
}
