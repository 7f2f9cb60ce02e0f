//! The one Kafka producer of the process, and its replacement when a delivery fails.
//!
//! Nothing may overtake a failed message of its key. So the first failure breaks the whole
//! producer: with `enable.gapless.guarantee` librdkafka itself sends nothing after it, what is
//! queued is purged, every lane drops what it has in hand, and starts again from its last tick
//! with a new producer. Kafka being away is no failure: messages do not expire (one that expires
//! after it was sent might be overtaken), they wait, and lanes stop reading meanwhile.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{
        BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer,
    },
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{config::Options, envelope::Kind, poll::Row};

/// What all lanes together may have in flight: two windows of small events. With their
/// headers librdkafka holds about three times this.
const IN_FLIGHT_MAX: usize = 8 << 20;

/// What a message costs beside key and payload, in that account.
const MESSAGE_COST: usize = 700;

/// How long a metadata request may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause before the next producer; it doubles while producers fail early.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A producer that lived so long was sound: its successor need not wait.
const SOUND: Duration = Duration::from_mins(1);

/// How long the lanes may take to let a broken producer go; it is abandoned to them after that.
const LET_GO: Duration = Duration::from_secs(2);

/// What a producer knows of its messages.
struct Ledger {
    in_flight: AtomicUsize,
    acknowledged: AtomicU64,
    /// Messages acknowledged in the last second.
    rate: AtomicU64,
    failure: OnceLock<String>,
    broken: CancellationToken,
}

impl Ledger {
    /// The first failure breaks the producer.
    fn fail(&self, why: String) {
        if self.failure.set(why).is_ok() {
            self.broken.cancel();
        }
    }
}

/// librdkafka's callbacks.
struct Callbacks(Arc<Ledger>);

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => {
                tracing::debug!("kafka {fac}: {text}");
            }
            // A broker that is away says so at every try to reach it.
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

    fn delivery(&self, result: &DeliveryResult<'_>, _batch: Arc<Batch>) {
        match result {
            Ok(_) => _ = self.0.acknowledged.fetch_add(1, Ordering::Relaxed),
            // Before the batch is dropped, which would make it count as done.
            Err((error, _)) => self.0.fail(error.to_string()),
        }
    }
}

/// How a batch goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At once.
    Poll,
    /// With its neighbours, in large requests: a broker's work is per request, and a request of a
    /// producer that never waits carries a handful of events.
    Walk,
}

/// What was sent of one poll or window. Each message holds it until Kafka has acknowledged it, so
/// it is dropped, and thereby done, with the last one.
pub(crate) struct Batch {
    way: Way,
    ledger: Arc<Ledger>,
    weight: AtomicUsize,
    done: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.ledger.in_flight.fetch_sub(*self.weight.get_mut(), Ordering::Relaxed);
        self.done.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Tells whether Kafka has acknowledged all of a batch.
pub(crate) struct Receipt {
    done: Arc<AtomicBool>,
}

impl Receipt {
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// One producer, from its making to its first failure; two to librdkafka, because how long it may
/// wait for company is a producer's setting. Nothing is sent the one way before all that went the
/// other is acknowledged.
pub(crate) struct Generation {
    polls: ThreadedProducer<Callbacks>,
    walks: ThreadedProducer<Callbacks>,
    ledger: Arc<Ledger>,
}

impl Generation {
    fn create(options: &Options) -> KafkaResult<Self> {
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
            // Above what `IN_FLIGHT_MAX` lets all lanes have in flight: the queue is never full.
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "1048576")
            // A producer of any other language puts a key into the same partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", options.compression.word())
            .set("message.timeout.ms", "0")
            .set("socket.keepalive.enable", "true")
            // A Kafka that was away is found again soon.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000");
        let ledger = Arc::new(Ledger {
            in_flight: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            failure: OnceLock::new(),
            broken: CancellationToken::new(),
        });
        let mut producer = |linger: &str| {
            let callbacks = Callbacks(Arc::clone(&ledger));
            let config = config.set("linger.ms", linger);
            ThreadedProducer::from_config_and_context(config, callbacks)
        };
        // What a poll finds is the batch: waiting for more only adds latency. A walk's windows
        // follow each other: 8 ms are a hundred events a partition; 50 ms starve it for room.
        let (polls, walks) = (producer("0")?, producer("8")?);
        Ok(Self { polls, walks, ledger })
    }

    /// Opens a batch; `wake` is notified when it is done.
    pub(crate) fn batch(&self, way: Way, wake: &Arc<Notify>) -> (Arc<Batch>, Receipt) {
        let done = Arc::new(AtomicBool::new(false));
        let batch = Arc::new(Batch {
            way,
            ledger: Arc::clone(&self.ledger),
            weight: AtomicUsize::new(0),
            done: Arc::clone(&done),
            wake: Arc::clone(wake),
        });
        (batch, Receipt { done })
    }

