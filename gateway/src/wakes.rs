//! Wake-ups for open streams: Kafka tells that something happened to an order, not what.
//!
//! One thread reads every partition of the topics about orders, in no group, so that each gateway
//! hears everything; and only while a stream is open. Whoever watches an order reads its state
//! after [`Wakes::watch`] has returned, and so misses nothing.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::{cloud_events, topic};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The topics whose keys are orders.
const TOPICS: [&str; 4] = [topic::ORDERS, topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS];
const BROKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stream waits for the first position in Kafka; it goes on without, and looks by
/// itself.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How long reading goes on after the last stream has ended: the next one begins at once.
const LINGER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(1);
/// More messages than any order has events; more of an order are not remembered.
const PLACES_MAX: usize = 200;

/// Where an event of an order was seen in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct EventPlace {
    pub(crate) event_id: Uuid,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The highest version of an order that each source has published, as far as was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    orders: i64,
    stock: i64,
    payments: i64,
    notifications: i64,
    /// How often reading began or ended: what was published in between was not heard.
    rounds: u64,
}

/// What was heard of an order while it is watched.
#[derive(Debug, Default)]
pub(crate) struct OrderUpdates {
    pub(crate) news: News,
    /// Where its events were seen, in this order.
    pub(crate) places: Vec<EventPlace>,
}

impl News {
    /// Takes a version that the source of `topic` has published.
    pub(crate) fn note(&mut self, topic: &str, version: i64) {
        let known = match topic {
            topic::ORDERS => &mut self.orders,
            topic::STOCK => &mut self.stock,
            topic::PAYMENTS => &mut self.payments,
            _ => &mut self.notifications,
        };
        *known = version.max(*known);
    }

    /// Whether a state that has seen `seen` lacks something of this.
    pub(crate) fn is_ahead_of(&self, seen: &Self) -> bool {
        self.orders > seen.orders
            || self.stock > seen.stock
            || self.payments > seen.payments
            || self.notifications > seen.notifications
    }
}

/// Wakes those who watch an order. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Wakes(Arc<Inner>);

struct Inner {
    /// Whether there is a Kafka to hear.
    hears: bool,
    watched: Mutex<HashMap<Uuid, watch::Sender<OrderUpdates>>>,
    /// Notified when there is somebody to wake, and at the end.
    changed: Condvar,
    is_ready: watch::Sender<bool>,
    is_over: AtomicBool,
    fault: Mutex<Option<String>>,
}

/// Watches one order until it is dropped.
pub(crate) struct OrderWatch {
    pub(crate) updates: watch::Receiver<OrderUpdates>,
    order: Uuid,
    wakes: Wakes,
}

impl Drop for OrderWatch {
    fn drop(&mut self) {
        let mut watched = self.wakes.watched();
        // `receiver_count` still counts this receiver.
        if watched.get(&self.order).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.order);
        }
    }
}

impl Wakes {
    /// With `hears`, somebody is to call [`Wakes::run`]; else nobody is ever woken.
    pub(crate) fn new(hears: bool) -> Self {
        Self(Arc::new(Inner {
            hears,
            watched: Mutex::default(),
            changed: Condvar::new(),
            is_ready: watch::Sender::new(false),
            is_over: AtomicBool::new(false),
            fault: Mutex::default(),
        }))
    }

    /// Whether what is published now is heard.
    pub(crate) fn is_ready(&self) -> bool {
        *self.0.is_ready.borrow()
    }

    /// Reads Kafka until `stop`, whenever somebody watches.
    pub(crate) async fn run(
        self,
        kafka: ClientConfig,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let reading = self.clone();
        let thread = thread::Builder::new().name("wakes".to_owned());
        let thread = thread.spawn(move || reading.read_when_watched(&kafka))?;
        stop.cancelled().await;
        self.0.is_over.store(true, Ordering::Release);
        self.0.changed.notify_all();
        // The thread ends within one poll; the drain does not wait for it.
        drop(thread);
        Ok(())
    }

