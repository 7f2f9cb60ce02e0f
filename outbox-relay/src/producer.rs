//! A lane's Kafka producer, for one stretch of publishing.
//!
//! Nothing may overtake a failed message of its key. So the first failure breaks the whole
//! producer: with `enable.gapless.guarantee` librdkafka itself sends nothing after it. Each lane
//! has a producer of its own, from one start at a tick to whatever ends the stretch: a failure
//! concerns one lane, what is in flight is purged after the lane's last send, and the next stretch
//! finds nothing of the old one in flight. Kafka being away is no failure: messages do not expire
//! (one that expired after it was sent might be overtaken), they wait, and the lane stops reading
//! meanwhile.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{client::Client, config::RelayOptions, envelope::Kind, poll::Row, traffic::Traffic};

/// Bytes that a message in flight counts as (`traffic`), besides its key and payload.
const MESSAGE_COST: usize = 700;

/// How long a metadata request may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of a producer is waited for: its threads may be in the middle of a name
/// look-up.
const CLOSE: Duration = Duration::from_secs(2);

/// What a producer knows of its messages.
struct Deliveries {
    traffic: Arc<Traffic>,
    in_flight: AtomicUsize,
    acknowledged: AtomicU64,
    /// Why librdkafka sends nothing more.
    failure: OnceLock<String>,
    /// Kafka's error for the message that it refused, which says more than `failure`.
    refusal: OnceLock<String>,
    broken: CancellationToken,
}

impl Deliveries {
    /// Breaks the producer, at the first failure.
    fn fail(&self, why: String) {
        if self.failure.set(why).is_ok() {
            self.broken.cancel();
        }
    }
}

/// librdkafka's callbacks.
struct Callbacks(Arc<Deliveries>);

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => {
                tracing::debug!("kafka {fac}: {text}");
            }
            // librdkafka logs each attempt to reach a broker that is away.
            _ => tracing::info!("kafka {fac}: {text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.fail(format!("fatal: {reason}"));
        } else {
            tracing::debug!("kafka: {error}: {reason}");
        }
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        match result {
            Ok(_) => {
                self.0.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.0.traffic.acknowledge();
            }
            Err((error, message)) => {
                batch.has_failed.store(true, Ordering::Relaxed);
                if is_about_the_message(error) {
                    let (topic, partition) = (message.topic(), message.partition());
                    let why = format!("topic {topic}, partition {partition}: {error}");
                    drop(self.0.refusal.set(why));
                }
                self.0.fail(error.to_string());
            }
        }
    }
}

/// Whether an error is the message's own: after the first failure librdkafka fails all others, too.
fn is_about_the_message(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight
        )
    )
}

/// How a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At once.
    Poll,
    /// Collected with others into large requests: a broker's work is per request, and without
    /// waiting a request carries a handful of events.
    Scan,
}

/// The messages sent of one poll or window. Each message holds a reference until Kafka has answered
/// for it, so the batch is dropped, and its end known, with the last answer.
pub(crate) struct Batch {
    way: Way,
    deliveries: Arc<Deliveries>,
    weight: AtomicUsize,
    has_failed: AtomicBool,
    end: Arc<OnceLock<End>>,
    wake: Arc<Notify>,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// At least one message was not acknowledged.
    Failed,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let weight = *self.weight.get_mut();
        self.deliveries.in_flight.fetch_sub(weight, Ordering::Relaxed);
        self.deliveries.traffic.leave(weight);
        let end = if *self.has_failed.get_mut() { End::Failed } else { End::Acknowledged };
        _ = self.end.set(end);
        self.wake.notify_one();
    }
}

/// Tells how a batch ended, once it has.
pub(crate) struct Receipt(Arc<OnceLock<End>>);

impl Receipt {
    pub(crate) fn end(&self) -> Option<End> {
        self.0.get().copied()
    }
}

/// An idempotent producer until its first failure. Underneath are two librdkafka producers, one for
/// each `linger.ms`: 0 for polls and 8 ms for scans, made at the first scan. The lane switches only
/// when nothing is in flight, or a key's order could be lost.
pub(crate) struct Producer {
    config: ClientConfig,
    polls: Arc<Client<Callbacks>>,
    scans: Option<Client<Callbacks>>,
    deliveries: Arc<Deliveries>,
}