    /// Queues one message and gives back what it weighs.
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
        let producer = match batch.way {
            Way::Poll => &self.polls,
            Way::Walk => &self.walks,
        };
        producer.send(record).map_err(|(error, _)| error)?;
        Ok(row.key.len() + row.payload.len() + MESSAGE_COST)
    }

    /// Everything of a batch is sent.
    pub(crate) fn close(&self, batch: &Arc<Batch>, weight: usize) {
        batch.weight.store(weight, Ordering::Relaxed);
        self.ledger.in_flight.fetch_add(weight, Ordering::Relaxed);
    }

    /// Whether there is room for another batch. One without anything in flight need not ask.
    pub(crate) fn has_room(&self) -> bool {
        self.ledger.in_flight.load(Ordering::Relaxed) < IN_FLIGHT_MAX
    }

    /// How many events a second all lanes together had acknowledged of late.
    pub(crate) fn rate(&self) -> u64 {
        self.ledger.rate.load(Ordering::Relaxed)
    }

    /// Ends when the producer is broken.
    pub(crate) async fn broken(&self) {
        self.ledger.broken.cancelled().await;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.ledger.broken.is_cancelled()
    }

    /// Those of `wanted` that are no topics (yet).
    pub(crate) async fn missing(
        self: &Arc<Self>,
        wanted: Vec<Arc<str>>,
    ) -> KafkaResult<Vec<Arc<str>>> {
        let generation = Arc::clone(self);
        let look = move || {
            // All topics: asking for one by name would make it, with the broker's defaults.
            let found = generation.polls.client().fetch_metadata(None, METADATA_TIMEOUT)?;
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
}

/// Where lanes get the present producer. Cheap to clone.
#[derive(Clone)]
pub struct Publisher(watch::Receiver<Option<Arc<Generation>>>);

impl Publisher {
    /// What keeps events from being published. That Kafka is away does not: they wait.
    pub fn problem(&self) -> Option<String> {
        let is_sound = self.0.borrow().as_ref().is_some_and(|now| !now.is_broken());
        if is_sound { None } else { Some("no producer".to_owned()) }
    }

    /// A producer that is not broken, as soon as there is one; `None` when there will be no more.
    pub(crate) async fn generation(&mut self) -> Option<Arc<Generation>> {
        let sound = |now: &Option<Arc<Generation>>| now.as_ref().is_some_and(|g| !g.is_broken());
        self.0.wait_for(sound).await.ok()?.clone()
    }
}

/// Makes producers, one after the other.
pub(crate) struct Factory {
    options: Arc<Options>,
    current: watch::Sender<Option<Arc<Generation>>>,
}

pub(crate) fn open(options: &Arc<Options>) -> (Factory, Publisher) {
    let (current, publisher) = watch::channel(None);
    let factory = Factory { options: Arc::clone(options), current };
    (factory, Publisher(publisher))
}

impl Factory {
    /// Keeps a sound producer there until it is asked to stop.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = PAUSE.0;
        while !stop.is_cancelled() {
            let born = Instant::now();
            let generation = Arc::new(Generation::create(&self.options)?);
            self.current.send_replace(Some(Arc::clone(&generation)));
            tokio::select! {
                () = generation.broken() => {}
                () = self.watch(&generation) => {}
                () = stop.cancelled() => {}
            }
            self.current.send_replace(None);
            if let Some(why) = generation.ledger.failure.get() {
                tracing::error!("a delivery failed, all starts again from the last ticks: {why}");
                metrics::counter!(crate::metrics::RESTARTS).increment(1);
            }
            let_go(generation).await;
            pause = if born.elapsed() > SOUND { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(())
    }

    /// Breaks a producer that gets nothing acknowledged although Kafka answers.
    async fn watch(&self, generation: &Arc<Generation>) {
        let (ledger, stalled_after) = (&generation.ledger, self.options.stalled_after);
        let (mut since, mut before) = ((Instant::now(), 0), 0);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let acknowledged = ledger.acknowledged.load(Ordering::Relaxed);
            ledger.rate.store(acknowledged - before, Ordering::Relaxed);
            before = acknowledged;
            if acknowledged != since.1 || ledger.in_flight.load(Ordering::Relaxed) == 0 {
                since = (Instant::now(), acknowledged);
                continue;
            }
            if since.0.elapsed() < stalled_after {
                continue;
            }
            if generation.missing(Vec::new()).await.is_ok() {
                ledger.fail(format!("nothing acknowledged for {stalled_after:?}"));
            } else {
                tracing::warn!("Kafka is away; what is in flight waits");
                since.0 = Instant::now();
            }
        }
    }
}

/// Drops a producer, what is queued in it included, outside of the runtime's threads: it waits.
async fn let_go(generation: Arc<Generation>) {
    if !generation.is_broken() {
        generation.ledger.broken.cancel();
    }
    for producer in [&generation.polls, &generation.walks] {
        producer.purge(PurgeConfig::default().queue().inflight());
    }
    let start = Instant::now();
    while Arc::strong_count(&generation) > 1 && start.elapsed() < LET_GO {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(tokio::task::spawn_blocking(move || drop(generation)).await);
}