    /// What is wrong with reading, for the health.
    pub(crate) fn fault(&self) -> Option<String> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches an order: what is published about it from now on wakes the watch.
    pub(crate) async fn watch(&self, order: Uuid) -> OrderWatch {
        let updates = {
            let mut watched = self.watched();
            let unheard = || watch::Sender::new(OrderUpdates::default());
            watched.entry(order).or_insert_with(unheard).subscribe()
        };
        // Made before the wait, which a client may end by going away.
        let watch = OrderWatch { updates, order, wakes: self.clone() };
        if self.0.hears {
            self.0.changed.notify_all();
            let mut is_ready = self.0.is_ready.subscribe();
            let ready = is_ready.wait_for(|is_ready| *is_ready);
            // Without Kafka the stream looks by itself.
            drop(tokio::time::timeout(READY_WITHIN, ready).await);
        }
        watch
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<OrderUpdates>>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    fn read_when_watched(&self, kafka: &ClientConfig) {
        while !self.is_over() {
            let watched = self.watched();
            if watched.is_empty() {
                let waited = self.0.changed.wait_timeout(watched, RETRY);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            drop(watched);
            let ended = self.read(kafka);
            self.0.is_ready.send_replace(false);
            // From now on streams look by themselves.
            self.wake_all();
            if let Err(error) = ended {
                self.set_fault(Some(format!("orders' news cannot be read from Kafka: {error:#}")));
                thread::sleep(RETRY);
            }
        }
    }

    fn set_fault(&self, fault: Option<String>) {
        let mut known = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none()
            && let Some(fault) = &fault
        {
            tracing::warn!(reason = fault, "streams of orders look by themselves");
        }
        *known = fault;
    }

    /// Reads from the present end on, until nobody has watched for a while.
    fn read(&self, kafka: &ClientConfig) -> anyhow::Result<()> {
        let consumer = consumer(kafka)?;
        let ends = ends(&consumer).with_context(|| why_away(&consumer));
        consumer.assign(&ends?)?;
        self.set_fault(None);
        self.0.is_ready.send_replace(true);
        self.wake_all();
        let mut watched_at = Instant::now();
        while !self.is_over() {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.tell(&message),
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
            if !self.watched().is_empty() {
                watched_at = Instant::now();
            } else if watched_at.elapsed() > LINGER {
                return Ok(());
            }
        }
        Ok(())
    }

    fn wake_all(&self) {
        for sender in self.watched().values() {
            sender.send_modify(|updates| updates.news.rounds += 1);
        }
    }

    fn tell(&self, message: &BorrowedMessage<'_>) {
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let Some(order) = key.and_then(|key| Uuid::try_parse(key).ok()) else { return };
        let watched = self.watched();
        let Some(sender) = watched.get(&order) else { return };
        let [Some(version), id] = headers(message, [cloud_events::VERSION, cloud_events::ID])
        else {
            return;
        };
        let Ok(version) = version.parse() else { return };
        let place = id.and_then(|id| Uuid::try_parse(id).ok()).map(|event_id| EventPlace {
            event_id,
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        });
        sender.send_modify(|OrderUpdates { news, places }| {
            news.note(message.topic(), version);
            places.extend(place.filter(|_| places.len() < PLACES_MAX));
        });
    }
}

/// Why a broker was last not reached: the answer to a question says only that nobody answered.
#[derive(Default)]
struct BrokerFaults(Mutex<String>);

/// What the client has to say about brokers that it does not reach.
fn why_away(consumer: &BaseConsumer<BrokerFaults>) -> String {
    let said = || consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // librdkafka tells of brokers only while it is polled, and so far it was only asked.
    let until = Instant::now() + POLL;
    while said().is_empty() && Instant::now() < until {
        drop(consumer.poll(Duration::from_millis(5)));
    }
    let why = said();
    if why.is_empty() { "no broker is known to be away".to_owned() } else { why }
}

impl ClientContext for BrokerFaults {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = &error as &dyn std::error::Error, reason, "a broker is away");
        // librdkafka's error that all brokers are down has no reason of its own.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            reason.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl ConsumerContext for BrokerFaults {}

/// Headers of a message's envelope, by their names. rdkafka panics at a header name that is not
/// UTF-8: such a message is none of ours, and must not end the thread.
fn headers<'a, const N: usize>(
    message: &'a BorrowedMessage<'_>,
    names: [&str; N],
) -> [Option<&'a str>; N] {
    let Some(headers) = message.headers() else { return [None; N] };
    let find = |name| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    catch_unwind(AssertUnwindSafe(|| names.map(find))).unwrap_or([None; N])
}

/// A consumer in no group; librdkafka wants a group's name all the same.
fn consumer(kafka: &ClientConfig) -> anyhow::Result<BaseConsumer<BrokerFaults>> {
    let consumer: Result<BaseConsumer<_>, _> = (kafka.clone())
        .set("group.id", "gateway")
        .set("client.id", "gateway")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // Twenty answers a second, however much is published: a wake-up that comes with each message
        // costs Kafka more, and comes before order-svc has heard of it.
        .set("fetch.wait.max.ms", "50")
        .set("fetch.min.bytes", "65536")
        .set("fetch.queue.backoff.ms", "10")
        .set("log_level", "3")
        .create_with_context(BrokerFaults::default());
    consumer.context("cannot make a Kafka consumer")
}

/// The end of every partition. "From the end" is not left to the broker: the client resolves it
/// some time after it was asked, and what comes in between would be missed.
fn ends(consumer: &BaseConsumer<BrokerFaults>) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for topic in TOPICS {
        let metadata = consumer.fetch_metadata(Some(topic), BROKER_PATIENCE)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        anyhow::ensure!(count > 0, "there is no topic {topic}");
        for partition in 0..i32::try_from(count)? {
            let (_, high) = consumer.fetch_watermarks(topic, partition, BROKER_PATIENCE)?;
            list.add_partition_offset(topic, partition, Offset::Offset(high))?;
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lacks_what_was_published_after_it() {
        let (mut news, mut seen) = (News::default(), News::default());
        assert!(!news.is_ahead_of(&seen));
        news.note(topic::STOCK, 2);
        news.note(topic::STOCK, 1);
        assert!(news.is_ahead_of(&seen));
        seen.note(topic::STOCK, 2);
        assert!(!news.is_ahead_of(&seen));
        news.note(topic::PAYMENTS, 1);
        assert!(news.is_ahead_of(&seen), "payments are counted by themselves");
    }

    #[tokio::test]
    async fn the_last_watch_of_an_order_ends_its_entry() {
        let wakes = Wakes::new(false);
        let order = Uuid::max();
        let (first, second) = (wakes.watch(order).await, wakes.watch(order).await);
        drop(first);
        assert_eq!(wakes.watched().len(), 1);
        drop(second);
        assert!(wakes.watched().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_while_kafka_is_awaited_leaves_no_entry() {
        let wakes = Wakes::new(true);
        let waiting = wakes.watch(Uuid::max());

        let ended = tokio::time::timeout(READY_WITHIN / 2, waiting).await;

        assert!(ended.is_err());
        assert!(wakes.watched().is_empty());
    }
}