impl Producer {
    pub(crate) fn create(options: &RelayOptions, traffic: &Arc<Traffic>) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &options.kafka)
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
            // The partitioner of Kafka's Java client, so that other producers put a key into the
            // same partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", options.compression.word())
            .set("message.timeout.ms", "0")
            .set("socket.keepalive.enable", "true")
            // A Kafka that was away is found again within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000");
        let deliveries = Arc::new(Deliveries {
            traffic: Arc::clone(traffic),
            in_flight: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            failure: OnceLock::new(),
            refusal: OnceLock::new(),
            broken: CancellationToken::new(),
        });
        // A poll's rows are the batch: waiting for more would only add latency.
        let polls = Arc::new(client(&mut config, "0", &deliveries)?);
        Ok(Self { config, polls, scans: None, deliveries })
    }

    /// Makes the librdkafka producer for scans, if no scan has come before.
    pub(crate) fn prepare_scan(&mut self) -> KafkaResult<()> {
        if self.scans.is_none() {
            // At 8 ms a partition's request holds about a hundred events of a scan's windows; at 50
            // ms the scan waits for room in flight.
            self.scans = Some(client(&mut self.config, "8", &self.deliveries)?);
        }
        Ok(())
    }

    /// Opens a batch; `wake` is notified when the batch has ended.
    pub(crate) fn batch(&self, way: Way, wake: &Arc<Notify>) -> (Arc<Batch>, Receipt) {
        let end = Arc::new(OnceLock::new());
        let batch = Arc::new(Batch {
            way,
            deliveries: Arc::clone(&self.deliveries),
            weight: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            end: Arc::clone(&end),
            wake: Arc::clone(wake),
        });
        (batch, Receipt(end))
    }

    /// Queues one message; returns the bytes that it counts as.
    pub(crate) fn send(
        &self,
        batch: &Arc<Batch>,
        kind: &Kind,
        row: &Row<'_>,
    ) -> Result<usize, KafkaError> {
        let record = BaseRecord::with_opaque_to(&kind.topic, Arc::clone(batch))
            .key(row.key)
            .payload(row.payload)
            .headers(kind.headers(row));
        let client = match (batch.way, &self.scans) {
            (Way::Scan, Some(scans)) => scans,
            (Way::Scan, None) | (Way::Poll, _) => &*self.polls,
        };
        client.send(record).map_err(|(error, _)| error)?;
        Ok(row.key.len() + row.payload.len() + MESSAGE_COST)
    }

    /// Closes a batch: all of its messages are sent, `weight` bytes of them.
    pub(crate) fn close_batch(&self, batch: &Arc<Batch>, weight: usize) {
        batch.weight.store(weight, Ordering::Relaxed);
        self.deliveries.in_flight.fetch_add(weight, Ordering::Relaxed);
        self.deliveries.traffic.enter(weight);
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
        let Deliveries { refusal, failure, .. } = &*self.deliveries;
        refusal.get().or(failure.get()).cloned().unwrap_or_default()
    }

    /// Those of `wanted` that do not exist as topics (yet).
    pub(crate) async fn missing(&self, wanted: Vec<Arc<str>>) -> KafkaResult<Vec<Arc<str>>> {
        let client = Arc::clone(&self.polls);
        let look = move || {
            // Metadata of all topics: asking for one by name could create it, with the broker's
            // defaults.
            let found = client.client().fetch_metadata(None, METADATA_TIMEOUT)?;
            let there = |name: &str| {
                found
                    .topics()
                    .iter()
                    .any(|topic| topic.name() == name && !topic.partitions().is_empty())
            };
            Ok(wanted.into_iter().filter(|name| !there(name)).collect())
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Ends the producer. The lane sends no more by now, so nothing can follow what is purged here.
    pub(crate) async fn close(self) {
        let purged = || PurgeConfig::default().queue().inflight();
        self.polls.purge(purged());
        if let Some(scans) = &self.scans {
            scans.purge(purged());
        }
        // Outside of the runtime's threads, because dropping waits for librdkafka's own threads.
        let ended = tokio::task::spawn_blocking(move || drop(self));
        if tokio::time::timeout(CLOSE, ended).await.is_err() {
            tracing::debug!("a producer takes long to end");
        }
    }
}

/// One librdkafka producer.
fn client(
    config: &mut ClientConfig,
    linger_ms: &str,
    deliveries: &Arc<Deliveries>,
) -> KafkaResult<Client<Callbacks>> {
    Client::create(config.set("linger.ms", linger_ms), Callbacks(Arc::clone(deliveries)))
}
