//! One librdkafka producer: its callbacks, the thread that calls them, and the partitions as it has
//! met them.
//!
//! rdkafka's `ThreadedProducer` would do, but for its cost while idle: each of its polls ends in a
//! spin, because the time left is rounded down to whole milliseconds (rdkafka 0.39), ten times a
//! second, a hundredth of a core for each idle lane.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::OwnedHeaders,
    metadata::Metadata,
    producer::{
        BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
    },
};

use crate::{
    delivery::{Batch, Deliveries, unsendable},
    envelope::Kind,
    partitions::Partitions,
    poll::Row,
};

/// How long one poll for answers lasts; an answer is taken as soon as it comes. Dropping the client
/// waits for the end of a poll.
const LOOK: Duration = Duration::from_millis(500);

/// How long a metadata request may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// The partitions of each topic, by its name.
pub(crate) type PartitionCounts = HashMap<Arc<str>, usize>;

/// A librdkafka producer, and the thread that calls its callbacks.
pub(crate) struct Client {
    producer: Arc<BaseProducer<Callbacks>>,
    deliveries: Arc<Deliveries>,
    contacts: Arc<Contacts>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The partitions, shared with the callbacks.
struct Contacts {
    partitions: Mutex<Partitions<WaitingMessage>>,
    /// Whether an acknowledgement may be a partition's first one: most are not, and need no lock.
    has_introductions: AtomicBool,
}

/// A message that waits for the first one of its partition. Dropped before it is sent, it fails its
/// batch.
struct WaitingMessage {
    batch: Option<Arc<Batch>>,
    position: i64,
    topic: Arc<str>,
    partition: i32,
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
}

/// librdkafka's callbacks.
struct Callbacks {
    deliveries: Arc<Deliveries>,
    contacts: Arc<Contacts>,
}

impl Client {
    /// A producer that knows no topic yet.
    pub(crate) fn create(config: &ClientConfig, deliveries: &Arc<Deliveries>) -> KafkaResult<Self> {
        let contacts = Arc::new(Contacts {
            partitions: Mutex::new(Partitions::new(&PartitionCounts::new())),
            has_introductions: AtomicBool::new(false),
        });
        let deliveries = Arc::clone(deliveries);
        let callbacks =
            Callbacks { deliveries: Arc::clone(&deliveries), contacts: Arc::clone(&contacts) };
        let producer = Arc::new(BaseProducer::from_config_and_context(config, callbacks)?);
        let is_over = Arc::new(AtomicBool::new(false));
        let (answers, end) = (Arc::clone(&producer), Arc::clone(&is_over));
        let thread = thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    answers.poll(LOOK);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, deliveries, contacts, is_over, thread: Some(thread) })
    }

    /// Tells how many partitions the topics have, before anything is sent.
    pub(crate) fn set_partitions(&self, counts: &PartitionCounts) {
        *self.contacts.lock() = Partitions::new(counts);
    }

    /// Queues one message, behind the first one of its partition if that is in flight.
    pub(crate) fn send(&self, batch: &Arc<Batch>, kind: &Kind, row: &Row<'_>) -> KafkaResult<()> {
        let topic = &kind.topic;
        let mut partitions = self.contacts.lock();
        let partition = partitions
            .of(topic, row.key)
            .ok_or(KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopicOrPartition))?;
        if !partitions.admits(topic, partition, batch.opened_at) {
            let waiting = WaitingMessage {
                batch: Some(Arc::clone(batch)),
                position: row.pos,
                topic: Arc::clone(topic),
                partition,
                key: row.key.to_vec(),
                payload: row.payload.to_vec(),
                headers: kind.headers(row),
            };
            partitions.wait(topic, partition, waiting);
            return Ok(());
        }
        self.contacts.note_introductions(&partitions);
        drop(partitions);
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(batch))
            .partition(partition)
            .key(row.key)
            .payload(row.payload)
            .headers(kind.headers(row));
        self.producer.send(record).map_err(|(error, _)| error)
    }

    /// Queues the messages that need wait no longer. After a failure none is sent any more: they are
    /// dropped, and their batches end.
    pub(crate) fn send_admitted(&self) {
        let is_broken = || self.deliveries.broken.is_cancelled();
        let admitted = self.contacts.lock().take_admitted();
        for message in admitted {
            // A message that cannot be sent is overtaken by none of those behind it.
            if is_broken() {
                break;
            }
            message.send(&self.producer, &self.deliveries);
        }
        if is_broken() {
            self.forget_partitions();
        }
    }

    /// Drops all that is not acknowledged.
    pub(crate) fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.forget_partitions();
    }

    /// Drops what waits; nothing can be sent any more.
    fn forget_partitions(&self) {
        self.set_partitions(&PartitionCounts::new());
    }

    /// All topics of Kafka. Asking for one by name could create it, with the broker's defaults.
    pub(crate) fn metadata(&self) -> KafkaResult<Metadata> {
        self.producer.client().fetch_metadata(None, METADATA_TIMEOUT)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A callback that panicked was reported by its panic; its answers are not needed any
            // more.
            drop(thread.join());
        }
    }
}

impl Contacts {
    fn lock(&self) -> MutexGuard<'_, Partitions<WaitingMessage>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_introductions(&self, partitions: &Partitions<WaitingMessage>) {
        self.has_introductions.store(partitions.has_introductions(), Ordering::Relaxed);
    }

    /// Takes note of an acknowledgement; true if messages may wait no longer because of it.
    fn acknowledge(&self, topic: &str, partition: i32) -> bool {
        if !self.has_introductions.load(Ordering::Relaxed) {
            return false;
        }
        let mut partitions = self.lock();
        partitions.acknowledge(topic, partition, Instant::now());
        self.note_introductions(&partitions);
        true
    }
}

impl WaitingMessage {
    fn send(mut self, producer: &BaseProducer<Callbacks>, deliveries: &Deliveries) {
        let Some(batch) = self.batch.take() else { return };
        let record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&batch))
            .partition(self.partition)
            .key(&self.key)
            .payload(&self.payload)
            .headers(mem::take(&mut self.headers));
        if let Err((error, _)) = producer.send(record) {
            deliveries.refuse(&batch, &error, &unsendable(self.position));
        }
    }
}

impl Drop for WaitingMessage {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            batch.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        // librdkafka logs each attempt to reach a broker that is away; what matters arrives in
        // `error`, below, and in the lane's status.
        tracing::debug!(?level, facility = fac, text, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = &error as &dyn std::error::Error, reason, "a broker is away");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => self.deliveries.fail(format!("fatal: {reason}")),
            // That all brokers are down has no reason of its own: the last broker's came before.
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            _ => self.deliveries.note_away(reason),
        }
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        match result {
            Ok(message) => {
                self.deliveries.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.deliveries.traffic.acknowledge();
                let (topic, partition) = (message.topic(), message.partition());
                self.deliveries.ends.note(topic, partition, message.offset(), batch.opened_at);
                if self.contacts.acknowledge(topic, partition) {
                    batch.wake.notify_one();
                }
            }
            Err((error, message)) => {
                let place =
                    format_args!("topic {}, partition {}", message.topic(), message.partition());
                self.deliveries.refuse(&batch, error, &place);
            }
        }
    }
}
